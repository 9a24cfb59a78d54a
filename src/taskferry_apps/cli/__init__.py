"""The `taskferry` command: one module a command, each thin over the local API or a protocol function."""
