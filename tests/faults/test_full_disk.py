"""A root that takes no more bytes.

1. The command ends with exit code 1 and says what is wrong in one line; or, where rows still found room, what a worker
   could not write is a row that failed for storage.
2. Nothing is half-written: no temporary file stays, every table and commit can be read, every file that a commit names
   is whole.
3. Once there is room, the same command finishes with the tables of a run that was never disturbed.
"""

import resource
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator_dagster.cli import app
from stages.manifest import read_manifest
from stages.schemas import ASSETS
from stages.storage import Storage
from tests.faults.command import arguments, run_process
from tests.faults.measurements import record
from tests.faults.small_disk import small_disk
from tests.faults.tables import check_files_whole, committed_tables, versions
from tests.videos import noisy_video, three_shots

SETTINGS = {
    "executor.mode": "local",
    "executor.backoff_s": 0.01,
    "executor.max_tries": 2,
    "split.method": "fixed_stride",
    "split.clip_length_s": 2,
    "split.min_length_s": 1,
    "filter.score_only": ["all"],  # filters reject noise, of which the videos are made
}
ENOUGH_BYTES = 1 << 30
MIN_BYTES = 3 * 4096


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos whose pictures take room."""
    folder = tmp_path_factory.mktemp("sources")
    three_shots(folder / "three.mp4")
    noisy_video(folder / "noise.mp4", 75)
    noisy_video(folder / "more.mp4", 100, seed=2)
    return folder


def curate(sources: Path, root: Path, until: str) -> int:
    """Exit code of `curator run` in this process."""
    with pytest.raises(SystemExit) as exit_info:
        app(arguments(sources, root, SETTINGS, until=until))
    assert isinstance(exit_info.value.code, int)
    return exit_info.value.code


def used_bytes(root: Path) -> int:
    """Size of the files on a disk with pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in root.rglob("*") if path.is_file())


def check_whole(root: Path) -> int:
    """Check that nothing is half-written; return the number of assets that have a table."""
    assert not list(root.rglob("*.tmp-*"))
    for path in root.rglob("*.parquet"):
        pq.read_table(path)
    storage = Storage(root)
    refs = list(committed_tables(storage))
    for ref in refs:
        for commit in versions(storage, ref):
            check_files_whole(storage, ref, commit)
    return len({ref.asset for ref in refs})


def failed_reasons(root: Path, assets: list[str]) -> set[str]:
    tables = [read_manifest(str(root), asset) for asset in assets]
    rows = [row for table in tables for row in table.to_pylist()]
    return {row["reason"] for row in rows if row["status"] == "failed"}


def check_recovery(sources: Path, reference: Path, share: float, until: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Run on a disk that holds a share of what is needed, then on one that holds all."""
    assets = list(ASSETS)[: list(ASSETS).index(until) + 1]
    size = max(MIN_BYTES, int(used_bytes(reference) * share))
    with small_disk(reference.parent / f"disk-{share}", size) as disk:
        root = disk.path / "root"
        capfd.readouterr()
        code, output = curate(sources, root, until), capfd.readouterr().err
        assert "Traceback" not in output
        if code == 0:  # what a worker could not write is a failed row, and the rows themselves found room
            assert failed_reasons(root, assets) == {"storage"}
        else:
            assert code == 1, output
            assert output.splitlines()[-1].startswith("curator: ")
        num_with_table = check_whole(root)
        disk.resize(ENOUGH_BYTES)
        started = time.monotonic()
        assert curate(sources, root, until) == 0
        assert check_whole(root) == len(assets)
        for asset in assets:
            assert read_manifest(str(root), asset).to_pylist() == read_manifest(str(reference), asset).to_pylist()
        recovery_s = round(time.monotonic() - started, 1)
        record("full disk", size_bytes=size, exit_code=code, committed=num_with_table, recovery_s=recovery_s)


@pytest.fixture(scope="module")
def reference_clips(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run up to clips that had room."""
    root = tmp_path_factory.mktemp("clips") / "reference"
    assert curate(sources, root, "clips") == 0
    return root


@pytest.fixture(scope="module")
def reference_dataset(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a whole run that had room."""
    root = tmp_path_factory.mktemp("dataset") / "reference"
    assert curate(sources, root, "dataset") == 0
    return root


@pytest.mark.system
@pytest.mark.parametrize("share", [0, 0.5])
def test_full_disk_stops_with_a_clear_error_and_the_next_run_finishes(
    share: float, sources: Path, reference_clips: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_recovery(sources, reference_clips, share, "clips", capfd)


@pytest.mark.long
@pytest.mark.parametrize("percent", [1, 5, 15, 25, 40, 50, 60, 70, 80, 90, 96, 99])
def test_disk_that_fills_in_any_phase_loses_nothing(
    percent: int, sources: Path, reference_dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_recovery(sources, reference_dataset, percent / 100, "dataset", capfd)


@pytest.mark.system
def test_file_size_limit_stops_with_a_clear_error(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    three_shots(sources / "a.mp4")
    code, output = run_process(
        arguments(sources, tmp_path / "root", {"executor.mode": "local"}, until="videos"),
        env={"PYTHONDONTWRITEBYTECODE": "1"},  # cut off at the limit, files of bytecode would break every later import
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert code == 1, output
    assert "cannot be used: [Errno 27] File too large" in output
    assert "Traceback" not in output
    assert not list((tmp_path / "root").rglob("*.tmp-*")) + list((tmp_path / "root").rglob("rows-*"))
