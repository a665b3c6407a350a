"""What `curator vacuum` says."""

import os
import time
from pathlib import Path

import pytest

from curator_dagster.commands.vacuum import vacuum_command
from stages.storage import Storage


def last_line(root: Path, capsys: pytest.CaptureFixture[str], *, deletes: bool = False) -> str:
    vacuum_command(str(root), keep=10, min_age_s=3600.0, deletes=deletes)
    return capsys.readouterr().out.splitlines()[-1]


def test_vacuum_offers_to_delete_only_where_there_is_something(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Storage(tmp_path).write_bytes("former/p/a.mp4", b"a clip")
    assert last_line(tmp_path, capsys) == "There is nothing to remove: files younger than 1 h stay (--min-age-h)."
    two_hours_ago = time.time() - 7200
    os.utime(tmp_path / "former/p/a.mp4", (two_hours_ago, two_hours_ago))
    assert last_line(tmp_path, capsys) == "Nothing was removed. Run it again with --delete."
    assert last_line(tmp_path, capsys, deletes=True) == "Versions that stay: none"
    assert not (tmp_path / "former/p/a.mp4").exists()
