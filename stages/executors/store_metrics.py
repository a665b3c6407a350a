"""Times of calls to stores as a metric of Ray, by whichever process makes the calls."""

import time

from ray.util.metrics import Histogram

from stages.storage import take_call_times

PUBLISH_INTERVAL_S = 1.0
_BOUNDARIES_S = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0]


class StoreMetrics:
    """Publishes what `stages.storage` has measured in this process, at most once a second."""

    def __init__(self) -> None:
        text = "Seconds until a store answered one try of a call."
        self._seconds = Histogram("curator_store_seconds", text, _BOUNDARIES_S, ("operation", "outcome"))
        self._due_at = 0.0

    def publish(self) -> None:
        """Publish the calls since the last time."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + PUBLISH_INTERVAL_S
        for call in take_call_times():
            # Ray takes no 0 seconds.
            tags = {"operation": call.operation, "outcome": call.outcome}
            self._seconds.observe(max(call.seconds, 1e-6), tags)
