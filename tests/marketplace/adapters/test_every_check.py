"""Every code that the marketplace reports by itself, produced by an upload; together with the engine's, the whole
register."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference.check_samples import SAMPLES as OF_THE_ENGINE
from safetensors.numpy import save

from inference_worker.contracts.conversion import conversion_command
from inference_worker.contracts.upload_checks import CHECKS
from marketplace.accounts.models import User
from marketplace.adapters.models import Upload
from marketplace.adapters.uploads import zips
from marketplace.jobs.models import Job
from marketplace.moderation.models import Block
from tests.hostile.archives import hostile
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, fail_inspection, zip_of

pytestmark = pytest.mark.django_db

GOOD = adapter_files()
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CARD = "---\nlicense: apache-2.0\n{}\n---\n# Plural\n"
KOHYA = save(
    {"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": np.ones((2, 4), dtype=np.float32)},
    {"ss_network_module": "networks.lora", "ss_tag_frequency": "x" * 2000},
)
TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"


def with_card(line: str) -> dict[str, bytes]:
    return GOOD | {"README.md": CARD.format(line).encode()}


#: Code -> the files of an upload that is answered with it.
FILES: dict[str, dict[str, bytes]] = {
    "no_files": {"__MACOSX/x": b"x"},
    "file_name": GOOD | {"a\x07b": b"x"},
    "duplicate_file": GOOD | {"Adapter_Config.json": b"{}"},
    "several_adapters": {f"{folder}/{name}": data for folder in "ab" for name, data in GOOD.items()},
    "config_missing": {WEIGHTS: GOOD[WEIGHTS]},
    "weights_missing": {CONFIG: GOOD[CONFIG]},
    "pickle_left_out": GOOD | {"optimizer.pt": b"\x80\x02}q\x00."},
    "weights_renamed": {CONFIG: GOOD[CONFIG], "my.safetensors": GOOD[WEIGHTS]},
    "left_out": GOOD | {"tokenizer.json": b"{}"},
    "card_too_large": GOOD | {"README.md": b"x" * 1_000_001},
    "card_front_matter": GOOD | {"README.md": b"---\na: [\n---\n"},
    "card_metadata": with_card("datasets: {a: b}"),
    "card_licence_unknown": GOOD | {"README.md": b"---\nlicense: my-own\n---\n"},
    "card_base_differs": with_card("base_model: somebody/quite-another-7b"),
    "secret_found": with_card(f"note: {TOKEN}"),
    "base_unknown": GOOD,
    "image_adapter": {"style.safetensors": KOHYA},
    "lfs_pointer": {
        CONFIG: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        WEIGHTS: GOOD[WEIGHTS],
    },
    "pickle_refused": {CONFIG: GOOD[CONFIG], "my adapter.bin": b"\x80\x02}q\x00."},
    "zip_and_files": {"a.zip": zip_of(GOOD), "README.md": b"x"},
    "zip_ratio": {"a.zip": zip_of(GOOD | {"zeros": bytes(4 << 20)})},
    "zip_too_large": {"a.zip": zip_of(GOOD | {"zeros": bytes(4 << 20)})},
}
FILES |= {code: {"a.zip": data} for data, code in hostile(GOOD).values()}

Prepare = Callable[[pytest.MonkeyPatch, Any], None]
#: What a sample needs to be small.
PREPARED: dict[str, Prepare] = {
    "zip_ratio": lambda patch, settings: patch.setattr(zips, "RATIO_FROM", 1 << 20),
    "zip_too_large": lambda patch, settings: setattr(settings, "UPLOAD_MAX_BYTES", 3 << 20),
}
#: Codes with tests of their own: below, and in test_alerts.py.
APART = {"check_failed", "check_crashed", "weights_taken_down", "bytes_blocked"}


def codes(upload: Upload) -> set[str]:
    artifact = upload.artifact.problems if upload.artifact else []
    return {problem["code"] for problem in [*upload.problems, *artifact]}


def test_samples_and_register_name_the_same_codes() -> None:
    assert set(FILES) | set(OF_THE_ENGINE) | APART == {check.code for check in CHECKS.checks}


@pytest.mark.parametrize("code", sorted(FILES))
def test_the_sample_is_answered_with_its_code(
    code: str, ada: User, make_upload: MakeUpload, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    if code in PREPARED:
        PREPARED[code](monkeypatch, settings)
    upload = make_upload(ada, FILES[code])
    assert code in codes(upload)
    assert (upload.state == Upload.State.REFUSED) == (CHECKS[code].severity == "error")


def test_a_check_that_was_not_finished(ada: User, make_upload: MakeUpload) -> None:
    upload = make_upload(ada, check=False)
    fail_inspection(Job.objects.get())
    upload.refresh_from_db()
    assert codes(upload) == {"check_failed"}


@pytest.mark.parametrize(("name", "code"), [(CONFIG, "bytes_blocked"), (WEIGHTS, "weights_taken_down")])
def test_bytes_that_a_moderator_blocked(name: str, code: str, ada: User, make_upload: MakeUpload) -> None:
    Block.objects.create(sha256=hashlib.sha256(GOOD[name]).hexdigest(), reason="stolen")
    upload = make_upload(ada, GOOD)
    assert codes(upload) == {code}
    assert upload.state == Upload.State.REFUSED


def test_the_command_names_the_uploaded_file(ada: User, make_upload: MakeUpload) -> None:
    (problem,) = make_upload(ada, FILES["pickle_refused"]).problems
    assert conversion_command("my adapter.bin") in problem["remedy"]
    assert "'my adapter.bin'" in problem["remedy"]


@pytest.mark.parametrize("name", ["diffusers", "kohya without metadata"])
def test_image_adapters_are_recognised_without_a_config(name: str, ada: User, make_upload: MakeUpload) -> None:
    names = {"diffusers": "unet.down_blocks.0.attn.to_q.lora_A.weight"}
    tensor = names.get(name, "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight")
    weights = save({tensor: np.ones((2, 4), dtype=np.float32)}, {"format": "pt"})
    assert codes(make_upload(ada, {"pytorch_lora_weights.safetensors": weights})) == {
        "image_adapter",
        "weights_renamed",
    }
