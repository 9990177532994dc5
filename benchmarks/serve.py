"""``python benchmarks/serve.py``: the same as ``python -m inference_worker bench serve``."""

from __future__ import annotations

import argparse
import sys

from inference_worker.serving.benchmark import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
