"""Stores whose exclusive creation is not exclusive are found out before anything is committed to them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import pytest
from botocore.credentials import Credentials
from fsspec.config import conf
from fsspec.spec import AbstractFileSystem

from curator_dagster.cli import app
from stages.errors import ParamsError
from stages.storage import Storage, check_exclusive_creation
from tests.faults.http_proxy import HttpProxy
from tests.object_store import ObjectStore
from tests.videos import three_shots


@pytest.fixture
def deaf_store(s3_bucket: str, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket behind a proxy that drops the condition of a request."""
    credentials = Credentials(s3_server.settings["key"], s3_server.settings["secret"])
    with HttpProxy(s3_server.url, dropped=("if-none-match",), credentials=credentials) as proxy:
        monkeypatch.setitem(conf, "s3", {**s3_server.settings, "endpoint_url": proxy.url})
        yield s3_bucket


def test_store_that_heeds_the_condition_is_taken_and_left_as_it_was(s3_bucket: str) -> None:
    storage = Storage(f"{s3_bucket}/root")
    check_exclusive_creation(storage)
    assert storage.list() == []


def test_store_that_drops_the_condition_is_refused(deaf_store: str) -> None:
    storage = Storage(f"{deaf_store}/root")
    with pytest.raises(ParamsError, match=r"must create a file for one writer only, but \d of 8 .*If-None-Match"):
        check_exclusive_creation(storage)
    assert storage.list() == []


def test_run_on_such_a_store_ends_before_any_work(
    deaf_store: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    three_shots(tmp_path / "in" / "a.mp4")
    with pytest.raises(SystemExit) as exit_info:
        app(["run", str(tmp_path / "in"), "--root", f"{deaf_store}/root", "--set", "executor.mode=local"])
    assert exit_info.value.code == 1
    assert "must create a file for one writer only" in " ".join(capfd.readouterr().err.split())
    assert Storage(f"{deaf_store}/root").list("manifests") == []


class LooksFirst(AbstractFileSystem):
    """Files of this machine behind a line of 10 ms, created as those of SFTP and SMB are: by fsspec's own method."""

    protocol = "looksfirst"
    cachable = False

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        time.sleep(0.01)
        return {"name": path, "size": os.path.getsize(path), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> IO[bytes]:  # type: ignore[override]
        time.sleep(0.01)
        return open(path, mode)

    def rm_file(self, path: str) -> None:  # pyrefly: ignore[bad-override] - its result is not used
        os.unlink(path)


class Hidden(LooksFirst):
    """The same by a method of the class's own."""

    protocol = "hidden"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:  # type: ignore[override]
        super().pipe_file(path, value, mode, **kwargs)


@pytest.mark.parametrize("kind", [LooksFirst, Hidden])
def test_file_system_that_looks_first_is_refused(kind: type[AbstractFileSystem], tmp_path: Path) -> None:
    fsspec.register_implementation(str(kind.protocol), kind, clobber=True)
    with pytest.raises(ParamsError, match="must create a file for one writer only"):
        check_exclusive_creation(Storage(f"{kind.protocol}://{tmp_path}"))
