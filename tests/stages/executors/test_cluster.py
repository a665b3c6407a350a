import sys
from pathlib import Path

import pytest

from stages.executors.ray_connection import _job_environment


def test_workers_look_for_ours_first_where_a_folder_of_the_path_has_another_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _job_environment(is_private=True) is None
    (tmp_path / "stages").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert _job_environment(is_private=True) == {
        "worker_process_setup_hook": "curator_dagster.bundled_stages.import_bundled_stages"
    }


@pytest.mark.parametrize(
    ("is_private", "expected"), [(True, {"py_executable": "'/our clone/bin/python'"}), (False, None)]
)
def test_python_in_a_folder_with_a_space_is_quoted_for_the_shell_of_ray(
    monkeypatch: pytest.MonkeyPatch, is_private: bool, expected: dict[str, str] | None
) -> None:
    """Nodes of a cluster that is joined have a Python of their own."""
    monkeypatch.setattr(sys, "executable", "/our clone/bin/python")
    assert _job_environment(is_private=is_private) == expected
