"""The tasks of one run: what each waits for, what becomes of it when a worker answers or dies, and the figures."""

import logging

from ray.exceptions import RayError

from stages.executors.batch_runner import RetryRule
from stages.executors.exit_reasons import Death, fate_of, is_condemned, is_last_chance, verdict
from stages.executors.queues import MIN_TASK_BYTES, Bench, Item, Parcel, StageQueue, Unit
from stages.executors.worker import BatchReport, Child
from stages.executors.worker_handle import Call
from stages.params import ExecutorParams
from stages.pipeline import Pipeline, RunStats, StageStats
from stages.tasks import Failed, Task

logger = logging.getLogger(__name__)

COOL_S = 1.0
"""How long a task waits after an eviction, which often comes to several workers at once, idle ones too."""


class Board:
    """Where every task of a run stands.

    Attributes:
        queues: what waits for each stage, in order.
        stats: figures of the run so far, by stage.
        child_bytes: of the children of the last batch, by the stage that made them.
    """

    def __init__(self, pipeline: Pipeline, params: ExecutorParams) -> None:
        self.queues = [StageQueue(stage.batch_size) for stage in pipeline.stages]
        self.stats = RunStats()
        self.child_bytes = [0] * len(pipeline.stages)
        self._names = [stage.name for stage in pipeline.stages]
        self._retry = RetryRule.of(params)
        self._max_deaths = params.max_item_deaths
        self._bench = Bench()
        self._finished: list[Item] = []

    @property
    def is_done(self) -> bool:
        """Whether every task that was added has its outcome."""
        return all(queue.is_done for queue in self.queues)

    @property
    def num_benched(self) -> int:
        """Tasks that wait for the time of their next try."""
        return len(self._bench)

    def figures(self, stage: int) -> StageStats:
        """What a stage did so far."""
        return self.stats.stage(self._names[stage])

    def add(self, task: Task) -> None:
        """Let a task from the driver wait for the first stage."""
        self.queues[0].push(Unit(Item(task.task_id), (), Parcel([task], 0, 1), 0, task.group))

    def take_finished(self) -> list[Item]:
        """Items of which everything has an outcome, since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def wake(self) -> None:
        """Let the tasks wait for a worker whose time for another try has come."""
        for stage, unit in self._bench.take_due():
            self.queues[stage].push_again(unit)

    def settle(self, call: Call, report: BatchReport) -> None:
        """Account for a batch that is done, and let its children wait for the next stage."""
        figures = self.figures(call.stage)
        figures.add_batch(len(call.units), report.seconds, report.counters)
        figures.peak_memory_bytes = max(figures.peak_memory_bytes, call.peak_bytes, report.memory_bytes)
        parcel = self._parcel(call, report)
        place = 0
        for unit, entries in zip(call.units, report.entries, strict=True):
            if any(self._retry.admits(entry, unit.failures) for entry in entries):
                self._try_again(call.stage, unit)
                continue
            for index, entry in enumerate(entries):
                path = (*unit.path, index)
                if isinstance(entry, Child):
                    self.queues[call.stage + 1].push(Unit(unit.item, path, parcel, place, entry.group))
                    unit.item.open += 1
                    place += 1
                else:
                    unit.item.outcomes[path] = entry
            self._close(call.stage, unit)

    def refuse(self, call: Call, error: RayError) -> None:
        """Account for a batch where other than the stage raised (a result that cannot be pickled); the worker lives."""
        if len(call.units) > 1:
            self._put_back(call)
            return
        (unit,) = call.units
        fate = fate_of(error)
        if self._retry.admits(fate, unit.failures):
            self._try_again(call.stage, unit)
        else:
            self._finish(call.stage, unit, fate)

    def mourn(self, call: Call, death: Death) -> None:
        """Try the tasks of a lost worker again, each alone, except one that has ended enough of them alone."""
        name, figures = self._names[call.stage], self.figures(call.stage)
        figures.deaths[death.reason] = figures.deaths.get(death.reason, 0) + 1
        figures.peak_memory_bytes = max(figures.peak_memory_bytes, call.peak_bytes)
        logger.warning("A worker was lost at stage %s with %d tasks: %s", name, len(call.units), death.text)
        if len(call.units) == 1:
            (unit,) = call.units
            unit.deaths.append(death)
            if is_condemned(unit.deaths, self._max_deaths):
                self._finish(call.stage, unit, verdict(unit.deaths))
                return
            unit.is_outcast = is_last_chance(unit.deaths, self._max_deaths)
        if death.is_eviction:
            self._bench.put(call.stage, call.units, COOL_S)
        else:
            self._put_back(call)

    def _parcel(self, call: Call, report: BatchReport) -> Parcel:
        """What holds the children of a batch, accounted for at the next stage."""
        children = [entry for entries in report.entries for entry in entries if isinstance(entry, Child)]
        nbytes = sum(max(child.nbytes, MIN_TASK_BYTES) for child in children)
        parcel = Parcel(call.children, nbytes, len(children))
        if children:
            self.child_bytes[call.stage] = nbytes
            queue = self.queues[call.stage + 1]
            queue.add_parcel(parcel)
            self.figures(call.stage + 1).peak_queue_bytes = queue.peak_bytes
        return parcel

    def _try_again(self, stage: int, unit: Unit) -> None:
        """Let a task wait, longer each time, that failed for a reason that may pass."""
        unit.failures += 1
        self.figures(stage).retries += 1
        self._bench.put(stage, [unit], self._retry.backoff.wait_s(unit.failures))

    def _put_back(self, call: Call) -> None:
        for unit in call.units:
            self.queues[call.stage].push_again(unit)

    def _finish(self, stage: int, unit: Unit, fate: Failed) -> None:
        unit.item.outcomes[unit.path] = fate
        self._close(stage, unit)

    def _close(self, stage: int, unit: Unit) -> None:
        self.queues[stage].close(unit)
        unit.item.open -= 1
        if not unit.item.open:
            self._finished.append(unit.item)
