"""A server that workers started for themselves, on a Ray of the run's own, whose driver is killed or that dies itself.

1. A driver that is killed while clips are captioned leaves neither the server nor what that started.
2. A second run starts a server of its own, captions every clip, and leaves nothing either.
3. A server that dies while it is asked is started again, and no clip fails.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from stages.manifest import ManifestRef, read_manifest
from stages.models.managed_server import VLLM_VARIABLE
from stages.params import CaptionParams, ExecutorParams
from stages.run import open_session
from tests.clips import PARTITION, clip_row, commit_rows
from tests.faults.command import PROJECT
from tests.faults.temporary_folder import temporary_folder
from tests.faults.waiting import communicate, wait_for, wait_until
from tests.stages.models.test_managed_server import SERVER, running
from tests.videos import three_shots

pytestmark = pytest.mark.system

PROGRAM = "import sys; from tests.faults.test_managed_server import caption; caption(*sys.argv[1:])"


def caption(root: str, model: str, prompt: str) -> None:
    """Caption the clips of a root with a managed server."""
    inputs = {"filtered_clips": [ManifestRef(root, "filtered_clips", PARTITION)]}
    with open_session(ExecutorParams()) as session:
        params = CaptionParams(captioner="vllm", model=model, prompt=prompt, score_only=["repetitive"])
        session.run_phase(params, inputs, [ManifestRef(root, "captions", PARTITION)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    video = three_shots(tmp_path / "three.mp4")
    commit_rows(tmp_path, "filtered_clips", [clip_row(video, start, start + 75) for start in (0, 75, 150)])
    return tmp_path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that passes for a checkpoint."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


@contextmanager
def captioning(root: Path, model: Path, prompt: str) -> Iterator[subprocess.Popen[str]]:
    with temporary_folder() as temporary:
        named = f"{sys.executable} {SERVER} serve {{model}} --port {{port}}"
        environment = {**os.environ, VLLM_VARIABLE: named, "TMPDIR": str(temporary)}
        command = [sys.executable, "-c", PROGRAM, str(root), str(model), prompt]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=PROJECT, env=environment, **options) as process:
            try:
                yield process
            finally:
                process.kill()


def server_pids(model: Path) -> list[int]:
    """Of all servers that were started, and of what they started."""
    return [int(line) for line in (model / "pids").read_text().split()] if (model / "pids").exists() else []


def rows(root: Path) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason"]) for row in read_manifest(str(root), "captions").to_pylist()]


def test_killed_driver_leaves_no_server_and_the_next_run_has_its_own(root: Path, model: Path) -> None:
    (model / "hold").touch()
    with captioning(root, model, "Say what moves.") as first:
        wait_for(first, lambda: (model / "asked").exists())
        before = server_pids(model)
        assert running(before) == before
        first.send_signal(signal.SIGKILL)
        first.wait()
        wait_until(lambda: not running(before), describe=lambda: running(before))
    (model / "hold").unlink()
    with captioning(root, model, "Say what moves.") as second:
        output = communicate(second)
        assert second.returncode == 0, output
    assert rows(root) == [("kept", None)] * 3
    after = server_pids(model)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    wait_until(lambda: not running(after), describe=lambda: running(after))


def test_server_that_dies_is_started_again_and_no_clip_fails(root: Path, model: Path) -> None:
    with captioning(root, model, "Say how they die.") as run:
        output = communicate(run)
        assert run.returncode == 0, output
    assert rows(root) == [("kept", None)] * 3
    assert (model / "died").exists()
    pids = server_pids(model)
    assert len(pids) == 4
    wait_until(lambda: not running(pids), describe=lambda: running(pids))
