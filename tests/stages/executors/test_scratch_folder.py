"""Scratch folders of workers, on the driver's machine and on others."""

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stages.executors import scratch_folder
from stages.executors.scratch_folder import LOCK_NAME, ScratchFolder, hold, remove_abandoned
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import PayloadTask, Step, executor, make_tasks, run
from tests.faults.waiting import wait_for


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


def test_folder_that_nobody_holds_is_removed_and_no_other(tmp_path: Path) -> None:
    """Abandoned is what a killed process held; others are held, are no scratch folders, or were never held."""
    abandoned, held = tmp_path / "curator-abandoned", tmp_path / "curator-held"
    program = (
        "import os, sys; from pathlib import Path; from stages.executors.scratch_folder import hold;"
        "held = hold(Path(sys.argv[1])); Path(sys.argv[1], 'frames').mkdir(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, abandoned], check=False).returncode == -9
    assert (abandoned / "frames").is_dir()
    others = [tmp_path / "curator-session", tmp_path / "elsewhere"]
    for folder in others:
        folder.mkdir()
    (others[1] / LOCK_NAME).touch()
    (tmp_path / "curator-link").symlink_to(others[1])
    with hold(held):
        remove_abandoned(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            ["curator-held", "curator-link", "curator-session", "elsewhere"]
        )
    remove_abandoned(tmp_path)
    assert not held.exists()


def test_folder_that_is_removed_while_it_is_asked_for_is_made_again(tmp_path: Path) -> None:
    """Who waits for the lock of a folder that is being removed gets it for a file that has no name any more."""
    folder = tmp_path / "curator-x"
    program = "import sys; from pathlib import Path; from stages.executors.scratch_folder import hold;" + (
        "held = hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with hold(folder) as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        wait_for(waiting, lambda: _has_open(waiting.pid, folder / LOCK_NAME))
        (folder / LOCK_NAME).unlink()
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "held\n"
    remove_abandoned(tmp_path)
    assert (folder / LOCK_NAME).exists()
    waiting.communicate("")
    remove_abandoned(tmp_path)
    assert not folder.exists()


def test_session_that_ends_waits_for_workers_to_let_go(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_folder, "MAX_RELEASE_S", 0.2)
    scratch = ScratchFolder("/tmp/curator-x", "a")
    folder = scratch.path_on("b")
    with hold(folder):
        scratch.remove_here()
        assert folder.is_dir()
    scratch.remove_here()
    assert not folder.exists()


def _has_open(pid: int, path: Path) -> bool:
    files = Path(f"/proc/{pid}/fd")
    return any(os.path.exists(file) and os.path.samefile(file, path) for file in files.iterdir())


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
