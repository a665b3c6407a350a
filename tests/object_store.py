"""A local S3 server for tests, which may stop and restart it."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.waiting import communicate, wait_for

KEY, SECRET = "test", "testsecret"


class ObjectStore:
    """A server that keeps its ports and its data when it is restarted.

    Attributes:
        url: of its S3 interface.
        settings: of fsspec's S3 file system, by name.
    """

    def __init__(self, folder: Path) -> None:
        config = folder / "s3.json"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(exist_ok=True)
        credentials = [{"accessKey": KEY, "secretKey": SECRET}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config.write_text(json.dumps({"identities": [{"name": "t", "credentials": credentials, "actions": actions}]}))
        names = ("s3", "master", "volume", "filer", "admin")
        ports = dict(zip(names, _ports(len(names)), strict=True))
        self._command = [str(Path(sys.executable).with_name("weed")), "mini", f"-dir={folder / 'data'}"]
        self._command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}", "-master.telemetry=false"]
        # Servers that no test uses; several stores that start at once would look for ports of these at the same places.
        self._command += ["-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        self._command += [f"-{name}.port={port}" for name, port in ports.items()]
        self._log = folder / "server.log"
        self._port = ports["s3"]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"
        self.settings = {"endpoint_url": self.url, "key": KEY, "secret": SECRET}

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        wait_for(self._process, self._answers)

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> None:
        """End the process; connections are refused from then on."""
        if self._process is not None:
            self._process.send_signal(stop_signal)
            communicate(self._process)
            self._process = None

    @contextmanager
    def outage(self, stop_signal: signal.Signals = signal.SIGINT) -> Iterator[None]:
        """Stop the server inside the block; with SIGSTOP it accepts connections and does not answer."""
        if stop_signal is signal.SIGSTOP and self._process is not None:
            self._process.send_signal(stop_signal)
            # Until its last thread stands: on a busy machine one may answer a request after the signal was sent.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        else:
            self.stop(stop_signal)
        try:
            yield
        finally:
            self.resume()

    def resume(self) -> None:
        """Let the server answer again, whether it was ended or suspended."""
        if self._process is None:
            self.start()
        else:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False


@contextmanager
def running_server(folder: Path) -> Iterator[ObjectStore]:
    """Run a server with its data in `folder` until the end of the block."""
    store = ObjectStore(folder)
    try:
        store.start()
        yield store
    finally:
        store.stop(signal.SIGKILL)


def free_port() -> int:
    """A free port, with a free port 10,000 above it, which the server uses for gRPC.

    Both are below those that Linux gives to connections: while the server is stopped, none of these may take its port.
    """
    while True:
        port = random.randrange(10_000, 22_000)
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as above:
            probe.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 10_000))
            return port


def _ports(number: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return sorted(ports)
