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
from tests.faults.damage import KINDS, DamagedCopy
from tests.faults.damage_run import DamageRun, OutcomeCounts
from tests.faults.measurements import record

pytestmark = pytest.mark.system

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


def decode_costs(media: Path) -> dict[str, float]:
    """Million pixels that each real video decodes to, by name; the shortest first."""
    found: dict[str, float] = {}
    with (media / "MANIFEST.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            width, _, height = row["coded_size"].partition("x")
            found[row["file"]] = int(width or 0) * int(height or 0) * int(row["frames_decoded"] or 0) / 1e6
    return dict(sorted(found.items(), key=lambda entry: entry[1]))


def choose_copies(media: Path, number: int) -> list[DamagedCopy]:
    """Each file with each kind of damage, then short files more often than long ones; in an order of no meaning."""
    rng, cost = Random(SEED), decode_costs(media)
    pairs = [(name, kind) for name in cost for kind in KINDS]
    weights = [1 / (20 + cost[name]) for name, _ in pairs]
    pairs += rng.choices(pairs, weights, k=number - len(pairs))
    rng.shuffle(pairs)
    return [DamagedCopy(media / name, kind, seed) for seed, (name, kind) in enumerate(pairs)]


def run_copies(copies: list[DamagedCopy], folder: Path, split: SplitParams) -> OutcomeCounts:
    """Run the phases on all copies, on the Ray of the test session."""
    params = ExecutorParams(
        address=ray.get_runtime_context().gcs_address, stall_timeout_s=STALL_S, worker_memory_gb=MEMORY_GB
    )
    with open_session(params) as session:
        damage_run = DamageRun(folder / "batch", session, split)
        for first in range(0, len(copies), BATCH):
            damage_run.run(copies[first : first + BATCH])
    return damage_run.counts


def check(counts: OutcomeCounts, caplog: pytest.LogCaptureFixture) -> None:
    messages = [entry.getMessage() for entry in caplog.records if "A worker was lost at stage" in entry.getMessage()]
    assert counts.problems == []
    assert len(messages) == counts.deaths.total()
    assert not [text for text in messages if not re.search("made no progress|private memory|crashed: ", text)]
    assert max(counts.longest_s.values()) < ITEM_LIMIT_S


def record_all(promise: str, counts: OutcomeCounts, *, seconds: float) -> None:
    total = dict(copies=counts.outcomes.total(), clips=counts.clips.total(), seconds=round(seconds, 1))
    longest = {f"longest_{phase}_s": round(each, 1) for phase, each in counts.longest_s.items()}
    record(promise, **total, **longest, deaths=str(dict(counts.deaths)), cut=str(dict(counts.clips)))
    for kind in KINDS:
        outcomes = {outcome: count for (of, outcome), count in sorted(counts.outcomes.items()) if of == kind}
        record(f"{promise}, {kind}", **outcomes)


@pytest.mark.usefixtures("ray_cluster")
def test_damaged_copies_are_accounted_for(shared_media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    short = list(decode_costs(shared_media))[:16]
    copies = [DamagedCopy(shared_media / name, kind, SEED) for name in short[1::2] for kind in KINDS]
    counts = run_copies(copies, tmp_path, STRIDES)
    assert counts.outcomes.total() == len(copies) == 40
    check(counts, caplog)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(("split", "number"), [(STRIDES, 2000), (SHOTS, 300)], ids=["strides", "shots"])
def test_thousands_of_damaged_copies_are_accounted_for(
    split: SplitParams, number: int, shared_media: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    started = time.monotonic()
    copies = choose_copies(shared_media, number)
    assert {copy.source.name for copy in copies} == set(decode_costs(shared_media))
    counts = run_copies(copies, tmp_path, split)
    assert counts.outcomes.total() == number
    record_all(f"mutation, {split.method}", counts, seconds=time.monotonic() - started)
    check(counts, caplog)
