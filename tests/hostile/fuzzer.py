"""Runs mutations through the judge and counts what became of them. Django has to be set up before this is imported."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.hostile import card_mutations, judge, mutations, seeds, zip_mutations
from tests.hostile.judge import Verdict, Wrong

#: A single answer may take this long; the pattern limit alone is 2 s.
SECONDS = 20
SHARES = {"adapter": 0.6, "zip": 0.25, "card": 0.15}


@dataclass
class Tally:
    """What became of the mutations of one kind."""

    tried: int = 0
    accepted: int = 0
    crashes: int = 0
    wrong: int = 0
    slowest: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)


class TooSlow(Exception):
    """One answer took longer than ``SECONDS``."""


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow(f"no answer within {SECONDS} s")


class Fuzzer:
    """Case ``n`` of a kind depends on ``(seed, kind, n)`` alone, so a finding can be run again by itself."""

    def __init__(self, folder: Path, seed: int, *, peft_every: int = 20, keep: Path | None = None) -> None:
        self.seed = seed
        self.peft_every = peft_every
        self.keep = keep
        self.work = folder / "case"
        self.work.mkdir(parents=True)
        self.seeds = list(seeds.make_seeds(folder / "seeds").values())
        self.shapes = seeds.base_shapes()
        self.tallies = {kind: Tally() for kind in SHARES}
        self.findings: list[str] = []

    def run(self, kinds: list[str], count: int) -> None:
        """``count`` mutations, shared out among ``kinds``."""
        whole = sum(SHARES[kind] for kind in kinds)
        for kind in kinds:
            for number in range(round(count * SHARES[kind] / whole)):
                self.run_one(kind, number)

    def run_one(self, kind: str, number: int) -> None:
        chance = random.Random(f"{self.seed}/{kind}/{number}")
        tally = self.tallies[kind]
        tally.tried += 1
        began = time.perf_counter()
        previous = signal.signal(signal.SIGALRM, _too_slow)
        signal.alarm(SECONDS)
        what = ""
        try:
            what = getattr(self, f"_{kind}")(chance, number, tally)
        except Wrong as fault:
            tally.wrong += 1
            self._found(kind, number, f"answered wrongly: {fault}")
        except Exception:  # noqa: BLE001 (whatever escapes is what we are looking for)
            tally.crashes += 1
            self._found(kind, number, traceback.format_exc(limit=-6))
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, previous)
        tally.slowest = max(tally.slowest, time.perf_counter() - began)
        tally.codes.update([what] if what else [])

    def _adapter(self, chance: random.Random, number: int, tally: Tally) -> str:
        mutation = mutations.mutate_adapter(chance.choice(self.seeds), chance)
        for name, data in mutation.files.items():
            (self.work / name).write_bytes(data)
        shapes = self.shapes if chance.random() < 0.7 else None
        peft = shapes is not None and number % self.peft_every == 0
        return self._count(judge.judge_adapter(self.work, shapes, peft=peft), tally)

    def _zip(self, chance: random.Random, number: int, tally: Tally) -> str:
        archive = zip_mutations.mutate_archive(chance.choice(self.seeds), chance)
        (self.work / "upload.zip").write_bytes(archive)
        return self._count(judge.judge_archive(archive), tally)

    def _card(self, chance: random.Random, number: int, tally: Tally) -> str:
        data = card_mutations.mutate_card(self.seeds[0], chance).files["README.md"]
        (self.work / "README.md").write_bytes(data)
        return self._count(judge.judge_card(data), tally)

    def _count(self, verdict: object, tally: Tally) -> str:
        assert isinstance(verdict, Verdict)
        tally.accepted += verdict.accepted
        return "" if verdict.accepted else verdict.codes[0]

    def _found(self, kind: str, number: int, words: str) -> None:
        self.findings.append(f"{kind} {number} (seed {self.seed}): {words}")
        if self.keep is not None:
            target = self.keep / f"{kind}-{self.seed}-{number}"
            target.mkdir(parents=True, exist_ok=True)
            for path in self.work.iterdir():
                (target / path.name).write_bytes(path.read_bytes())

    def report(self, seconds: float) -> str:
        lines = [f"{'':8} {'tried':>7} {'accepted':>9} {'refused':>8} {'crashes':>8} {'wrong':>6} {'slowest':>8}"]
        for kind, tally in self.tallies.items():
            refused = tally.tried - tally.accepted - tally.crashes - tally.wrong
            lines.append(
                f"{kind:8} {tally.tried:7} {tally.accepted:9} {refused:8} {tally.crashes:8} {tally.wrong:6} "
                f"{tally.slowest:6.2f} s"
            )
        total = sum(tally.tried for tally in self.tallies.values())
        codes = set().union(*(tally.codes for tally in self.tallies.values()))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        lines.append(f"{total} mutations in {seconds:.0f} s, {len(codes)} different first problems, peak {peak} MB")
        return "\n".join(lines)
