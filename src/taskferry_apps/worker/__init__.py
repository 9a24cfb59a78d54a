"""`taskferry worker`: a command for each task that an agent accepts. Decisions are pure; effects apart."""
