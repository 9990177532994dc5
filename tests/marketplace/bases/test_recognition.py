"""Which base a name means: ids, re-uploads, former names, paths, and what is only guessed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketplace.bases import shipped
from marketplace.bases.models import Base, BaseAlias
from marketplace.bases.recognition import recognise, spellings

pytestmark = pytest.mark.django_db

LLAMA = "meta-llama/Llama-3.1-8B"


def test_the_shipped_table_is_sound() -> None:
    table = tomllib.loads(Path(shipped.__file__).with_name("shipped_aliases.toml").read_text())
    names = [name.lower() for name in table]
    aliases = [alias.lower() for entry in table.values() for alias in entry.get("aliases", [])]
    assert len({*names, *aliases}) == len(names) + len(aliases)
    assert all(entry.get("parent", "").lower() in {"", *names} for entry in table.values())
    assert all(set(entry) <= {"parent", "aliases"} for entry in table.values())
    assert all(len(name) <= 160 and name.count("/") <= 1 for name in names)
    assert len(names) > 300
    assert sum("bnb-4bit" in alias for alias in aliases) > 200
    families = ["llama-2", "llama-3.2", "mixtral", "qwen1.5", "qwen3", "gemma-3", "phi-4", "tinyllama", "smollm",
                "falcon", "gpt2", "gpt-j", "gpt-neox", "pythia", "opt-", "bloom", "r1-distill", "yi-"]  # fmt: skip
    assert [family for family in families if not any(family in name for name in names)] == []


def test_the_table_is_in_the_database_after_a_migration() -> None:
    listed = sum(len(known.aliases) for known in shipped.known_bases().values())
    assert BaseAlias.objects.filter(shipped=True, base=None).count() == listed
    BaseAlias.objects.filter(alias="unsloth/llama-3.2-1b").update(active=False)
    BaseAlias.objects.filter(alias="unsloth/llama-3.2-3b").delete()
    base = Base.objects.create(name="meta-llama/Llama-3.2-1B", source="x/y")
    call_command("migrate", verbosity=0)
    assert BaseAlias.objects.filter(shipped=True).count() == listed
    row = BaseAlias.objects.get(alias="unsloth/llama-3.2-1b")
    assert (row.active, row.base) == (False, base)  # What an admin switched off stays off.


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.1-8B",
        "META-LLAMA/llama-3.1-8b",
        "meta-llama/Meta-Llama-3.1-8B",
        "unsloth/Meta-Llama-3.1-8B-bnb-4bit",
        "unsloth/llama-3.1-8b-unsloth-bnb-4bit",
        "NousResearch/Meta-Llama-3.1-8B",
        "mlx-community/Meta-Llama-3.1-8B-4bit",
        "https://huggingface.co/meta-llama/Llama-3.1-8B",
        "https://huggingface.co/meta-llama/Llama-3.1-8B/tree/main",
        "/root/.cache/huggingface/hub/models--meta-llama--Llama-3.1-8B/snapshots/" + "a" * 40,
        "/root/.cache/huggingface/hub/models--unsloth--Meta-Llama-3.1-8B-bnb-4bit/snapshots/" + "b" * 40 + "/",
    ],
)
def test_certain_names(name: str) -> None:
    before = recognise(name)
    assert (before.base, before.canonical, before.certain) == (None, LLAMA, True)
    base = Base.objects.create(name=LLAMA, source=LLAMA)
    after = recognise(name)
    assert (after.base, after.certain) == (base, True)


@pytest.mark.parametrize(
    "name",
    [
        "/data/models/Llama-3.1-8B/",
        "C:\\Users\\me\\models\\Llama-3.1-8B",
        "./Llama-3.1-8B",
        "../../models/meta-llama_Llama-3.1-8B",
        "/mnt/models/meta-llama--Llama-3.1-8B",
        "/content/drive/MyDrive/Llama-3.1-8B/checkpoint-500",
        "/kaggle/input/Llama-3.1-8B/transformers/1",
        "/models/Meta-Llama-3.1-8B-bnb-4bit",
        "models/meta-llama/Llama-3.1-8B",
        "someone-else/Llama-3.1-8B",
        "someone-else/Llama-3.1-8B-GPTQ",
    ],
)
def test_guesses(name: str) -> None:
    found = recognise(name)
    assert (found.base, found.canonical, found.certain) == (None, LLAMA, False)
    base = Base.objects.create(name=LLAMA, source=LLAMA)
    found = recognise(name)
    assert (found.base, found.certain) == (base, False)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "/", "..", "./out", "/content/model", "output/final", "nobody/ever-made-this", "Llama", "\0"]
)
def test_what_says_nothing(name: str) -> None:
    Base.objects.create(name=LLAMA, source=LLAMA)
    found = recognise(name)
    assert (found.base, found.canonical) == (None, "")


def test_an_instruction_tuned_model_is_another_one() -> None:
    Base.objects.create(name=LLAMA, source=LLAMA)
    found = recognise("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit")
    assert (found.base, found.canonical) == (None, "meta-llama/Llama-3.1-8B-Instruct")
    assert recognise("/models/Llama-3.1-8B-Instruct").base is None


def test_staff_has_the_last_word_over_the_table() -> None:
    mine = Base.objects.create(name="house/llama", source="/models/house")
    BaseAlias.objects.filter(alias="nousresearch/meta-llama-3.1-8b").update(base=mine, canonical="house/llama")
    assert recognise("NousResearch/Meta-Llama-3.1-8B").base == mine
    BaseAlias.objects.filter(alias="unsloth/meta-llama-3.1-8b").update(active=False)
    assert not recognise("unsloth/Meta-Llama-3.1-8B").certain


def test_a_directory_is_known_by_its_whole_path() -> None:
    base = Base.objects.create(name="mine", source="/srv/Models/one")
    found = recognise("/srv/models/one/")
    assert (found.base, found.certain) == (base, True)


def test_hostile_names_cost_little() -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for name in ("a/" * 50_000, "-4bit" * 20_000, "_" * 90_000, "models--" * 10_000, "é" * 2000, "%_\\" * 300):
            recognise(name)
    assert len(queries) <= 6 * 4
    assert all(len(spelling) <= 1000 for spelling, _ in spellings("x" * 99_999))
