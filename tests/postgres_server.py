"""A real PostgreSQL server on this machine, for the tests that need one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from tests.faults.waiting import terminate, wait_for
from tests.object_store import free_port

DEBIAN = Path("/usr/lib/postgresql")
"""Debian lays each version into a folder of its own, which no PATH names."""


@contextmanager
def running_server() -> Iterator[dict[str, str]]:
    """Settings of a server that ends with the block, and whose files go with it; by the name of their variable."""
    programs = _programs()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user is not None:
        shutil.chown(folder, user, user)
    options = ["-D", str(folder / "data"), "--no-sync", "--auth=trust", "--username=curator", "--no-instructions"]
    subprocess.run([programs / "initdb", *options], user=user, cwd=folder, capture_output=True, check=True)
    port = free_port()
    options = ["-D", str(folder / "data"), "-k", str(folder), "-h", "127.0.0.1", "-p", str(port), "-c", "fsync=off"]
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([programs / "postgres", *options], user=user, cwd=folder, stdout=log, stderr=log)
    settings = {"HOST": "127.0.0.1", "PORT": str(port), "DATABASE": "postgres", "USER": "curator", "PASSWORD": "any"}
    try:
        wait_for(server, lambda: _answers(port))
        yield {f"DAGSTER_PG_{name}": value for name, value in settings.items()}
    finally:
        try:
            terminate(server)
        finally:
            shutil.rmtree(folder)


def _programs() -> Path:
    """Folder of the server's programs; without them the test skips, or fails where they are required."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else sorted(DEBIAN.glob("*/bin"))
    there = [folder for folder in candidates if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not there:
        missing = "needs PostgreSQL: apt-get install postgresql"
        if os.environ.get("CURATOR_REQUIRE_SHARED"):
            pytest.fail(f"CURATOR_REQUIRE_SHARED is set, and the test {missing}")
        pytest.skip(missing)
    return there[-1]


def _answers(port: int) -> bool:
    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="curator", dbname="postgres", connect_timeout=1).close()
    except psycopg2.OperationalError:
        return False
    return True
