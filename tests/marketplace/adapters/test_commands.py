"""``import_adapter`` and ``seed_demo``."""

from __future__ import annotations

import io
import json
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.management import demo, demo_suites, earlier
from marketplace.adapters.management.commands import seed_demo
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.models import Base
from marketplace.compositions.lab.sweeps import parents_examples
from marketplace.compositions.members import Member
from marketplace.compositions.models import Composition
from marketplace.core.redis import redis_client
from marketplace.evaluations.models import EvaluationSuite
from marketplace.evaluations.verdicts import MIN_EXAMPLES
from marketplace.jobs.models import Job
from tests.marketplace.adapters.conftest import adapter_files, left_behind, run_inspection

pytestmark = pytest.mark.django_db


def _folder(path: Path, **arguments: Any) -> Path:
    path.mkdir(parents=True)
    for name, data in adapter_files(**arguments).items():
        (path / name).write_bytes(data)
    return path


def test_import_takes_fields_from_options_and_card(ada: User, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "plural")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Plural nouns\n\nMakes plurals.\n")
    (folder / "optimizer.pt").write_bytes(b"never read")
    out = io.StringIO()
    call_command("import_adapter", str(folder), "--owner", "ada", "--tag", "grammar", "--title", "Plurals", stdout=out)
    adapter = Adapter.objects.get()
    assert adapter.full_name == "ada/plural"
    assert (adapter.title, adapter.description, adapter.license) == ("Plurals", "Makes plurals.", "mit")
    assert (adapter.tags, adapter.visibility) == (["grammar"], "private")
    assert "ada/plural is published" in out.getvalue()
    assert left_behind() == []


