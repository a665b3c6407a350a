"""The figures of a running phase as metrics of Ray, for whoever watches the cluster with Prometheus.

Ray shows them under ``ray_curator_...`` on each node's metrics port, where it is installed with its ``default`` extra.
"""

import time
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from stages.pipeline import RunStats

PUBLISH_S = 1.0

_COUNTERS = {
    "tasks": "Tasks worked on.",
    "retries": "Tasks tried again after a failure that may pass.",
    "busy_s": "Seconds inside the stage, summed over workers.",
    "idle_s": "Seconds that workers waited after a batch of the stage.",
}
_GAUGES = {
    "peak_memory_bytes": "Largest private memory seen of a worker while it ran the stage.",
    "queue_bytes": "Bytes held for the stage, waiting or in work.",
    "peak_queue_bytes": "Most bytes that were held for the stage at once.",
}


class PoolMetrics:
    """Tells Ray what a pool does, by pipeline and stage.

    Args:
        pipeline: its name.
    """

    def __init__(self, pipeline: str) -> None:
        tags = ("pipeline", "stage")
        self._pipeline = pipeline
        self._counters = {name: Counter(f"curator_{name}", told, tags) for name, told in _COUNTERS.items()}
        self._gauges = {name: Gauge(f"curator_{name}", told, tags) for name, told in _GAUGES.items()}
        self._deaths = Counter("curator_worker_deaths", "Workers lost while they held a task.", (*tags, "reason"))
        self._told: dict[tuple[str, str], float] = {}
        self._due = 0.0

    def is_due(self) -> bool:
        """True at most once a second."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + PUBLISH_S
        return True

    def publish(self, stats: RunStats, queue_bytes: Mapping[str, int]) -> None:
        """Tell Ray what changed; `queue_bytes` is what each stage holds now."""
        for stage, figures in stats.stages.items():
            tags = {"pipeline": self._pipeline, "stage": stage}
            for name, counter in self._counters.items():
                self._add(counter, (stage, name), getattr(figures, name), tags)
            for reason, deaths in figures.deaths.items():
                self._add(self._deaths, (stage, f"deaths {reason}"), deaths, {**tags, "reason": str(reason)})
            self._gauges["peak_memory_bytes"].set(figures.peak_memory_bytes, tags)
            self._gauges["peak_queue_bytes"].set(figures.peak_queue_bytes, tags)
            self._gauges["queue_bytes"].set(queue_bytes.get(stage, 0), tags)

    def _add(self, counter: Counter, key: tuple[str, str], total: float, tags: dict[str, str]) -> None:
        """Ray's counters take what was added since the last time, and refuse nothing at all."""
        added = total - self._told.get(key, 0.0)
        if added > 0:
            counter.inc(added, tags)
            self._told[key] = total
