"""Damaged copies of real videos, through the phases that read sources (read, split, write), in real workers.

1. Every copy has its row in `videos`; every kept one has rows in `clips`, and every kept clip one in `dataset`.
2. A failed row has an error of ours with a message, and the word for its reason that goes with it.
3. A written clip holds as many frames as its row tells.
4. No worker is lost without a logged cause; one that shows no progress for `STALL_S` is ended, and its item tried
   again, then failed. No item takes longer than `ITEM_LIMIT_S`.
"""

import csv
import logging
import re
import time
from pathlib import Path
from random import Random

import pytest
import ray

from stages.params import ExecutorParams, SplitParams
from stages.run import open_session
from tests.faults.damage import KINDS, Copy
from tests.faults.damage_run import Tally, Trial
from tests.faults.measurements import note

SEED = 20
STALL_S = 30.0
ITEM_LIMIT_S = 400.0
"""Two minutes of 1080p through the network take one to three on a machine that does something else too."""
MEMORY_GB = 2.0
BATCH = 200
"""Copies that lie on the disk at once."""
STRIDES = SplitParams(
    method="fixed_stride", clip_length_s=1.5, min_length_s=0, max_clips=2, signals=["vectors"], max_failed_fraction=1
)
SHOTS = SplitParams(min_length_s=0.5, max_clips=2, max_failed_fraction=1)


def costs(media: Path) -> dict[str, float]:
    """Million pixels that each real video decodes to, by name; the shortest first."""
    found: dict[str, float] = {}
    with (media / "MANIFEST.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            width, _, height = row["coded_size"].partition("x")
            found[row["file"]] = int(width or 0) * int(height or 0) * int(row["frames_decoded"] or 0) / 1e6
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def all_copies(media: Path, number: int) -> list[Copy]:
    """Each file with each kind of damage, then short files more often than long ones; in an order of no meaning."""
    choose, cost = Random(SEED), costs(media)
    pairs = [(name, kind) for name in cost for kind in KINDS]
    weights = [1 / (20 + cost[name]) for name, _ in pairs]
    pairs += choose.choices(pairs, weights, k=number - len(pairs))
    choose.shuffle(pairs)
    return [Copy(media / name, kind, seed) for seed, (name, kind) in enumerate(pairs)]


def put_through(copies: list[Copy], folder: Path, split: SplitParams) -> Tally:
    """All copies through the phases, on the Ray of the test session."""
    params = ExecutorParams(
        address=ray.get_runtime_context().gcs_address, stall_timeout_s=STALL_S, worker_memory_gb=MEMORY_GB
    )
    with open_session(params) as session:
        trial = Trial(folder / "batch", session, split)
        for first in range(0, len(copies), BATCH):
            trial.run(copies[first : first + BATCH])
    return trial.tally


def check(tally: Tally, caplog: pytest.LogCaptureFixture) -> None:
    told = [record.getMessage() for record in caplog.records if "A worker was lost at stage" in record.getMessage()]
    assert tally.problems == []
    assert len(told) == tally.deaths.total()
    assert not [text for text in told if not re.search("made no progress|private memory|crashed: ", text)]
    assert max(tally.longest_s.values()) < ITEM_LIMIT_S


def note_all(promise: str, tally: Tally, *, seconds: float) -> None:
    total = dict(copies=tally.outcomes.total(), clips=tally.clips.total(), seconds=round(seconds, 1))
    longest = {f"longest_{phase}_s": round(each, 1) for phase, each in tally.longest_s.items()}
    note(promise, **total, **longest, deaths=str(dict(tally.deaths)), cut=str(dict(tally.clips)))
    for kind in KINDS:
        outcomes = {outcome: count for (of, outcome), count in sorted(tally.outcomes.items()) if of == kind}
        note(f"{promise}, {kind}", **outcomes)


@pytest.mark.usefixtures("ray_cluster")
def test_damaged_copies_are_accounted_for(shared_media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    short = list(costs(shared_media))[:16]
    copies = [Copy(shared_media / name, kind, SEED) for name in short[1::2] for kind in KINDS]
    tally = put_through(copies, tmp_path, STRIDES)
    assert tally.outcomes.total() == len(copies) == 40
    check(tally, caplog)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("split", "number"), [(STRIDES, 2000), (SHOTS, 300)], ids=["strides", "shots"])
def test_thousands_of_damaged_copies_are_accounted_for(
    split: SplitParams, number: int, shared_media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    began = time.monotonic()
    copies = all_copies(shared_media, number)
    assert {copy.source.name for copy in copies} == set(costs(shared_media))
    tally = put_through(copies, tmp_path, split)
    assert tally.outcomes.total() == number
    note_all(f"mutation, {split.method}", tally, seconds=time.monotonic() - began)
    check(tally, caplog)
