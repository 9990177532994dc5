"""Change good files thousands of times and judge every answer: ``make fuzz COUNT=20000 SEED=0``.

    python -m tests.hostile.fuzz --count 20000 --seed 0 [--only adapter,zip,card] [--keep FOLDER]

Ends with status 1 when anything crashed, hung or was answered wrongly; what did is kept in FOLDER. No database, no
worker: the checks themselves, as the web process and the inspect worker call them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

KINDS = ("adapter", "zip", "card")


def prepare(folder: Path) -> None:
    """Settings that connect to nothing."""
    import django

    os.environ.setdefault("SECRET_KEY", "fuzz")
    os.environ.setdefault("DATABASE_URL", "postgres://nobody@/nothing")
    os.environ.setdefault("REDIS_URL", "redis://localhost/0")
    os.environ["BLOB_STORE_URL"] = f"file://{folder / 'blobs'}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "marketplace.settings.test"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    django.setup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(KINDS), help="which kinds of file, with commas between")
    parser.add_argument("--peft-every", type=int, default=20, help="of how many adapters one is loaded with PEFT")
    parser.add_argument("--keep", type=Path, help="where files that were answered wrongly are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brickyard-fuzz-") as name:
        prepare(Path(name))
        from tests.hostile.fuzzer import Fuzzer  # Django has its settings now.

        began = time.monotonic()
        fuzzer = Fuzzer(Path(name), options.seed, peft_every=options.peft_every, keep=options.keep)
        fuzzer.run(options.only.split(","), options.count)
        for finding in fuzzer.findings[:40]:
            print(finding)
        print(fuzzer.report(time.monotonic() - began))
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    sys.exit(main())
