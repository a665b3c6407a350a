"""Statistics of a running pipeline as metrics of Ray, which Prometheus can collect.

Ray exports them as ``ray_curator_...`` on each node's metrics port, where it is installed with its ``default`` extra.
"""

import time
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from stages.pipeline import RunStats

PUBLISH_INTERVAL_S = 1.0

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
        self._published: dict[tuple[str, str], float] = {}
        self._due_at = 0.0

    def is_due(self) -> bool:
        """True at most once a second."""
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + PUBLISH_INTERVAL_S
        return True

    def publish(self, stats: RunStats, queue_bytes: Mapping[str, int]) -> None:
        """Publish the statistics that changed; `queue_bytes` holds the current bytes of each stage."""
        for stage, stage_stats in stats.stages.items():
            tags = {"pipeline": self._pipeline, "stage": stage}
            for name, counter in self._counters.items():
                self._increase(counter, (stage, name), getattr(stage_stats, name), tags)
            for reason, deaths in stage_stats.deaths.items():
                self._increase(self._deaths, (stage, f"deaths {reason}"), deaths, {**tags, "reason": str(reason)})
            self._gauges["peak_memory_bytes"].set(stage_stats.peak_memory_bytes, tags)
            self._gauges["peak_queue_bytes"].set(stage_stats.peak_queue_bytes, tags)
            self._gauges["queue_bytes"].set(queue_bytes.get(stage, 0), tags)

    def _increase(self, counter: Counter, key: tuple[str, str], total: float, tags: dict[str, str]) -> None:
        """Ray's counters take the increase since the last call, which must be above 0."""
        increase = total - self._published.get(key, 0.0)
        if increase > 0:
            counter.inc(increase, tags)
            self._published[key] = total
