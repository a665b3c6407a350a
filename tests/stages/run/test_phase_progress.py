"""Progress of a run of real videos that differ much in length."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from stages.executors.local import LocalExecutor
from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams, SplitParams
from stages.phase import Phase
from stages.pipeline import Pipeline, RunningBatch
from stages.run import Progress, open_session
from stages.run.inputs import InputTables
from stages.run.phase_run import PhaseRun
from stages.run.phases import build_phase
from stages.run.progress import WorkTotals
from stages.run.work import MAX_UNFINISHED_SHARE, ItemWork, Work
from stages.sources import list_sources, register_sources
from stages.storage import Storage
from stages.tasks import Row, Task, VideoLength
from tests.videos import noise_shot, write_video

LOCAL = ExecutorParams(mode="local")
LONG_FRAMES, SHORT_FRAMES = 300, 5
"""At a frame a second: five minutes, and five seconds."""


@pytest.fixture
def videos(tmp_path: Path) -> list[ManifestRef]:
    """Tables of three videos each: one of the three is long in the first, all are short in the second."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(6):
        frames = LONG_FRAMES if number == 1 else SHORT_FRAMES
        write_video(folder / f"{number}.mp4", noise_shot(number, frames), rate=1, options={"preset": "ultrafast"})
    params = ReadParams(partition_size=3)
    partitions = register_sources(Storage(str(tmp_path)), list_sources(str(folder), params), params)
    tables = [ManifestRef(str(tmp_path), "videos", partition) for partition in partitions]
    with open_session(LOCAL) as session:
        session.run_phase(params, {}, tables)
    return tables


def split_run(tables: list[ManifestRef]) -> tuple[PhaseRun, list[ManifestRef], Phase[SplitParams]]:
    """A run of split over these tables, in which nothing is planned yet."""
    phase = build_phase(SplitParams(method="fixed_stride", min_length_s=1, signals=[]), tables[0].root)
    inputs = InputTables(phase, {"videos": tables})
    outputs = [ManifestRef(table.root, "clips", table.partition) for table in tables]
    return PhaseRun(phase, inputs, run_id="r", transient=()), outputs, phase


def work_on(run: PhaseRun, phase: Phase[SplitParams], tasks: list[Task]) -> Progress:
    for result in LocalExecutor(LOCAL).run(phase.pipeline().build(), tasks, run.stats):
        run.add_result(result)
    return run.progress()


def test_progress_counts_minutes_and_the_frames_inside_a_long_video(videos: list[ManifestRef]) -> None:
    run, outputs, phase = split_run(videos[:1])
    first, *others = run.tasks(outputs)
    after_others = work_on(run, phase, others)
    assert (after_others.done, after_others.total, after_others.is_over) == (2, 3, False)
    assert (after_others.video_s, after_others.video_total_s, after_others.frames) == (10, 310, 10)
    assert after_others.share == pytest.approx(10 / 310)

    run.stats.running = [RunningBatch((first.task_id,), {"decoded_frames": 75.0}, 20.0)]
    inside = run.progress()
    assert (inside.done, inside.video_s, inside.frames) == (2, 85, 85)
    assert inside.share == pytest.approx(85 / 310)
    assert (inside.slowest_s, inside.remaining_s) == (60, 60)

    run.stats.running = []
    at_the_end = work_on(run, phase, [first])
    assert (at_the_end.share, at_the_end.frames, at_the_end.is_over) == (1.0, 310, True)


def test_share_takes_partitions_that_are_not_planned_for_others_like_those_that_are(videos: list[ManifestRef]) -> None:
    run, outputs, phase = split_run(videos)
    tasks = run.tasks(outputs)
    first = [next(tasks) for _ in range(3)]
    progress = work_on(run, phase, first[:2])
    assert (progress.is_planned, progress.total, progress.total_partitions) == (False, 3, 2)
    assert (progress.video_s, progress.video_total_s) == (305, 620)
    work_on(run, phase, first[2:])
    rest = list(tasks)
    list(run.commits())
    assert (run.progress().partitions, run.progress().total, run.progress().video_total_s) == (1, 6, 325)
    assert work_on(run, phase, rest).share == 1.0


def test_report_tells_the_time_before_the_work(videos: list[ManifestRef]) -> None:
    run, outputs, phase = split_run(videos[:1])
    work_on(run, phase, list(run.tasks(outputs)))
    list(run.commits())
    run.complete_reports()
    (report,) = run.reports.values()
    assert 0 < report.starting_s < report.seconds


class CostOfRow(Phase[ReadParams]):
    """Costs what the item says."""

    frame_counter = "frames"

    def cost(self, item: Row) -> float:
        return item["cost"]

    def video_length(self, item: Row) -> VideoLength:
        return VideoLength(item["cost"] / 10, item["frames"])

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        return pa.table({})

    def task(self, item: Row, task_id: str) -> Task:
        return Task(task_id)

    def pipeline(self) -> Pipeline:
        return Pipeline("cost", [], collect=lambda _: [])


def test_item_work_counts_what_is_pending_and_never_a_whole_unfinished_item() -> None:
    items: list[Row] = [{"cost": 10.0, "frames": 0}, {"cost": 30.0, "frames": 60}, {"cost": 5.0, "frames": 9}]
    work = ItemWork(CostOfRow(ReadParams(), "/nowhere"), items[:2])
    assert work.total == Work(40, 4, 60)
    work.finish(0)
    assert work.done == Work(10, 1, 0)
    assert [work.share_done(1, counters) for counters in ({}, {"frames": 15.0}, {"frames": 99.0})] == [
        0,
        0.25,
        MAX_UNFINISHED_SHARE,
    ]
    assert work.share_done(0, {"frames": 5.0}) == 0
    assert WorkTotals.sum([]).total == Work()
