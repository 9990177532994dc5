"""Upload large adapters to a real web process and watch its memory.

    python -m benchmarks.upload [--size 400] [--repeat 3] [--tus]

Starts PostgreSQL, Redis and uvicorn in a temporary folder, sends adapters of random bytes through REST, and reports
megabytes per second (until the answer) and by how much the web process's resident memory rose at most, as the kernel
counted it (VmHWM). What was stored must have the digest of what was sent. With ``--tus`` the weights go up as a file in
pieces, in one piece, and the time includes making the upload of it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.embedded.postgres import EmbeddedPostgres
from marketplace.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parent.parent
BOUNDARY = "brickyard-benchmark"
CONFIG = json.dumps(
    {"peft_type": "LORA", "base_model_name_or_path": "none", "r": 8, "lora_alpha": 8, "target_modules": ["q_proj"]}
).encode()
MEGABYTE = 1_000_000
MAKE_TOKEN = """
from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
user = User.objects.create_user("benchmark", "benchmark@localhost", "not used anywhere")
print(create_token(user=user, name="benchmark", scope="write")[1])
"""


@dataclass(frozen=True)
class Figures:
    """``processor`` is how long the web process computed; ``grown`` is how far the peak of its resident memory rose
    above what it was before, in bytes."""

    seconds: float
    processor: float
    grown: int
    sha256: str
    answer: dict[str, object]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def web_process(environment: dict[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """uvicorn as the demo starts it: (process id, port), ready to answer."""
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "marketplace.asgi:application", "--port", str(port), "--no-access-log"]
    with log.open("ab") as output:
        process = subprocess.Popen(argv, env=environment, cwd=ROOT, stdout=output, stderr=output)
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if request(port, "GET", "/healthz")[0] == 200:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the web process did not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


def request(port: int, method: str, path: str, token: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def weights(size: int, seed: int) -> Iterator[bytes]:
    """``size`` bytes that no disk compresses, at hardly any cost."""
    block = random.Random(seed).randbytes(1 << 20)
    for start in range(0, size, len(block)):
        piece = (start.to_bytes(8, "little") + block)[: min(len(block), size - start)]
        yield piece


def part(name: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def resident(pid: int) -> int:
    """Resident memory now, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak(pid: int) -> int:
    """Highest resident memory since ``reset_peak``, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not count VmHWM")


def processor_seconds(pid: int) -> float:
    """User and system time of the process until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def measure(port: int, pid: int, token: str, size: int, seed: int) -> Figures:
    """Send one upload of ``size`` bytes of weights."""
    head, middle = part("adapter_config.json") + CONFIG + b"\r\n", part("adapter_model.safetensors")
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    digest = hashlib.sha256()
    before, computed = resident(pid), processor_seconds(pid)
    reset_peak(pid)
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.putrequest("POST", "/api/v1/uploads/")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + len(middle) + size + len(tail)))
    connection.endheaders(head + middle)
    for piece in weights(size, seed):
        digest.update(piece)
        connection.send(piece)
    connection.send(tail)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    seconds = time.perf_counter() - began
    connection.close()
    if answer.status != 201 or body["files"][1]["sha256"] != digest.hexdigest():
        raise RuntimeError(f"{answer.status}: {body}")
    return Figures(seconds, processor_seconds(pid) - computed, peak(pid) - before, digest.hexdigest(), body)


def measure_tus(port: int, pid: int, token: str, size: int, seed: int) -> Figures:
    """The same through tus: both files announced, sent, and made an upload."""
    digest = hashlib.sha256()
    before, computed = resident(pid), processor_seconds(pid)
    reset_peak(pid)
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    said = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    parts = []
    for name, length in {"adapter_config.json": len(CONFIG), "adapter_model.safetensors": size}.items():
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        announced = {**said, "Upload-Length": str(length), "Upload-Metadata": metadata}
        address = _answer(connection, "POST", "/api/v1/uploads/tus/", announced)[0]["Location"]
        parts.append(address.split("/")[-2])
        piece = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Content-Length": str(length)}
        body = _hashed(weights(size, seed), digest) if length == size else iter([CONFIG])
        _answer(connection, "PATCH", address, {**said, **piece}, body)
    body = iter([json.dumps({"parts": parts}).encode()])
    length = str(len(json.dumps({"parts": parts})))
    as_json = {**said, "Content-Type": "application/json", "Content-Length": length}
    answer = json.loads(_answer(connection, "POST", "/api/v1/uploads/", as_json, body)[1])
    seconds = time.perf_counter() - began
    connection.close()
    if answer["files"][1]["sha256"] != digest.hexdigest():
        raise RuntimeError(f"other bytes were stored: {answer}")
    return Figures(seconds, processor_seconds(pid) - computed, peak(pid) - before, digest.hexdigest(), answer)


def _hashed(pieces: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Iterator[bytes] | None = None,
) -> tuple[http.client.HTTPMessage, bytes]:
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {data.decode()}")
    return answer.headers, data


def manage(environment: dict[str, str], *arguments: str) -> str:
    """``manage.py``'s last line of output."""
    argv = [sys.executable, str(ROOT / "manage.py"), *arguments]
    run = subprocess.run(argv, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return run.stdout.strip().splitlines()[-1] if run.stdout.strip() else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=400, help="megabytes per upload")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--tus", action="store_true", help="send the weights as a file in pieces")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brickyard-benchmark-") as folder:
        home = Path(folder)
        (home / "static").mkdir()
        postgres, redis = EmbeddedPostgres(home), EmbeddedRedis(home / "redis")
        try:
            environment = {
                **os.environ,
                "DATABASE_URL": postgres.start(),
                "REDIS_URL": redis.start(),
                "CELERY_BROKER_URL": redis.broker_url,
                "BLOB_STORE_URL": f"file://{home / 'blobs'}",
                "SECRET_KEY": "benchmark",
                "INSECURE_HTTP": "1",
                "ALLOWED_HOSTS": "*",
                "STATIC_ROOT": str(home / "static"),
                "DJANGO_SETTINGS_MODULE": "marketplace.settings",
            }
            manage(environment, "migrate", "--verbosity", "0")
            token = manage(environment, "shell", "--verbosity", "0", "-c", MAKE_TOKEN)
            try:
                _run(home, environment, token, options)
            except RuntimeError:
                print((home / "web.log").read_text()[-6000:])
                raise
        finally:
            redis.stop()
            postgres.stop()


def _run(home: Path, environment: dict[str, str], token: str, options: argparse.Namespace) -> None:
    size, send = options.size * MEGABYTE, measure_tus if options.tus else measure
    with web_process(environment, home / "web.log") as (pid, port):
        send(port, pid, token, MEGABYTE, seed=0)  # the first request loads what later ones need
        found = [send(port, pid, token, size, seed) for seed in range(1, options.repeat + 1)]
        for figures in found:
            rate, grown = size / MEGABYTE / figures.seconds, figures.grown / 2**20
            print(f"{rate:7.0f} MB/s  {figures.seconds:6.2f} s, {figures.processor:.2f} computing  +{grown:5.1f} MiB")
        median = statistics.median(size / MEGABYTE / figures.seconds for figures in found)
        print(f"median {median:.0f} MB/s, memory at most +{max(f.grown for f in found) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
