"""Two `curator run` on one root at once, with equal and with different parameters.

1. Every version of every table can be read, its files are whole, and each of its rows is one that a run alone makes.
2. The clips that the newest dataset names are there, with the frames that their rows say, after a next run at the
   latest; no two rows name one file.
3. A run that cannot go on, since the other has changed what it reads or has superseded it, says so without a traceback
   and ends; it commits nothing torn.
4. A run alone afterwards makes the tables of a run that was always alone.
"""

import random
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import av
import pytest

from stages.manifest import committed_partitions, read_commit, read_manifest
from stages.storage import Storage
from tests.faults.command import arguments, running_process, wait_for_exit
from tests.faults.measurements import record
from tests.faults.tables import Tables, check_files_whole, committed_tables, tables, versions
from tests.videos import noise_shot, three_shots, write_video

SETTINGS: dict[str, dict[str, Any]] = {
    "by shot": {},
    "by stride": {"split.method": "fixed_stride", "split.clip_length_s": 2},
    "fine": {"split.frames_fps": 4},
    "strict": {"filter.duration_min_s": 2.3},
}
PAIRS = {
    "equal": ("by shot", "by shot"),
    "split": ("by shot", "by stride"),
    "frames": ("by shot", "fine"),
    "filter": ("by shot", "strict"),
}
ONE_FILTER = {"filter.filters": ["duration"]}
"""The others reject noise, of which the videos are made."""
_PROVENANCE_COLUMNS = (
    "row_key",
    "metadata_path",
    "group_id",
    "group_size",
    "nearest_clip_id",
    "similarity",
    "rank",
    "error",
)
"""Columns that depend on other clips, or on their version, besides the clip of the row."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shots, one shot twice, and no video at all."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "more").mkdir()
    three_shots(folder / "three.mp4")
    for path in (folder / "one.mp4", folder / "more" / "one.mp4"):
        write_video(path, noise_shot(9, 100))
    (folder / "text.mp4").write_text("no video")
    return folder


def running_curator(sources: Path, root: Path, name: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """A run without Ray."""
    settings = {"executor.mode": "local", "split.min_length_s": 1, "read.exact_copies": False}
    return running_process(arguments(sources, root, {**settings, **ONE_FILTER, **SETTINGS[name]}))


def finish(sources: Path, root: Path, name: str) -> None:
    """Run alone to the end, which must be a success."""
    with running_curator(sources, root, name) as run:
        code, output = wait_for_exit(run)
    assert code == 0, output


@pytest.fixture(scope="module")
def reference(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """By the name of settings, the tables of a run alone with them."""
    found: dict[str, Tables] = {}
    for name in SETTINGS:
        root = tmp_path_factory.mktemp("reference")
        finish(sources, root, name)
        found[name] = lasting_tables(root)
    return found


def lasting_tables(root: Path) -> Tables:
    """All tables, but for the keys of `unique_clips`, which name the version that was there before."""
    found = tables(root)
    for row in found["unique_clips"]:
        row.pop("row_key")
    return found


def own_columns(row: dict[str, Any]) -> str:
    return str(sorted((name, value) for name, value in row.items() if name not in _PROVENANCE_COLUMNS))


def check_versions(root: Path, expected: list[Tables]) -> int:
    """Check promise 1; return the number of versions."""
    storage, number = Storage(root), 0
    for ref in committed_tables(storage):
        known = {own_columns(row) for each in expected for row in each[ref.asset]}
        for commit in versions(storage, ref):
            rows = read_commit(storage, ref, commit).to_pylist()
            assert {own_columns(row) for row in rows} <= known, f"{ref.asset} version {commit.number}"
            check_files_whole(storage, ref, commit)
            number += 1
    return number


def missing_files(root: Path) -> int:
    """Check the clips that the newest dataset names; return the number of missing files."""
    rows = [row for row in read_manifest(str(root), "dataset").to_pylist() if row["status"] == "kept"]
    named = [row[name] for row in rows for name in ("path", "preview_path", "metadata_path")]
    assert len(set(named)) == len(named)
    for row in rows:
        if (root / "dataset" / row["path"]).exists():
            with av.open(str(root / "dataset" / row["path"])) as container:
                assert (
                    sum(1 for _ in container.decode(video=0))
                    == row["num_frames"]
                    == row["end_frame"] - row["start_frame"]
                )
    return sum(not (root / "dataset" / path).exists() for path in named)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pair", PAIRS)
def test_two_curator_runs_at_once_leave_whole_tables(
    pair: str, seed: int, sources: Path, tmp_path: Path, reference: dict[str, Tables]
) -> None:
    refusals, together_s = run_both(sources, tmp_path, pair, apart_s=random.Random(f"{pair}-{seed}").uniform(0, 3))
    if pair == "equal":
        assert not refusals
    assert all("Materialize" in text or "superseded" in text for text in refusals), refusals
    expected = [reference[name] for name in PAIRS[pair]]
    num_versions = check_versions(tmp_path, expected)
    num_missing = missing_files(tmp_path) if committed_partitions(Storage(tmp_path), "dataset") else 0
    finish(sources, tmp_path, PAIRS[pair][0])
    assert missing_files(tmp_path) == 0
    assert lasting_tables(tmp_path) == expected[0]
    figures = {"versions": num_versions, "refusals": len(refusals), "files_to_heal": num_missing}
    record("two curators at once", pair=pair, seed=seed, together_s=together_s, **figures)


def run_both(sources: Path, root: Path, pair: str, *, apart_s: float) -> tuple[list[str], float]:
    """Run both at once; return the outputs of those that failed, and the seconds in which both ran, at least."""
    earlier, later = PAIRS[pair]
    with running_curator(sources, root, earlier) as first:
        time.sleep(apart_s)
        with running_curator(sources, root, later) as second:
            started, alive = time.monotonic(), [first.poll(), second.poll()]
            results = [wait_for_exit(first)]
            together_s = round(time.monotonic() - started, 1) if second.poll() is None else 0.0
            results.append(wait_for_exit(second))
    assert alive == [None, None], "both run when the second has started"
    assert not [text for _, text in results if "Traceback" in text]
    return [text for code, text in results if code], together_s
