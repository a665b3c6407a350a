"""Divides clips into training and validation by the uri of their source, so that the two share none.

The side of a source depends on its uri, the share and the seed, and on no other source: what is added later moves
nothing, and a larger share only adds sources to validation.
"""

import logging
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ParamsError
from stages.storage import digest

logger = logging.getLogger(__name__)

Side = Literal["train", "validation"]

_HASH_DIGITS = 16


def is_validation(uri: str, share: float, seed: int) -> bool:
    """True for a source that is in validation, which the given share of all possible uris is."""
    return int(digest(uri, str(seed), length=_HASH_DIGITS), 16) < share * 16**_HASH_DIGITS


def select_side(rows: pa.Table, side: Side, *, share: float, seed: int) -> pa.Table:
    """The rows whose sources are on one side. An empty side is logged as a warning.

    Raises:
        ParamsError: there is no such side, or the share is not between 0 and 1.
    """
    if side not in ("train", "validation"):
        raise ParamsError(f"split must be 'train', 'validation' or None for all clips, got {side!r}.")
    if not 0 < share < 1:
        raise ParamsError(f"validation_share must be above 0 and below 1, got {share}.")
    sources: list[str] = rows["uri"].unique().to_pylist()
    chosen = [uri for uri in sources if is_validation(uri, share, seed) == (side == "validation")]
    if not chosen:
        logger.warning(
            "The split %s has no clip: all %d sources are on the other side of validation_share=%s. "
            "Choose another seed or share.",
            side,
            len(sources),
            share,
        )
    return rows.filter(pc.field("uri").isin(pa.array(chosen, pa.string())))
