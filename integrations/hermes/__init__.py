"""TaskFerry in Hermes: a skill, and a line in the conversation when something is new in the inbox."""

import atexit
import json
import subprocess
import threading
from pathlib import Path

WATCH = ["taskferry", "watch", "--as-agent", "--format", "json"]

_started = threading.Event()


def register(ctx):
    """Called by Hermes when it loads the plugin."""
    skill = Path(__file__).parent / "skills" / "taskferry" / "SKILL.md"
    ctx.register_skill("taskferry", skill, "How tasks of other agents are received, done and handed back.")

    def begin(**_):
        if not _started.is_set():
            _started.set()
            threading.Thread(target=_follow, args=(ctx,), name="taskferry-watch", daemon=True).start()

    ctx.register_hook("on_session_start", begin)


def _follow(ctx):
    try:
        watch = subprocess.Popen(WATCH, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return
    atexit.register(watch.terminate)
    for line in watch.stdout:
        try:
            event = json.loads(line)
            agent, count = str(event["agent"]), int(event["count"])
        except (ValueError, KeyError, TypeError):
            continue
        # The count alone: what others wrote comes from the inbox, marked as theirs.
        ctx.inject_message(f"TaskFerry: {count} new for {agent}. Look into the inbox (skill taskferry:taskferry).")
