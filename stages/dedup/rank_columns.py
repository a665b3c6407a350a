"""What clips can be ranked by: scores, and columns of numbers of ``filtered_clips``."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.errors import ParamsError, did_you_mean
from stages.schemas import ASSETS


def check_rank_by(rank_by: Iterable[str], scores: Collection[str], beginnings: tuple[str, ...] = ()) -> None:
    """Check the names of `rank_by` before there is a table, against the schema of `filtered_clips` and these scores.

    Args:
        rank_by: names, each with "-" before it for the lowest first.
        scores: names that are known.
        beginnings: of names of further scores, of which no more is known.

    Raises:
        ParamsError: a name is neither a column of numbers nor one of the scores.
    """
    numbers = number_columns()
    names = [entry.removeprefix("-") for entry in rank_by]
    unknown = [name for name in names if name not in {*numbers, *scores} and not name.startswith(beginnings)]
    if unknown:
        raise ParamsError("\n".join(_unknown_ranking(name, numbers, scores) for name in unknown), "dedup.rank_by")


def columns_to_read(rank_by: Iterable[str]) -> list[str]:
    """The columns of ``filtered_clips`` that hold these values. A score may go by the name of a column."""
    names = [entry.removeprefix("-") for entry in rank_by]
    numbers = [name for name in number_columns() if name in names]
    return [*numbers, "scores"] if names else []


def ranking_values(clips: pa.Table, rank_by: Sequence[str]) -> NDArray[np.float64]:
    """Float64 ``[N, R]``, values to rank by; lower is better, NaN for none.

    They are negated for "name" (highest first), not for "-name".

    Raises:
        ParamsError: a name is neither a column of numbers of filtered_clips nor a score of any clip.
    """
    ranking = np.full((len(clips), len(rank_by)), np.nan)
    if not rank_by:
        return ranking
    numbers = number_columns()
    scores = [dict(scores or []) for scores in clips["scores"].to_pylist()]
    scored = {name for entry in scores for name in entry}
    for column, entry in enumerate(rank_by):
        name = entry.removeprefix("-")
        if name not in scored and name not in numbers:
            raise ParamsError(_unknown_ranking(name, numbers, scored), "dedup.rank_by")
        values = [row.get(name) for row in scores] if name in scored else clips[name].to_pylist()
        ranking[:, column] = np.array(values, np.float64) * (1.0 if entry.startswith("-") else -1.0)
    return ranking


def number_columns() -> list[str]:
    """The columns that clips can be ranked by."""
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    schema = ASSETS["filtered_clips"].schema
    return [field.name for field in schema if any(is_kind(field.type) for is_kind in kinds)]


def _unknown_ranking(name: str, numbers: Iterable[str], scores: Iterable[str]) -> str:
    known = [*sorted(scores), *numbers]
    return (
        f"dedup.rank_by must name scores {sorted(scores)} or columns of numbers {list(numbers)}, "
        f"got {name!r}.{did_you_mean(name, known)}"
    )
