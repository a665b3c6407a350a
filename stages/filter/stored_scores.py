"""Scores that a table holds already, whatever filters and thresholds its rows were made with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stages.filter.base import ROW_COLUMNS
from stages.manifest import CommittedFile, ManifestRef, read_row_file
from stages.storage import Storage, map_concurrently
from stages.tasks import Row

_ROW_COLUMNS = [name for names in ROW_COLUMNS.values() for name in names]
_COLUMNS = ["row_key", "status", "score_keys", "scores", "picture_scores", *_ROW_COLUMNS]


@dataclass(frozen=True, slots=True)
class FilterScores:
    """What one filter measured of one clip.

    Attributes:
        scores: by name.
        pictures: by name, one value a picture; scores are made of them when the clip is judged.
        columns: what it wrote into the row beside them, see `ROW_COLUMNS`.
    """

    scores: Mapping[str, float | None]
    pictures: Mapping[str, tuple[float, ...]]
    columns: Mapping[str, Any] = field(default_factory=lambda: {})


def read_stored_scores(
    storage: Storage, output: ManifestRef, files: Iterable[CommittedFile]
) -> dict[str, FilterScores]:
    """By score key, the scores in these row files. Rows of versions that kept no score keys have none.

    Raises:
        ManifestError: a file is missing or damaged.
    """
    tables = map_concurrently(lambda entry: read_row_file(storage, output.asset, entry, _COLUMNS), list(files))
    found: dict[str, FilterScores] = {}
    for table in tables:
        for row in table.to_pylist():
            if row["status"] != "failed":
                found |= scores_by_key(row)
    return found


def scores_by_key(row: Row) -> dict[str, FilterScores]:
    """By score key, the scores of a row of `filtered_clips`, each with those of its filter."""
    keys = dict(row["score_keys"] or [])
    scores, pictures = dict(row["scores"] or []), dict(row["picture_scores"] or [])
    scored: dict[str, FilterScores] = {}
    for name, key in keys.items():
        of_filter = FilterScores(
            {each: value for each, value in scores.items() if _filter_of(each, keys) == name and each not in pictures},
            {each: tuple(values) for each, values in pictures.items() if _filter_of(each, keys) == name},
            {column: row.get(column) for column in ROW_COLUMNS.get(name, ())},
        )
        # A filter whose scores are not called after it cannot be told from others: it scores again.
        if of_filter.scores or of_filter.pictures:
            scored[key] = of_filter
    return scored


def _filter_of(score: str, filters: Iterable[str]) -> str | None:
    """The filter that a score is called after: of those with whose name it begins, the one with the longest."""
    named = [name for name in filters if score == name or score.startswith(f"{name}_")]
    return max(named, key=len, default=None)


def score_columns(scored: Iterable[FilterScores]) -> dict[str, Any]:
    """The columns ``scores`` and ``picture_scores`` of these, in their order, and what they wrote beside them."""
    merged = list(scored)
    return {
        **{name: value for each in merged for name, value in each.columns.items()},
        "scores": {name: value for each in merged for name, value in each.scores.items()},
        "picture_scores": {name: list(values) for each in merged for name, values in each.pictures.items()},
    }
