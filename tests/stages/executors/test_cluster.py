import sys
from pathlib import Path

import pytest

from stages.executors.ray_connection import _job_environment


def test_workers_look_for_ours_first_where_a_folder_of_the_path_has_another_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _job_environment() is None
    (tmp_path / "stages").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert _job_environment() == {"worker_process_setup_hook": "curator_dagster.bundled_stages.import_bundled_stages"}
