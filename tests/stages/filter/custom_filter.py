"""A user's own filter, named by its dotted path."""

from dataclasses import dataclass
from typing import Any

from stages.filter.base import Filter, Limit
from stages.stage import WorkerMetadata
from stages.tasks import Clip


@dataclass
class WarmthFilter(Filter):
    """Mean of red over blue."""

    warmth_min: float
    weight: float = 1.0

    name = "warmth"
    limits = (Limit("warmth", "warmth_min", "min"),)
    needs_frames = True

    def identity(self) -> dict[str, Any]:
        return {"weights": "abc"}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self.device = worker_metadata.device

    def score(self, clip: Clip) -> float:
        assert self.device == "cpu"
        assert clip.frames is not None
        red, _, blue = clip.frames.images.mean(axis=(0, 1, 2))
        return self.weight * float(red / blue)
