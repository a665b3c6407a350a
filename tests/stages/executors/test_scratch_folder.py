"""Scratch folders of workers, on the driver's machine and on others."""

import tempfile
from pathlib import Path

import pytest

from stages.executors.scratch_folder import ScratchFolder
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import PayloadTask, Step, executor, make_tasks, run


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This machine's folder for temporary files, at a path too long for Ray's sockets."""
    folder = tmp_path / "job" / "local"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(("node", "is_there", "own"), [("a", True, False), ("b", True, True), ("a", False, True)])
def test_scratch_lies_in_the_temporary_folder_of_each_machine(
    temporary: Path, tmp_path: Path, node: str, is_there: bool, own: bool
) -> None:
    given = tmp_path / "curator-x"
    if is_there:
        given.mkdir()
    folder = ScratchFolder(str(given), "a").path_on(node)
    assert folder == (temporary / "curator-x" if own else given)
    assert folder.is_dir()
    assert ScratchFolder(str(given), "a").path_on(node) == folder


class TemporaryFolderStep(Step):
    """Writes down where its temporary files lie."""

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        return PayloadTask(task.task_id, path=tempfile.mkdtemp())


@pytest.mark.usefixtures("ray_cluster")
def test_workers_keep_files_in_the_users_temporary_folder_which_is_left_empty(temporary: Path) -> None:
    with executor() as ready:
        result = run(ready, [TemporaryFolderStep("where")], make_tasks("1"))
    (rows,) = result.outcomes["1"]
    assert Path(rows[0]["path"]).is_relative_to(temporary)
    assert list(temporary.iterdir()) == []
