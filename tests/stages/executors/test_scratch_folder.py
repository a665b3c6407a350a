"""Scratch folders of workers, on the driver's machine and on others."""

import tempfile
from pathlib import Path

import pytest

from stages.executors.scratch_folder import ScratchFolder
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import Load, Step, executor, loads, run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's folder for temporary files, at a path too long for Ray's sockets."""
    folder = tmp_path / "job" / "local"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(("node", "is_there", "own"), [("a", True, False), ("b", True, True), ("a", False, True)])
def test_scratch_lies_in_the_temporary_folder_of_each_machine(
    here: Path, tmp_path: Path, node: str, is_there: bool, own: bool
) -> None:
    given = tmp_path / "curator-x"
    if is_there:
        given.mkdir()
    folder = ScratchFolder(str(given), "a").path_on(node)
    assert folder == (here / "curator-x" if own else given)
    assert folder.is_dir()
    assert ScratchFolder(str(given), "a").path_on(node) == folder


class Where(Step):
    """Writes down where its temporary files lie."""

    def process(self, task: Load) -> Load | list[Load] | Rejected | Failed:
        return Load(task.task_id, way=tempfile.mkdtemp())


@pytest.mark.usefixtures("ray_cluster")
def test_workers_keep_files_in_the_users_temporary_folder_which_is_left_empty(here: Path) -> None:
    with executor() as ready:
        done = run(ready, [Where("where")], loads("1"))
    (rows,) = done.outcomes["1"]
    assert Path(rows[0]["way"]).is_relative_to(here)
    assert list(here.iterdir()) == []
