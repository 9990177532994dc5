"""One module per command of ``python -m inference_worker``: ``add_parser(subparsers)`` and ``run(args) -> int``."""
