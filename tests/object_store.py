"""A real S3 server on this machine, for the tests that need one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "test", "testsecret"
READY_S = 30


def free_port() -> int:
    """A port that nothing listens on, nor on the one 10,000 above it, which the server takes for gRPC."""
    while True:
        with socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port < 50_000 and above.connect_ex(("127.0.0.1", port + 10_000)) != 0:
                return port


@contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """The server's URL; its data lies in `folder`, and it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "s3.json"
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    config.write_text(json.dumps({"identities": [{"name": "t", "credentials": credentials, "actions": actions}]}))
    names = ("s3", "master", "volume", "filer", "admin")
    ports = dict(zip(names, _ports(len(names)), strict=True))
    command = [str(Path(sys.executable).with_name("weed")), "mini", f"-dir={folder / 'data'}", "-webdav=false"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}", "-master.telemetry=false"]
    command += [f"-{name}.port={port}" for name, port in ports.items()]
    (folder / "data").mkdir(exist_ok=True)
    with open(folder / "server.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_ready(server, ports["s3"], folder / "server.log")
            yield f"http://127.0.0.1:{ports['s3']}"
        finally:
            os.kill(server.pid, signal.SIGINT)
            server.wait(timeout=READY_S)


def _ports(number: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return sorted(ports)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    limit = time.monotonic() + READY_S
    while time.monotonic() < limit:
        if server.poll() is not None:
            raise RuntimeError(f"the S3 server ended at its start: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server must be ready within {READY_S} s: {log.read_text()[-2000:]}")
