"""A root that takes no more bytes: a clear error, nothing half-written, and the next run finishes."""

import os
import resource
import subprocess
import sys
from pathlib import Path

from stages.manifest import read_manifest
from tests.videos import three_shots

PROGRAM = "from curator_dagster.cli import main; main()"


def curate(sources: Path, root: Path, *, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """`curator run` in a process whose files may not grow beyond a size."""
    command = [sys.executable, "-c", PROGRAM, "run", str(sources), "--root", str(root), "--until", "videos"]
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "CURATOR_ROOT")}
    return subprocess.run(
        [*command, "--set", "executor.mode=local"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
    )


def test_full_disk_stops_with_a_clear_error_and_the_next_run_finishes(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    three_shots(sources / "a.mp4")
    stopped = curate(sources, tmp_path / "root", most_bytes=4096)
    assert stopped.returncode == 1, stopped.stderr
    assert "cannot be used: [Errno 27] File too large" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not list((tmp_path / "root").rglob("*.tmp-*")) + list((tmp_path / "root").rglob("rows-*"))
    finished = curate(sources, tmp_path / "root", most_bytes=1 << 30)
    assert finished.returncode == 0, finished.stderr
    assert read_manifest(str(tmp_path / "root"), "videos")["status"].to_pylist() == ["kept"]
