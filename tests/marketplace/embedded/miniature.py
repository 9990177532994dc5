"""Run by the tests: ``miniature.py FOLDER``. Two services, one of them with a child in a session of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from marketplace.embedded.guard import run_guarded
from marketplace.embedded.service import Command, Service
from marketplace.embedded.supervisor import Stopped, Supervisor

#: Writes its process id, then waits for ever; ``CHILD`` names a process that it leaves to itself.
SERVICE = """
import os, signal, subprocess, sys
def note(name):
    with open(os.path.join(sys.argv[1], name + ".pids"), "a") as file:
        file.write(f"{os.getpid()}\\n")
note(sys.argv[2])
if len(sys.argv) > 3:
    subprocess.Popen([sys.executable, "-c", os.environ["SERVICE"], sys.argv[1], sys.argv[3]], start_new_session=True)
signal.pause()
"""


def say(text: str) -> None:
    print(text, flush=True)


def work(folder: Path) -> int:
    supervisor = Supervisor(say)
    environment = {**os.environ, "SERVICE": SERVICE}

    def service(name: str, *more: str) -> Service:
        argv = [sys.executable, "-c", SERVICE, str(folder), name, *more]
        return Service(name, Command(argv, environment, folder, folder / f"{name}.log"), say)

    with supervisor.signals():
        try:
            supervisor.start(service("first", "child"))
            supervisor.start(service("second"))
            supervisor.watch(until=lambda: say("tick") or False, tick=0.05)
        except Stopped:
            say("stopping")
        finally:
            supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: work(Path(sys.argv[1])), die_with_parent=False))
