from pathlib import Path

from curator_dagster.checks.written_clips import written_clips
from stages.run import PhaseReport
from stages.storage import Storage
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.checks.tables import checked_table, commit, row


def written(root: Path, count: int) -> PhaseReport:
    data = tiny_phases.clip_bytes()
    paths = [{"path": f"p/{n}.mp4", "metadata_path": f"p/{n}.json"} for n in range(count)]
    for each in paths:
        Storage(root).write_bytes(f"dataset/{each['path']}", data)
        Storage(root).write_bytes(f"dataset/{each['metadata_path']}", b"{}")
    return commit(root, "dataset", [row(n, **each, bytes=len(data)) for n, each in enumerate(paths)])


def test_written_clips_passes_files_as_the_rows_say(tmp_path: Path) -> None:
    result = written_clips(checked_table(tmp_path, written(tmp_path, 3), clips_opened=2))
    assert (result.passed, dict(result.metadata)) == (True, {"clips": 3, "opened": 2, "damaged": 0, "allowed": 0})


def test_written_clips_rejects_one_missing_file_and_another_whose_bytes_are_no_video(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    file = tmp_path / "dataset/p/1.mp4"
    file.write_bytes(bytes(file.stat().st_size))
    assert "dataset/p/1.mp4 must be a whole video" in written_clips(checked_table(tmp_path, made)).description
    (tmp_path / "dataset/p/2.json").unlink()
    assert "dataset/p/2.json must be there" in written_clips(checked_table(tmp_path, made)).description
