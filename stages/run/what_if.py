"""What other parameters of filter would keep of a root's clips, from stored scores; nothing is measured or written."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from stages.errors import ManifestError, ParamsError
from stages.filter import FilterPhase, Limit
from stages.manifest import ManifestRef, committed_partitions, last_commit, read_commit
from stages.params import FilterParams
from stages.storage import Storage
from stages.tasks import Row

KEPT = "kept"
FACTS = ("size", "duration", "camera")
"""Filters of facts, not of quality: their limits stay as they are where a share to keep is asked for."""
_ASSET = FilterParams.asset
_COLUMNS = [
    *("status", "reason", "error", "start_s", "end_s", "scores", "score_keys", "picture_scores"),
    *("partition", "video_id", "signals_key", "start_frame", "end_frame", "flow_mean", "sharpness"),
]
_DIGITS = 4
"""Significant digits of a proposed threshold."""


@dataclass
class Outcomes:
    """Clips and hours of video by outcome: ``kept``, the reason of a rejection, or ``failed``."""

    clips: Counter[str] = field(default_factory=lambda: Counter())
    hours: dict[str, float] = field(default_factory=lambda: {})

    def add(self, outcome: str, hours: float) -> None:
        """Count one clip."""
        self.clips[outcome] += 1
        self.hours[outcome] = self.hours.get(outcome, 0.0) + hours


@dataclass
class Comparison:
    """Outcomes of the same clips by two sets of parameters.

    Attributes:
        now: as they are stored, or by the parameters that are compared with.
        then: by the parameters to try.
        lost: clips kept now and not then, by the filter that rejects them.
        won: clips kept then and not now, by the reason that they have now.
        unmeasured: by filter, clips that it has not scored yet; it judges none of them.
    """

    now: Outcomes = field(default_factory=Outcomes)
    then: Outcomes = field(default_factory=Outcomes)
    lost: Counter[str] = field(default_factory=lambda: Counter())
    won: Counter[str] = field(default_factory=lambda: Counter())
    unmeasured: Counter[str] = field(default_factory=lambda: Counter())


def last_filter_params(root: str) -> FilterParams:
    """The parameters that the last of a root's partitions was filtered with.

    Raises:
        ManifestError: none was filtered yet, or its commit is damaged.
    """
    storage = Storage(root)
    for partition in reversed(committed_partitions(storage, _ASSET)):
        if commit := last_commit(storage, ManifestRef(root, _ASSET, partition)):
            known = FilterParams.model_fields.keys()
            # Of another release: a parameter that is gone judges nothing any more.
            return FilterParams(**{name: value for name, value in commit.lineage["params"].items() if name in known})
    raise ManifestError(f"{_ASSET} of {root} must be committed, and no partition is. Run the filter phase first.")


def compare(root: str, params: FilterParams, against: FilterParams | None = None) -> Comparison:
    """Judge all clips of a root by other parameters. Holds one partition's scores at a time.

    Args:
        root: of the tables.
        params: to try.
        against: to compare with; None for the outcomes as they are stored.

    Raises:
        ManifestError: a table is damaged.
        ParamsError: a class that the parameters name does not exist, or does not take their arguments.
    """
    found = Comparison()
    then, now = _Judge(params, root), _Judge(against, root) if against else None
    for row in _rows(root):
        hours = (row["end_s"] - row["start_s"]) / 3600
        before, after = now.outcome(row) if now else _stored_outcome(row), then.outcome(row)
        found.now.add(before, hours)
        found.then.add(after, hours)
        if before == KEPT != after:
            found.lost[after] += 1
        if before != KEPT == after:
            found.won[before] += 1
    found.unmeasured = then.unmeasured
    return found


def propose_thresholds(root: str, params: FilterParams, share: float) -> dict[str, float]:
    """Thresholds, by parameter, with which this share of the clips that have scores is kept, as nearly as ties allow.

    All limits on quality are set at one rank, each in the order of its own score from the worse end, over the clips
    that size and duration admit: the highest rank that leaves the share. A score that is equal in all clips, or that
    was never measured, sets no limit.

    Args:
        root: of the tables.
        params: with the filters whose limits are wanted.
        share: above 0, at most 1.

    Raises:
        ManifestError, ParamsError: see `compare`; also where size and duration alone reject too many.
    """
    judge = _Judge(params, root)
    quality = [each for each in judge.phase.filters if each.name not in FACTS]
    of_facts = _Judge(params.model_copy(update={"score_only": [each.name for each in quality]}), root)
    judged = [(of_facts.outcome(row), of_facts.decided(row)) for row in _rows(root) if row["status"] != "failed"]
    admitted = [dict(row["scores"]) for outcome, row in judged if outcome == KEPT]
    if len(admitted) < share * len(judged) or not admitted:
        raise ParamsError(
            f"The share to keep must be at most what {', '.join(FACTS)} admit, {len(admitted)} of {len(judged)} "
            f"clips, got {share:g}."
        )
    limits = [limit for each in quality if each.name not in params.score_only for limit in each.limits]
    scores = {limit: _column(admitted, limit.score) for limit in limits}
    scores = {limit: values for limit, values in scores.items() if len(np.unique(values[~np.isnan(values)])) > 1}
    low, high = 0, len(admitted) - 1
    while low < high:  # the highest rank that leaves the share
        middle = (low + high + 1) // 2
        kept = _num_kept(scores, {limit: _at_rank(values, limit, middle) for limit, values in scores.items()})
        low, high = (middle, high) if kept >= share * len(judged) else (low, middle - 1)
    return {limit.threshold: _at_rank(values, limit, low) for limit, values in scores.items()}


def _rows(root: str) -> Iterator[Row]:
    """The clips of all partitions; sources without clips have no row here."""
    storage = Storage(root)
    for partition in committed_partitions(storage, _ASSET):
        ref = ManifestRef(root, _ASSET, partition)
        if commit := last_commit(storage, ref):
            yield from read_commit(storage, ref, commit, _COLUMNS).to_pylist()


def _stored_outcome(row: Row) -> str:
    return row["reason"] if row["status"] == "rejected" else row["status"]


class _Judge:
    """Decides rows of `filtered_clips` by some parameters, as the phase does.

    Attributes:
        phase: the phase with these parameters.
        unmeasured: by filter, rows that it has no scores of.
    """

    def __init__(self, params: FilterParams, root: str) -> None:
        self.phase = FilterPhase(params, root)
        self.unmeasured: Counter[str] = Counter()
        self._root = root
        self._phases = {frozenset[str](): self.phase}

    def outcome(self, row: Row) -> str:
        """``kept``, the reason of a rejection, or ``failed``."""
        if row["status"] == "failed":
            return "failed"
        missing = self._missing(row)
        self.unmeasured.update(missing)
        return _stored_outcome(self.decided(row))

    def decided(self, row: Row) -> Row:
        """The row with its status, reason and scores. Filters that have not scored it are left out."""
        missing = self._missing(row)
        if missing not in self._phases:
            params = self.phase.params
            skipped = params.model_copy(update={"score_only": [*params.score_only, *missing]})
            self._phases[missing] = FilterPhase(skipped, self._root)
        return self._phases[missing].decide(row)

    def _missing(self, row: Row) -> frozenset[str]:
        scored = dict(row["score_keys"] or [])
        return frozenset(each.name for each in self.phase.filters if each.name not in scored)


def _column(scores: list[dict[str, float | None]], name: str) -> NDArray[np.float64]:
    """The score of each clip, NaN where it has none."""
    values = [row.get(name) for row in scores]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _at_rank(values: NDArray[np.float64], limit: Limit, rank: int) -> float:
    """The threshold that rejects at most `rank` clips of these, rounded to the side that admits more."""
    ordered = np.sort(values[~np.isnan(values)])
    index = min(rank, len(ordered) - 1)
    value = Decimal(repr(float(ordered[index] if limit.bound == "min" else ordered[-1 - index])))
    last_digit = Decimal(1).scaleb(value.adjusted() - _DIGITS + 1)
    return float(value.quantize(last_digit, ROUND_FLOOR if limit.bound == "min" else ROUND_CEILING))


def _num_kept(scores: dict[Limit, NDArray[np.float64]], thresholds: dict[Limit, float]) -> int:
    kept = np.ones(len(next(iter(scores.values()), ())), np.bool_)
    for limit, values in scores.items():
        inside = values >= thresholds[limit] if limit.bound == "min" else values <= thresholds[limit]
        kept &= inside | np.isnan(values)
    return int(kept.sum())
