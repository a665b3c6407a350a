"""What a filter is: it scores a clip in a worker; whether the score will do is decided from the stored score alone."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from stages.stage import WorkerMetadata
from stages.tasks import Clip

Scores = Mapping[str, float | None]
"""By score name; None is 'could not be measured', which no filter judges."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What one score must meet.

    Attributes:
        score: its name in the row's ``scores``: the filter's name, or that and a part of it.
        threshold: the filter's attribute that holds the value; its name in the row's ``thresholds``.
        bound: 'min' admits the value and more, 'max' the value and less.
    """

    score: str
    threshold: str
    bound: Literal["min", "max"]

    def admits(self, measured: float, required: float) -> bool:
        """True where the score is on the right side, the threshold itself included."""
        return measured >= required if self.bound == "min" else measured <= required

    def explain(self, measured: float, required: float) -> str:
        """The measured and the required value in words."""
        side = "at least" if self.bound == "min" else "at most"
        return f"{self.score} must be {side} {required:g} (filter.{self.threshold}), got {measured:.6g}."


class Filter(ABC):
    """Scores clips. Built from its thresholds, cheap to pickle; what is heavy is loaded by `setup` in the worker.

    A built-in filter is a dataclass whose fields are the parameters of the same name; a filter of your own gets
    what ``filter.custom`` holds for it.

    Attributes:
        name: stands in ``reason`` and, for a filter with one score, in ``scores``.
        limits: what its scores must meet; none for a filter that only scores.
        needs_frames: it looks at ``clip.frames``.
    """

    name: ClassVar[str]
    limits: ClassVar[tuple[Limit, ...]] = ()
    needs_frames: ClassVar[bool] = False

    def identity(self) -> dict[str, Any]:
        """What else the score depends on, such as the hash of a model's weights; enters every ``row_key``."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - most filters load nothing
        """Load what `score` needs, in the worker."""

    @abstractmethod
    def score(self, clip: Clip) -> float | Scores | None:
        """The clip's score, or several by name."""

    def thresholds(self) -> dict[str, float]:
        """The values in force, by name."""
        return {limit.threshold: float(getattr(self, limit.threshold)) for limit in self.limits}

    def missed(self, scores: Scores) -> str | None:
        """Why these stored scores do not pass, or None. What was not measured is not judged."""
        required = self.thresholds()
        for limit in self.limits:
            measured = scores.get(limit.score)
            if measured is not None and not limit.admits(measured, required[limit.threshold]):
                return limit.explain(measured, required[limit.threshold])
        return None


@dataclass(frozen=True, slots=True)
class Miss:
    """The first filter that a clip did not pass.

    Attributes:
        filter: its name.
        detail: measured and required value.
    """

    filter: str
    detail: str


def first_miss(filters: Iterable[Filter], scores: Scores, score_only: Iterable[str] = ()) -> Miss | None:
    """The first filter, in order, that the scores do not pass and that is not to score only ('all': none is)."""
    silent = set(score_only)
    if "all" in silent:
        return None
    for each in filters:
        detail = None if each.name in silent else each.missed(scores)
        if detail is not None:
            return Miss(each.name, detail)
    return None
