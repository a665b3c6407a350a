"""Statistics of a running pipeline as metrics of Ray, which Prometheus can collect.

Ray exports them as ``ray_curator_...`` on each node's metrics port, where it is installed with its ``default`` extra.
`deploy/grafana.json` is a dashboard of them.
"""

import time

from ray.util.metrics import Counter, Gauge

from stages.executors.store_metrics import StoreMetrics
from stages.pipeline import RunStats

PUBLISH_INTERVAL_S = 1.0
COUNT_COST_S = 5e-6
"""CPU time, for each worker, of counting what workers do and telling it."""
COUNT_SHARE = 0.01
"""Share of the driver's time that this may take."""

_COUNTERS = {
    "tasks": "Tasks worked on.",
    "retries": "Tasks tried again after a failure that may pass.",
    "busy_s": "Seconds inside the stage, summed over workers.",
    "idle_s": "Seconds that workers waited after a batch of the stage.",
}
_GAUGES = {
    "peak_memory_bytes": "Largest private memory seen of a worker while it ran the stage.",
    "queue_bytes": "Bytes held for the stage, waiting or in work.",
    "queue_tasks": "Tasks that wait for the stage.",
    "peak_queue_bytes": "Most bytes that were held for the stage at once.",
}

Tags = dict[str, str]
Place = tuple[str, ...]
"""What a figure is of: its kind, and the values of its labels."""


class PipelineMetrics:
    """Metrics by pipeline and stage.

    Args:
        pipeline: its name.
    """

    def __init__(self, pipeline: str) -> None:
        tags = ("pipeline", "stage")
        self._pipeline = pipeline
        self._counters = {name: Counter(f"curator_{name}", text, tags) for name, text in _COUNTERS.items()}
        self._gauges = {name: Gauge(f"curator_{name}", text, tags) for name, text in _GAUGES.items()}
        self._deaths = Counter("curator_worker_deaths", "Workers lost while they held a task.", (*tags, "reason"))
        self._failures = Counter("curator_failed_items", "Items that failed.", ("pipeline", "reason"))
        self._workers = Gauge(
            "curator_workers", "Workers by what they do: busy with a stage, idle, starting.", (*tags, "node", "state")
        )
        self._left_out = Gauge("curator_left_out_node", "1 while a node gets no work.", ("pipeline", "node"))
        self._store = StoreMetrics()
        self._published: dict[Place, float] = {}
        self._due_at = 0.0

    def is_due(self, num_workers: int) -> bool:
        """True at most once a second, and of more than 2,000 workers less often."""
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + max(PUBLISH_INTERVAL_S, num_workers * COUNT_COST_S / COUNT_SHARE)
        return True

    def publish(self, stats: RunStats) -> None:
        """Publish the statistics that changed."""
        for stage, stage_stats in stats.stages.items():
            tags = {"pipeline": self._pipeline, "stage": stage}
            for name, counter in self._counters.items():
                self._increase(counter, (stage, name), getattr(stage_stats, name), tags)
            for reason, deaths in stage_stats.deaths.items():
                self._increase(self._deaths, (stage, "deaths", reason), deaths, {**tags, "reason": str(reason)})
            self._gauges["peak_memory_bytes"].set(stage_stats.peak_memory_bytes, tags)
            self._gauges["peak_queue_bytes"].set(stage_stats.peak_queue_bytes, tags)
        for stage, queue in stats.load.queues.items():
            tags = {"pipeline": self._pipeline, "stage": stage}
            self._gauges["queue_bytes"].set(queue.held_bytes, tags)
            self._gauges["queue_tasks"].set(queue.waiting, tags)
        for reason, failed in stats.failures.items():
            self._increase(self._failures, ("failures", reason), failed, {"pipeline": self._pipeline, "reason": reason})
        workers: dict[Place, int] = {("workers", *place): number for place, number in stats.load.workers.items()}
        self._set_all(self._workers, "workers", workers, ("node", "state", "stage"))
        left_out: dict[Place, int] = {("left out", node): 1 for node in stats.load.left_out_nodes}
        self._set_all(self._left_out, "left out", left_out, ("node",))
        self._store.publish()

    def _set_all(self, gauge: Gauge, kind: str, values: dict[Place, int], names: tuple[str, ...]) -> None:
        """Set these values, and 0 for those that were set before and are gone."""
        gone = [key for key, value in self._published.items() if key[0] == kind and value and key not in values]
        for key, value in {**dict.fromkeys(gone, 0), **values}.items():
            gauge.set(value, {"pipeline": self._pipeline, **dict(zip(names, key[1:], strict=True))})
            self._published[key] = value

    def _increase(self, counter: Counter, key: Place, total: float, tags: Tags) -> None:
        """Ray's counters take the increase since the last call, which must be above 0."""
        increase = total - self._published.get(key, 0.0)
        if increase > 0:
            counter.inc(increase, tags)
            self._published[key] = total
