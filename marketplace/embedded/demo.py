"""``make demo``: everything on one machine, started in order and watched."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

from marketplace.embedded import plan, schema
from marketplace.embedded.address import Address
from marketplace.embedded.banner import banner
from marketplace.embedded.data_folder import DataFolder
from marketplace.embedded.faults import Fault, explain_disk
from marketplace.embedded.postgres import EmbeddedPostgres
from marketplace.embedded.redis import EmbeddedRedis
from marketplace.embedded.service import Command, Service, describe
from marketplace.embedded.supervisor import Stopped, Supervisor

READY_WITHIN = 180.0
_WATCH_TICK = 0.2


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


class Demo:
    """One run over one data folder, from the servers to the banner, until somebody stops it."""

    def __init__(self, folder: DataFolder, address: Address) -> None:
        self.folder = folder
        self.address = address
        self.started = time.monotonic()
        self.supervisor = Supervisor(say)
        self.postgres = EmbeddedPostgres(folder.path, key=folder.remembered("instance", 8))
        self.redis = EmbeddedRedis(folder.path / "redis")

    def run(self) -> int:
        """Returns the exit status: 0 after a stop that was asked for, 1 when the system could not start."""
        with self.supervisor.signals():
            try:
                self._start()
                self.supervisor.watch()
            except Stopped:
                say("Stopping")
                return 0
            except Fault as fault:
                print(fault, file=sys.stderr, flush=True)
                return 1
            except OSError as error:
                print(explain_disk(error, self.folder.path), file=sys.stderr, flush=True)
                return 1
            finally:
                self.supervisor.stop()
                if self.supervisor.stopping:
                    say("Stopped")
        return 0

    def _start(self) -> None:
        self._start_servers()
        environment = plan.marketplace_environment(self.folder, self.address, self.postgres, self.redis)
        plan.write_env_file(environment, self.folder)
        self._prepare(environment)
        self._start_processes(environment)
        self._seed(environment)
        missing = self._wait_until_ready()
        print(banner(self.folder, self.address, time.monotonic() - self.started, missing), flush=True)

    def _start_servers(self) -> None:
        say("Starting PostgreSQL and Redis")
        plan.check_origin(self.folder, self.postgres)
        self.supervisor.start(Service("PostgreSQL", self.postgres, say))
        self.supervisor.start(Service("Redis", self.redis, say))
        if self.postgres.created:
            self.folder.forget("migrate", "seed")

    def _prepare(self, environment: dict[str, str]) -> None:
        """Migrations and static files, both at once, each only where something changed since the last start."""
        schema.check_known(self.postgres.url, self.folder.path)
        wanted = {
            "migrate": (schema.migrations_fingerprint(), ["migrate", "--no-input", "--skip-checks", "-v", "0"]),
            "collectstatic": (schema.static_fingerprint(), ["collectstatic", "--no-input", "--skip-checks", "-v", "0"]),
        }
        steps = {}
        for name, (fingerprint, arguments) in wanted.items():
            if not self.folder.is_done(name, fingerprint):
                say("Preparing the database" if name == "migrate" else "Collecting static files")
                steps[name] = self._step(name, arguments, environment)
        for name, step in steps.items():
            self._finish(name, step)
            self.folder.mark_done(name, wanted[name][0])

    def _step(self, name: str, arguments: list[str], environment: dict[str, str]) -> Command:
        """Start ``manage.py`` beside everything else; ``_finish`` waits for it."""
        log = self.folder.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        step = Command(plan.manage(*arguments), environment, plan.ROOT, log)
        step.start()
        return step

    def _finish(self, name: str, step: Command) -> None:
        self.supervisor.watch(until=lambda: step.poll() is not None, tick=_WATCH_TICK)
        status = step.poll()
        if status:
            lines = step.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if any("No space left on device" in line for line in lines):
                raise Fault(f"The disk is full: free some space for {self.folder.path} and start again.")
            faults = [line for line in lines if not line.startswith("Type '")]
            reason = faults[-1] if faults else describe(status)
            raise Fault(f"{name} failed: {reason} (see {step.log})")

    def _start_processes(self, environment: dict[str, str]) -> None:
        say("Starting the web process and the workers")
        workers = plan.worker_commands(self.folder, environment)
        self.supervisor.start(*(Service(f"{name} worker", command, say) for name, command in workers.items()))
        self.supervisor.start(Service("web", plan.web_command(self.folder, self.address, environment), say))

    def _seed(self, environment: dict[str, str]) -> None:
        fingerprint = schema.seed_fingerprint()
        if self.folder.is_done("seed", fingerprint):
            return
        say("Adding the demo data")
        self._finish("seed", self._step("seed", plan.seed_arguments(self.folder), environment))
        self.folder.mark_done("seed", fingerprint)

    def _wait_until_ready(self) -> list[str]:
        """Watch until every part answers; after ``READY_WITHIN`` seconds the names of those that do not."""
        say("Waiting for every part to answer")
        until = time.monotonic() + READY_WITHIN
        missing: list[str] = ["web"]

        def ready() -> bool:
            nonlocal missing
            missing = self._missing()
            return not missing or time.monotonic() > until

        self.supervisor.watch(until=ready, tick=_WATCH_TICK)
        return missing

    def _missing(self) -> list[str]:
        try:
            with urllib.request.urlopen(f"{self.address.local_url}/readyz", timeout=5) as answer:  # noqa: S310
                state = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.headers.get_content_type() != "application/json":
                return ["web"]
            state = json.load(error)
        except OSError:
            return ["web"]
        return [name for name, part in state["parts"].items() if not part["ok"]]