def test_import_says_what_is_wrong(ada: User, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no user “nobody”"):
        call_command("import_adapter", str(tmp_path), "--owner", "nobody")
    with pytest.raises(CommandError, match="No file arrived"):
        call_command("import_adapter", str(tmp_path), "--owner", "ada")
    with pytest.raises(CommandError, match="no directory or zip"):
        call_command("import_adapter", str(tmp_path / "missing"), "--owner", "ada")
    folder = _folder(tmp_path / "pickled")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    (folder / "adapter_model.bin").write_bytes(b"\x80\x02}q.")
    with pytest.raises(CommandError, match="Python pickle"):
        call_command("import_adapter", str(folder), "--owner", "ada")
    assert Adapter.objects.count() == 0


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small adapters in the layout of the shipped ones."""
    root = tmp_path / "shipped"
    for seed, (owner, name) in enumerate([("lists", "reverse-words"), ("wordsmith", "plural-nouns")]):
        folder = _folder(root / "adapters" / name, seed=seed)
        meta = {
            "name": name,
            "owner": owner,
            "title": name.replace("-", " ").capitalize(),
            "description": f"Does {name}.",
            "tags": ["words"],
            "license": "mit",
            "base": "wordsmith-v1",
            "prompt_format": {"kind": "plain", "template": "{prompt}\nOutput:", "system": "", "stop": ["\n"]},
            "examples": [{"prompt": f"Input {number}", "expected": "x"} for number in range(10)],
        }
        (folder / "meta.json").write_text(json.dumps(meta))
    monkeypatch.setattr(seed_demo, "SHIPPED", root)
    monkeypatch.setattr(earlier, "EARLIER", {})
    return root


def test_seed_fills_the_site_once(shipped: Path, tmp_path: Path) -> None:
    file = tmp_path / "data" / "passwords.json"
    call_command("seed_demo", "--passwords", str(file), stdout=io.StringIO())

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    passwords = json.loads(file.read_text())
    assert set(passwords) == {"demo", "admin"}
    assert User.objects.get(username="demo").check_password(passwords["demo"])
    admin = User.objects.get(username="admin")
    assert admin.check_password(passwords["admin"])
    assert policy.may_moderate(admin)
    assert not User.objects.get(username="demo").is_staff

    adapter = Adapter.objects.get(name="reverse-words")
    assert adapter.owner.username == "lists"
    assert (adapter.title, adapter.license, adapter.tags) == ("Reverse words", "mit", ["words"])
    assert adapter.visibility == "public"
    assert adapter.current is not None
    assert adapter.current.prompt_format["template"] == "{prompt}\nOutput:"
    assert adapter.examples.count() == 10
    for job in Job.objects.filter(kind="inspect"):
        run_inspection(job)
    assert set(Artifact.objects.values_list("state", flat=True)) == {"valid"}
    pair = [Member(one, one.current, 1.0) for one in Adapter.objects.select_related("current") if one.current]
    reader = User.objects.get(username="demo")
    assert len(parents_examples(reader, pair)) >= MIN_EXAMPLES, "a sweep of a pair reaches a verdict"
    assert len(parents_examples(reader, pair, half=True)) >= MIN_EXAMPLES

    Adapter.objects.filter(name="plural-nouns").update(name="renamed")
    before = file.read_text(), Job.objects.count()
    out = io.StringIO()
    call_command("seed_demo", "--passwords", str(file), stdout=out)
    assert "1 adapters were added" in out.getvalue()
    call_command("seed_demo", "--passwords", str(file), stdout=out)
    assert file.read_text() == before[0]
    assert Adapter.objects.count() == 3


def test_seed_lets_cards_grow_and_saves_mixes(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plural-nouns", "reverse-words"):
        path = shipped / "adapters" / name / "meta.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "tags": ["words", "lists"]}))
    members = (("lists/reverse-words", 0.7), ("wordsmith/plural-nouns", -0.2), ("nobody/here", 1.0))
    mixes = (("demo", "both", "Both.", members[:2]), ("demo", "not-whole", "Without one.", members))
    monkeypatch.setattr(demo, "MIXES", mixes)
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=io.StringIO())

    grown = Adapter.objects.get(name="plural-nouns")
    assert (grown.tags, grown.description) == (["words", "lists"], "Does plural-nouns.")
    messages = grown.versions.order_by("pk").values_list("message", flat=True)
    assert list(messages)[1:] == ["Tag it"]
    assert Adapter.objects.get(name="reverse-words").versions.count() == 1
    mix = Composition.objects.get()
    assert (mix.full_name, [row.weight for row in mix.members.all()]) == ("mix/demo/both", [0.7, -0.2])

    mix.delete()
    out = io.StringIO()
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=out)
    assert "0 adapters were added, 0 mixes, 0 suites" in out.getvalue()
    assert not Composition.objects.exists()


def test_seed_publishes_what_was_tried_before(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = {
        "lists/reverse-words": earlier.Earlier("Three ranks", "All ranks", ranks=3, deprecated="Too few."),
        "wordsmith/plural-nouns": earlier.Earlier("Weak", "Strong", strength=0.5, yanked="Too weak."),
    }
    monkeypatch.setattr(earlier, "EARLIER", tried)
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=io.StringIO())
    for job in Job.objects.filter(kind="inspect").order_by("created_at"):
        run_inspection(job)
    assert set(Artifact.objects.values_list("state", flat=True)) == {"valid"}

    adapter = Adapter.objects.get(name="reverse-words")
    first, second = adapter.versions.order_by("pk")
    assert adapter.current == second
    assert (first.message, second.message, first.deprecation) == ("Three ranks", "All ranks", "Too few.")
    assert (first.artifact.rank, second.artifact.rank) == (3, 4)
    assert first.artifact.weights_blob_id != second.artifact.weights_blob_id
    assert adapter.examples.count() == 10
    first, second = Adapter.objects.get(name="plural-nouns").versions.order_by("pk")
    assert (first.yank_reason, second.yanked_at) == ("Too weak.", None)
    assert first.artifact.weights_blob_id == second.artifact.weights_blob_id
    assert first.artifact.config_blob_id != second.artifact.config_blob_id
    assert left_behind() == []


def test_fewer_ranks_are_the_strongest_bit_by_bit(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    down, up = torch.zeros(3, 4, dtype=torch.bfloat16), torch.zeros(5, 3, dtype=torch.bfloat16)
    down[0], down[1], down[2] = 0.1, 3.0, -1.5
    up[:, 0], up[:, 1], up[:, 2] = 0.1, 0.5, -2.25
    save_file({"q.lora_A.weight": down, "q.lora_B.weight": up}, tmp_path / "whole.safetensors")
    for keep, kept in ((1, [2]), (2, [1, 2]), (3, [0, 1, 2])):
        earlier.cut_ranks(tmp_path / "whole.safetensors", tmp_path / "cut.safetensors", keep)
        found = load_file(tmp_path / "cut.safetensors")
        assert torch.equal(found["q.lora_A.weight"], down[kept])
        assert torch.equal(found["q.lora_B.weight"], up[:, kept])


def test_seed_uploads_public_suites_and_likes_unevenly(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=io.StringIO())
    suites = EvaluationSuite.objects.filter(kind="own", visibility="public")
    assert {suite.name for suite in suites} == {name for _, name, _ in demo_suites.SUITES} == set(demo_suites.ASKED)
    assert redis_client().llen("marketplace") == 2, "what is shipped of those that are asked is run once it can be"
    suites.filter(name="Shopping lists").delete()
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=io.StringIO())
    assert not suites.filter(name="Shopping lists").exists(), "deleted ones stay deleted"
    people = {name: User.objects.get(username=name) for name in ("demo", *seed_demo.PUBLISHERS, *seed_demo.READERS)}
    owner = people["studio"]
    made = [Adapter(owner=owner, name=f"thing-{number}") for number in range(50)]
    liked: Counter[str] = Counter({adapter.name: 0 for adapter in made})
    monkeypatch.setattr(demo, "write_like", lambda *, user, adapter, likes: liked.update([adapter.name]))
    demo.like_some(people, made)
    counts = sorted(liked.values())
    assert counts[0] == 0
    assert counts[25] <= 3
    assert counts[-1] >= 7


def test_default_base_may_be_a_directory(shipped: Path, tmp_path: Path, settings: Any) -> None:
    folder = tmp_path / "my-base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    settings.DEFAULT_BASE, settings.DEFAULT_BASE_SOURCE = "my-base", str(folder)
    call_command("seed_demo", "--passwords", str(tmp_path / "passwords.json"), stdout=io.StringIO())
    base = Base.objects.get(name="my-base")
    assert base.source == str(folder)
    assert Job.objects.get(kind="base_shapes").request["base"]["source"] == str(folder)
