"""The containers say the same as the code: commands, environment, targets, health checks."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference_worker.config import WorkerConfig
from inference_worker.contracts.check_limits import Limits
from inference_worker.roles import ROLES
from inference_worker.serving.settings import ENVIRONMENT_PREFIX, EngineSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
#: What operators do not set: the image's own, made of the passwords, a role's, or for developers.
FIXED = {"DATABASE_URL", "REDIS_URL", "LOG_FORMAT", "STATIC_ROOT", "BLOB_CACHE", "WORKER_NICE", "WORKER_NAME", "DEBUG"}
STORE = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"}
STORE |= {"AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return found


def service_of(role: str) -> str:
    return "marketplace-worker" if role == "marketplace" else f"{role}-worker"


def read_variables() -> set[str]:
    """Names that the settings read from the environment."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "marketplace" / "settings").glob("*.py"))
    return set(re.findall(r"env(?:\.\w+)?\(\s*\"(\w+)\"", text))


@pytest.mark.parametrize("role", ROLES.values(), ids=list(ROLES))
def test_worker_commands_are_the_roles(role: Any, services: dict[str, Any]) -> None:
    assert services[service_of(role.name)]["command"] == ["python", "-m", *role.command(concurrency=role.concurrency)]


@pytest.mark.parametrize(
    "role", [role for role in ROLES.values() if role.name != "marketplace"], ids=lambda role: role.name
)
def test_workers_have_the_roles_environment_and_no_database(role: Any, services: dict[str, Any]) -> None:
    environment = services[service_of(role.name)]["environment"]
    assert not {"DATABASE_URL", "SECRET_KEY"} & set(environment)
    given = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        for name, value in environment.items()
        if value is not None
    }
    for name, value in role.environment.items():
        if not (role.name == "live" and name == "OMP_NUM_THREADS"):
            assert given[name] == value, name
    config = WorkerConfig.from_environment(given)
    assert re.sub(r"\$\{REDIS_PASSWORD:\?[^}]*\}", "secret", config.redis_url) == "redis://:secret@redis:6379/0"


def test_marketplace_variables_are_read_by_the_settings(services: dict[str, Any]) -> None:
    known = read_variables()
    for name in ("web", "migrate", "marketplace-worker"):
        unknown = set(services[name]["environment"]) - known - STORE
        assert not unknown, f"{name}: {unknown}"


def worker_variables() -> set[str]:
    """Names that the workers read from the environment."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "inference_worker").rglob("*.py"))
    limits = {f"CHECK_MAX_{field.name.upper()}" for field in fields(Limits)}
    engine = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in EngineSettings.model_fields}
    return set(re.findall(r"environ(?:ment)?(?:\.get\(|\[)\s*\"(\w+)\"", text)) | limits | engine


def passed_to(*names: str, services: dict[str, Any]) -> set[str]:
    """What of .env reaches these services: filled in, or passed on by a name without a value."""
    found: set[str] = set()
    for name in names:
        environment = services[name]["environment"]
        found |= {key for key, value in environment.items() if value is None}
        found |= set(re.findall(r"\$\{(\w+)", " ".join(map(str, environment.values()))))
    return found


def example_variables() -> set[str]:
    return set(re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


def test_example_environment_names_what_compose_requires(services: dict[str, Any]) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    required = set(re.findall(r"\$\{(\w+):\?", text))
    example = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "ALLOWED_HOSTS", "SITE_URL"} == required
    assert required <= set(example)
    variant = (ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8")
    users = [name for name, service in services.items() if "environment" in service]
    used = set(re.findall(r"\$\{(\w+)", text + variant)) | passed_to(*users, services=services)
    assert used == example_variables()


@pytest.mark.parametrize("name", ["web", "marketplace-worker"])
def test_every_setting_of_the_site_can_be_set(name: str, services: dict[str, Any]) -> None:
    assert read_variables() - FIXED - passed_to(name, services=services) == set()


def test_every_setting_of_the_workers_can_be_set(services: dict[str, Any]) -> None:
    workers = [service_of(role) for role in ROLES if role != "marketplace"]
    assert worker_variables() - FIXED - passed_to(*workers, services=services) == set()


@pytest.mark.parametrize("name", ["web", "migrate", *(service_of(role) for role in ROLES)])
def test_keys_and_address_of_a_bucket_reach_whoever_reads_the_store(name: str, services: dict[str, Any]) -> None:
    assert passed_to(name, services=services) >= {"BLOB_STORE_URL", *STORE}


def test_every_service_is_watched(services: dict[str, Any]) -> None:
    unwatched = [name for name, service in services.items() if "healthcheck" not in service]
    assert unwatched == ["migrate"]
    assert "/healthz" in services["web"]["healthcheck"]["test"][-1]
    for role in ROLES.values():
        test = services[service_of(role.name)]["healthcheck"]["test"][-1]
        assert f"-A {role.app} " in test
        assert f"{role.name}@$$HOSTNAME" in test


def test_redis_keeps_its_messages(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


def test_redis_asks_everybody_for_a_password(services: dict[str, Any]) -> None:
    redis = services["redis"]
    command = redis["command"]
    assert command[command.index("--requirepass") + 1].startswith("${REDIS_PASSWORD:?")
    assert redis["environment"]["REDISCLI_AUTH"].startswith("${REDIS_PASSWORD:?")
    assert "PONG" in redis["healthcheck"]["test"][-1]
    users = [
        service["environment"]["REDIS_URL"]
        for service in services.values()
        if "REDIS_URL" in service.get("environment", {})
    ]
    assert len(users) == len(ROLES) + len(("web", "migrate"))
    assert all(url.startswith("redis://:${REDIS_PASSWORD:?") for url in users)


def test_migrations_come_before_what_needs_them(services: dict[str, Any]) -> None:
    for name in ("web", "marketplace-worker"):
        assert services[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_volumes_and_targets_exist(services: dict[str, Any]) -> None:
    volumes = set(yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"])
    used = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])}
    assert used == volumes
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {service["build"]["target"] for service in services.values() if "build" in service} <= stages


def test_gpu_variant_changes_services_that_exist(services: dict[str, Any]) -> None:
    variant = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8"))["services"]
    assert set(variant) <= set(services)
    assert variant["live-worker"]["environment"]["ENGINE_DEVICE"] == "cuda"
    devices = variant["live-worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]


def requirements(*extras: str) -> list[str]:
    command = [sys.executable, "scripts/requirements.py", *extras]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")


def test_web_image_has_no_torch() -> None:
    """Its stage copies the environment made from the dependencies without extras, and those name no torch."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    web = dockerfile.split("FROM base AS web\n")[1].split("\nFROM ")[0]
    assert "COPY --from=web-dependencies /venv /venv" in web
    assert "worker-dependencies" not in web
    heavy = re.compile(r"^(torch|transformers|peft|sentence-transformers|safetensors|gt-all)")
    assert not [line for line in requirements() if heavy.match(line)]
    assert [line for line in requirements("worker") if line.startswith("torch==2.13")]


def test_both_images_run_as_an_ordinary_user() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for target in ("web", "worker"):
        stage = dockerfile.split(f"FROM base AS {target}\n")[1].split("\nFROM ")[0]
        assert re.findall(r"^USER (\S+)", stage, re.MULTILINE) == ["brickyard"]


def test_images_copy_what_exists() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
