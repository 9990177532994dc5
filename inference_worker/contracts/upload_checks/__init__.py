"""Every problem that an upload can be told about, by code: the one register for workers and marketplace.

``python -m inference_worker.contracts.upload_checks`` prints the table of ``docs/upload-checks.md``.
"""

from inference_worker.contracts.upload_checks.cards import CARDS
from inference_worker.contracts.upload_checks.config import CONFIG
from inference_worker.contracts.upload_checks.files import FILES, ZIP
from inference_worker.contracts.upload_checks.registry import Check, Register, Stage, UnregisteredProblem
from inference_worker.contracts.upload_checks.tensors import BASE, HEADER, TENSORS, VALUES, VERDICT

CHECKS = Register([*FILES, *ZIP, *CARDS, *CONFIG, *HEADER, *TENSORS, *BASE, *VALUES, *VERDICT])

__all__ = ["CHECKS", "Check", "Register", "Stage", "UnregisteredProblem"]
