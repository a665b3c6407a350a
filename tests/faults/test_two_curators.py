"""Two `curator run` on one root at once, with equal and with different parameters.

1. Every version of every table can be read, its files are whole, and each of its rows is one that a run alone makes.
2. The clips that the newest dataset names are there, with the frames that their rows say, after a next run at the
   latest; no two rows name one file.
3. A run that cannot go on, since the other has changed what it reads, says so and ends; it commits nothing torn.
4. A run alone afterwards makes the tables of a run that was always alone.
"""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import pytest

from stages.manifest import ManifestRef, committed_partitions, last_commit, load_commit, read_commit, read_manifest
from stages.schemas import ASSETS
from stages.storage import Storage
from tests.faults.figures import note
from tests.videos import noise_shot, three_shots, write_video

LIMIT_S = 240
BY_SHOT = ["split.min_length_s=1"]
BY_STRIDE = ["split.method=fixed_stride", "split.clip_length_s=2", "split.min_length_s=1"]
FINE = ["split.min_length_s=1", "split.frames_fps=4"]
STRICT = ["split.min_length_s=1", "filter.duration_min_s=2.3"]
_MIXED = ("row_key", "metadata_path", "group_id", "group_size", "nearest_clip_id", "similarity", "rank", "error")
"""Columns that say from which clips, or from which version of them, a row was made, besides the clip itself."""

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


def start(sources: Path, root: Path, settings: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from curator_dagster.cli import main; main()", "run", str(sources)]
    command += ["--root", str(root)]
    for setting in ["executor.mode=local", *settings]:
        command += ["--set", setting]
    environment = {key: value for key, value in os.environ.items() if key not in ("DAGSTER_HOME", "CURATOR_ROOT")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """Nothing where it ended well, else what it said."""
    text = process.communicate(timeout=LIMIT_S)[0]
    return text if process.returncode else ""


Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def alone(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    """Tables by settings, of a run alone with each."""
    found: dict[str, Tables] = {}
    for settings in (BY_SHOT, BY_STRIDE, FINE, STRICT):
        root = tmp_path_factory.mktemp("alone")
        assert not finish(start(sources, root, settings))
        found[str(settings)] = tables(root)
    return found


def tables(root: Path) -> Tables:
    """All tables, but for the keys of `unique_clips`, which name the version that was there before."""
    found = {asset: read_manifest(str(root), asset).to_pylist() for asset in ASSETS}
    for row in found["unique_clips"]:
        row.pop("row_key")
    return found


def facts(row: dict[str, Any]) -> str:
    return str(sorted((name, value) for name, value in row.items() if name not in _MIXED))


def check_versions(root: Path, expected: list[Tables]) -> int:
    """Promise 1; returns how many versions there are."""
    storage, versions = Storage(root), 0
    for asset in ASSETS:
        known = {facts(row) for each in expected for row in each[asset]}
        for partition in committed_partitions(storage, asset):
            ref = ManifestRef(storage.root, asset, partition)
            newest = last_commit(storage, ref)
            assert newest is not None
            for number in range(1, newest.number + 1):
                commit = load_commit(storage, ref, number)
                rows = read_commit(storage, ref, commit).to_pylist()
                assert {facts(row) for row in rows} <= known, f"{asset} version {number}"
                for entry in commit.files:
                    assert hashlib.sha256(storage.read_bytes(entry.path)).hexdigest() == entry.sha256
                versions += 1
    return versions


def missing_files(root: Path) -> int:
    """Check the clips that the newest dataset names; returns how many files are not there."""
    rows = [row for row in read_manifest(str(root), "dataset").to_pylist() if row["status"] == "kept"]
    named = [row[name] for row in rows for name in ("path", "preview_path", "metadata_path")]
    assert len(set(named)) == len(named)
    for row in rows:
        if (root / row["path"]).exists():
            with av.open(str(root / row["path"])) as container:
                assert (
                    sum(1 for _ in container.decode(video=0))
                    == row["num_frames"]
                    == row["end_frame"] - row["start_frame"]
                )
    return sum(not (root / path).exists() for path in named)


PAIRS = {
    "equal": (BY_SHOT, BY_SHOT),
    "split": (BY_SHOT, BY_STRIDE),
    "frames": (BY_SHOT, FINE),
    "filter": (BY_SHOT, STRICT),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pair", PAIRS)
def test_two_curator_runs_at_once_leave_whole_tables(
    pair: str, seed: int, sources: Path, tmp_path: Path, alone: dict[str, Tables]
) -> None:
    chance = random.Random(f"{pair}-{seed}")
    runs: list[subprocess.Popen[str]] = []
    for settings in PAIRS[pair]:
        runs.append(start(sources, tmp_path, settings))
        time.sleep(chance.uniform(0, 3))
    refusals = [text for run in runs if (text := finish(run))]
    if pair == "equal":
        assert not refusals
    assert all("Materialize" in text for text in refusals), refusals
    expected = [alone[str(settings)] for settings in PAIRS[pair]]
    versions = check_versions(tmp_path, expected)
    lost = missing_files(tmp_path) if committed_partitions(Storage(tmp_path), "dataset") else 0
    assert not finish(start(sources, tmp_path, PAIRS[pair][0]))
    assert missing_files(tmp_path) == 0
    assert tables(tmp_path) == expected[0]
    note("two curators at once", pair=pair, seed=seed, versions=versions, refusals=len(refusals), files_to_heal=lost)
