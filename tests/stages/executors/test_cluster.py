import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.executors.ray_connection import WORKER_NICENESS, _job_environment
from tests.faults.command import PROJECT

_NICENESS_OF_A_WORKER = """
import os, ray
from stages.executors.cluster import Cluster

@ray.remote
def niceness():
    return os.nice(0)

cluster = Cluster("local")
try:
    print(ray.get(niceness.remote()) - os.nice(0))
finally:
    cluster.close()
"""


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


@pytest.mark.long
@pytest.mark.parametrize(("variables", "expected"), [({}, WORKER_NICENESS), ({"RAY_worker_niceness": "3"}, 3)])
def test_workers_of_a_private_ray_get_a_share_of_a_busy_machine(variables: dict[str, str], expected: int) -> None:
    command = [sys.executable, "-c", _NICENESS_OF_A_WORKER]
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_worker_niceness"}  # of the tests
    env = {**inherited, "PYTHONPATH": str(PROJECT), **variables}
    printed = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert printed.split()[-1] == str(expected)
