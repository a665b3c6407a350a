"""`dagster dev` on a free port, with an instance, a root and a source folder of its own."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from tests.faults.command import PROJECT
from tests.faults.waiting import terminate, wait_for
from tests.object_store import free_port


@dataclass(frozen=True)
class Server:
    """A server and what it works on.

    Attributes:
        url: of its web pages.
        home: folder of its Dagster instance.
        root: what runs write to.
        source: the folder that the sensor watches.
    """

    url: str
    home: Path
    root: Path
    source: Path

    def run_ids(self) -> list[str]:
        """Of all runs so far, the newest first."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return [run.run_id for run in instance.get_runs()]

    def ray_processes(self) -> list[int]:
        """Every process of a Ray that a run of this server has started."""
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if self._is_ray(pid)]

    def _is_ray(self, pid: int) -> bool:
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended meanwhile, or is not ours
            return False
        return f"DAGSTER_HOME={self.home}".encode() in variables and (b"ray::" in command or b"/ray/" in command)


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """A server that answers; it ends with the block, and must do so when it is asked to."""
    server = Server(f"http://127.0.0.1:{free_port()}", folder / "home", folder / "root", folder / "source")
    server.home.mkdir()
    server.source.mkdir()
    (server.home / "dagster.yaml").write_text((PROJECT / "deploy" / "dagster.yaml").read_text())
    config = folder / "curator.yaml"
    config.write_text("filter: {score_only: [all]}\n")  # filters reject noise, of which the test's videos are made
    own = {"DAGSTER_HOME": server.home, "CURATOR_ROOT": server.root, "CURATOR_SOURCE": server.source}
    own["CURATOR_CONFIG"] = config
    env = {**os.environ, **{name: str(path) for name, path in own.items()}}
    # Started by a shell in the background, this process ignores SIGINT, and what it starts would too.
    command = ["env", "--default-signal=INT,TERM", Path(sys.executable).with_name("dagster"), "dev"]
    command += ["--workspace", PROJECT / "workspace.yaml", "--port", server.url.rpartition(":")[2]]
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(process, lambda: _answers(server.url))
        yield server
    finally:
        terminate(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
