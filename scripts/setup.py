"""Make ``.venv`` and install the pinned dependencies into it; do nothing when that is already done.

Run by the Makefile with whatever Python there is, so it uses the standard library alone and keeps to syntax that old
Pythons parse: they must be able to say what is missing.

    python3 scripts/setup.py demo    what runs the system: web, workers, embedded servers
    python3 scripts/setup.py dev     that and what tests and checks it
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

MINIMUM = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "brickyard-setup.json")
LOG = os.path.join(VENV, "install.log")
EXTRAS = {"demo": "worker,embedded", "dev": "dev"}
#: Room for the dependencies, most of it PyTorch; checked before anything is downloaded.
NEEDED_MEBIBYTES = 3072


class Stop(Exception):
    """A fault in one line, for the person at the terminal."""


def say(text):
    print(text)
    sys.stdout.flush()


def check_python():
    if sys.version_info[:2] >= MINIMUM:
        return
    message = "Python %d.%d or newer is needed, this is %d.%d (%s)." % (
        MINIMUM + tuple(sys.version_info[:2]) + (sys.executable,)
    )
    newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if works(name)]
    if newer:
        message += " Found %s: run make with PYTHON=%s." % (newer[0], newer[0])
    raise Stop(message)


def works(name):
    """Whether ``name`` is on the path and runs; version managers leave names there that do not."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(os.path.join(folder, name), os.X_OK):
            with open(os.devnull, "w") as quiet:
                return subprocess.call([os.path.join(folder, name), "-c", ""], stdout=quiet, stderr=quiet) == 0
    return False


def fingerprint():
    """What an installation depends on: the lists of dependencies, this folder's place, Python's version."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    digest.update(ROOT.encode())
    return digest.hexdigest()


def installed():
    """The tiers installed for the present fingerprint: a subset of ``EXTRAS``."""
    try:
        with open(STAMP) as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return set()
    if stamp.get("fingerprint") != fingerprint() or not os.path.exists(PYTHON):
        return set()
    return set(stamp.get("tiers", []))


def satisfied(tier):
    tiers = installed()
    return tier in tiers or "dev" in tiers


def check_space():
    free = shutil.disk_usage(ROOT).free // 2**20
    if free < NEEDED_MEBIBYTES:
        raise Stop(
            "The disk is too full to install: %d MiB are free under %s, %d MiB are needed."
            % (free, ROOT, NEEDED_MEBIBYTES)
        )


def make_environment():
    if os.path.exists(PYTHON) and subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0:
        return
    say("Creating .venv with Python %d.%d.%d" % sys.version_info[:3])
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", VENV], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        output = done.stdout.decode(errors="replace")
        if "ensurepip" in output:
            raise Stop("This Python cannot make virtual environments: install your system's python3-venv package.")
        raise Stop("Creating .venv failed: " + last_line(output))


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def install(tier):
    """Install tier's dependencies and this project itself, in editable form.

    The versions come from ``constraints.txt``, so that a clone of today runs the same in a year.
    """
    say("Installing dependencies; the first time takes a few minutes (details in .venv/install.log)")
    command = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["-c", "constraints.txt", "-e", ".[%s]" % EXTRAS[tier]]
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    with open(LOG, "w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        tail = []
        for line in process.stdout:
            log.write(line)
            tail = (tail + [line])[-40:]
            show_progress(line)
        if process.wait():
            raise Stop(explain("".join(tail)))
    clear_progress()


def show_progress(line):
    found = re.match(r"(Collecting|Installing collected|Downloading) ?([\w.\[\]-]*)", line)
    if found and sys.stdout.isatty():
        sys.stdout.write("\r\033[K  %s" % line.strip()[:76])
        sys.stdout.flush()


def clear_progress():
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K")


def explain(output):
    clear_progress()
    if "No space left on device" in output:
        return "The disk is full: free some space under %s and run this again." % ROOT
    errors = [line for line in output.splitlines() if line.startswith("ERROR")]
    return "Installing failed: %s (details in %s)" % (errors[0] if errors else last_line(output), LOG)


def set_up(tier):
    check_python()
    if satisfied(tier):
        return
    check_space()
    make_environment()
    with Lock(os.path.join(VENV, "brickyard-setup.lock")):
        if satisfied(tier):
            return
        tiers = installed() | {tier}
        install(tier)
        with open(STAMP + ".new", "w") as file:
            json.dump({"fingerprint": fingerprint(), "tiers": sorted(tiers)}, file)
        os.rename(STAMP + ".new", STAMP)


class Lock(object):
    """Only one set-up at a time; the operating system lets go of it when the process ends."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *fault):
        self.file.close()


def main(arguments):
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        sys.stderr.write("usage: setup.py demo|dev\n")
        return 2
    try:
        set_up(arguments[0])
    except Stop as stop:
        sys.stderr.write("%s\n" % stop)
        return 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            sys.stderr.write("The disk is full: free some space under %s and run this again.\n" % ROOT)
        else:
            sys.stderr.write("Setting up failed: %s\n" % error)
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; run it again to go on.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
