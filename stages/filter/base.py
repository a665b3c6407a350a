"""The filter interface: a worker scores a clip, and the driver decides from stored scores and thresholds."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from stages.errors import ParamsError
from stages.stage import WorkerMetadata
from stages.tasks import Clip

Score = float | NDArray[Any] | None
"""One number, or one a picture, of which `filter.reduce` makes one number when the clip is judged. None or NaN: it
could not be measured; then no limit applies to it."""
Scores = Mapping[str, Score]
"""Scores by name; each name begins with the filter's."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores of a clip, and what a bundled filter writes into its row beside them.

    Attributes:
        scores: by name.
        columns: values of `ROW_COLUMNS` of the filter.
    """

    scores: Scores
    columns: Mapping[str, Any]


ROW_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "text_boxes", "clean_area"),
    "nsfw": ("nsfw_dtype",),
    "aesthetic": ("clip_embedding", "aesthetic_dtype"),
}
"""By bundled filter, the columns of `filtered_clips` that it fills beside its scores."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A lower or upper bound on one score.

    Attributes:
        score: the score's name in the row's ``scores``: the filter's name, with a suffix where it has several scores.
        threshold: the filter's attribute that holds the bound; also its name in the row's ``thresholds``.
        bound: 'min' admits scores from the threshold up, 'max' up to the threshold.
    """

    score: str
    threshold: str
    bound: Literal["min", "max"]

    def admits(self, measured: float, required: float) -> bool:
        """True where the score is inside the bound; a score equal to the threshold is."""
        return measured >= required if self.bound == "min" else measured <= required

    def explain(self, measured: float, required: float) -> str:
        """A message with the measured and the required value."""
        side = "at least" if self.bound == "min" else "at most"
        return f"{self.score} must be {side} {required:g} (filter.{self.threshold}), got {measured:.6g}."


class Filter(ABC):
    """Scores clips. It is built from its thresholds and is cheap to pickle; `setup` loads models in the worker.

    A built-in filter is a dataclass; each field takes the value of the parameter of the same name. A user's own filter
    takes the values of its entry in ``filter.custom``. `score` must not read thresholds: a clip is scored once, and
    judged again whenever they change.

    Attributes:
        name: the value of ``reason`` in rows that it rejects; for a filter with one score also the score's name.
        version: of a user's own filter: raise it whenever the same clip would get another score. Rows made by another
            version are made again. Where it is None, a hash of the source takes its place.
        limits: bounds on its scores; empty for a filter that only scores.
        needs_frames: `score` reads ``clip.frames``.
        needs_marks: `score` reads ``clip.lasting_marks``; beside `needs_frames`.
        columns: columns of ``clip.columns`` that `score` reads; a clip is scored again where one of them differs. None,
            the default, for all.
        reductions: by score with one value a picture, how one number is made of them; ``"mean"`` where none is given.
            See `reduced`.
        judges_by: arguments besides thresholds that `violation` reads and `score` does not.
        needs_signals: entries of ``split.signals`` without which it is refused, for it would judge nothing.
    """

    name: str
    version: ClassVar[str | int | None] = None
    limits: tuple[Limit, ...] = ()
    needs_frames: ClassVar[bool] = False
    needs_marks: ClassVar[bool] = False
    columns: ClassVar[tuple[str, ...] | None] = None
    reductions: ClassVar[Mapping[str, str]] = {}
    judges_by: ClassVar[tuple[str, ...]] = ()
    needs_signals: ClassVar[tuple[str, ...]] = ()

    @property
    def dtype_computed(self) -> str | None:
        """After `setup`, the precision that its model computes in; None where it has none, or does not tell."""
        return None

    def fetch(self) -> None:  # noqa: B027 - most filters have no weights, or those of a package
        """Bring weights to this machine. Called once for each node, before `setup`."""

    def identity(self) -> dict[str, Any]:
        """Further values that the score depends on, such as the hash of a model's weights. Part of each ``row_key``."""
        return {}

    def setup(self, worker_metadata: WorkerMetadata) -> None:  # noqa: B027 - most filters load nothing
        """Load models in the worker, before `score` is called."""

    @abstractmethod
    def score(self, clip: Clip) -> Score | Scores | Measured:
        """The clip's score, or several scores by name. A score may be an array, one value a picture."""

    def score_all(self, clips: Sequence[Clip]) -> "list[Score | Scores | Measured]":
        """As `score`, of several clips in their order. Where it raises, it is called again for each clip alone."""
        return [self.score(clip) for clip in clips]

    def thresholds(self) -> dict[str, float]:
        """The values of the thresholds, by name."""
        return {limit.threshold: float(getattr(self, limit.threshold)) for limit in self.limits}

    def violation(self, scores: Mapping[str, float | None]) -> str | None:
        """The message of the first limit that the scores violate, or None. A score that is None is skipped.

        Raises:
            ParamsError: a limit bounds a score that the filter does not return.
        """
        required = self.thresholds()
        for limit in self.limits:
            if limit.score not in scores:
                raise ParamsError(
                    f"Filter {self.name} must return each score that it bounds, and returned none called "
                    f"{limit.score!r}; the clip's scores are {sorted(scores)}. Return None for a score that cannot be "
                    "measured, or take away the limit."
                )
            measured = scores[limit.score]
            if measured is not None and not limit.admits(measured, required[limit.threshold]):
                return limit.explain(measured, required[limit.threshold])
        return None


@dataclass(frozen=True, slots=True)
class Violation:
    """A filter whose limit a clip's scores violate.

    Attributes:
        filter: the filter's name.
        detail: a message with the measured and the required value.
    """

    filter: str
    detail: str


def first_violation(
    filters: Iterable[Filter], scores: Mapping[str, float | None], score_only: Iterable[str] = ()
) -> Violation | None:
    """The violation of the first filter, in order, whose limits the scores violate.

    Filters named in `score_only` are skipped; 'all' skips every filter.
    """
    skipped = set(score_only)
    if "all" in skipped:
        return None
    for each in filters:
        detail = None if each.name in skipped else each.violation(scores)
        if detail is not None:
            return Violation(each.name, detail)
    return None
