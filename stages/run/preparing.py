"""What a phase needs done before its items are known, see `stages.phase.Preparation`."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from stages.manifest import ManifestRef
from stages.phase import Phase, Preparation
from stages.pipeline import ItemResult, Pipeline, RunStats, StageStats
from stages.run.progress import Progress
from stages.run.work import MAX_UNFINISHED_SHARE
from stages.tasks import Task

RunPipeline = Callable[[Callable[[], Pipeline], Iterator[Task], RunStats], Generator[ItemResult | None, None, None]]


def prepare(
    phase: Phase[Any],
    outputs: Sequence[ManifestRef],
    run_pipeline: RunPipeline,
    on_progress: Callable[[Progress], None] | None,
) -> dict[str, StageStats]:
    """Do all preparations of a phase for some tables; returns the figures of their stages by name.

    Args:
        phase: the phase.
        outputs: the tables.
        run_pipeline: runs a pipeline on workers.
        on_progress: called at least once a second.
    """
    started, stages = time.monotonic(), dict[str, StageStats]()
    for preparation in phase.preparations(outputs):
        step = _Step(preparation, phase.params.phase, started, on_progress)
        results = run_pipeline(preparation.pipeline, iter(preparation.tasks), step.stats)
        try:
            for result in results:
                step.add(result)
        finally:
            results.close()  # stops an executor that was interrupted
            preparation.finish()
        stages.update(step.stats.stages)
    return stages


class _Step:
    """One preparation at work."""

    def __init__(
        self, preparation: Preparation, phase: str, started: float, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.stats = RunStats(on_running=self._tell)
        self._preparation = preparation
        self._phase = phase
        self._started = started
        self._on_progress = on_progress
        self._num_done = 0

    def add(self, result: ItemResult | None) -> None:
        if result is not None:
            self._num_done += 1
            self._preparation.add_result(result)
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            seconds = time.monotonic() - self._started
            began_at = self.stats.work_began_at
            progress = Progress(
                phase=self._phase,
                done=self._num_done,
                failed=0,
                total=len(self._preparation.tasks),
                seconds=seconds,
                share=self._share(),
                activity=self.stats.activity or self._preparation.activity,
                starting_s=seconds if began_at is None else began_at - self._started,
                is_preparing=True,
            )
            self._on_progress(progress)

    def _share(self) -> float:
        """The share of the work that is done: of what is counted inside tasks too, where that is known."""
        total = len(self._preparation.tasks)
        if not self._preparation.amount or self._num_done == total:
            return self._num_done / total
        counters = [*(stage.counters for stage in self.stats.stages.values())]
        counters += [dict(batch.counters) for batch in self.stats.running]
        counted = sum(each.get(self._preparation.counter, 0.0) for each in counters)
        return min(MAX_UNFINISHED_SHARE, counted / self._preparation.amount)
