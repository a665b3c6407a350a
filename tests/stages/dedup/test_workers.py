"""Searches that are divided among the workers of a Ray."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.dedup.dedup_tasks import again, collect
from stages.dedup.phase import DedupPhase, steps_of
from stages.dedup.stage import DedupStage, SearchStage
from stages.manifest import ALL, ManifestRef
from stages.params import DedupParams
from stages.pipeline import Pipeline, RunStats
from stages.run.inputs import InputTables
from stages.run.rounds import run_rounds
from stages.run.table_run import TableRun
from tests.faults.faulty_stages import executor
from tests.stages.dedup.tables import Library


@pytest.mark.usefixtures("ray_cluster")
def test_workers_of_ray_do_the_parts_of_a_search(tmp_path: Path) -> None:
    library = Library(tmp_path)
    random = np.random.default_rng(8)
    for number in range(3):
        vectors = random.normal(size=(50, 4))
        library.add(f"p{number}", {f"c{number}-{row:02d}": vector.tolist() for row, vector in enumerate(vectors)})
    root, params = str(tmp_path), DedupParams()
    phase = DedupPhase(params, root)
    refs = {asset: [ManifestRef(root, asset, name) for name in library.partitions] for asset in phase.inputs}
    run = TableRun(phase, ManifestRef(root, "unique_clips", ALL), InputTables(phase, refs), "r", ())
    stages = [DedupStage(steps_of(params, root), root, part_products=4e3), SearchStage(root)]
    pipeline = Pipeline("dedup", [*stages], collect=collect, again=again).build()
    stats = RunStats()
    with executor() as ray_executor:
        results = [each for each in run_rounds(ray_executor, pipeline, run.tasks(), stats) if each is not None]
    ((table,),) = [result.outcomes for result in results]
    assert stats.stage("dedup_search").tasks > 20
    assert stats.stage("dedup").tasks == 3, "two searches are large: for components, and for the nearest"
    library.dedup()
    names = ["clip_id", "status", "group_id", "nearest_clip_id", "similarity", "rank"]
    made = {row["clip_id"]: row for row in rows(table).select(names).to_pylist()}
    assert made == {row["clip_id"]: row for row in library.table().select(names).to_pylist()}


def rows(outcome: Any) -> pa.Table:
    assert isinstance(outcome, pa.Table)
    return outcome
