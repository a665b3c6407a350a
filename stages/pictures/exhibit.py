"""Exhibits of a table: contact sheets, groups of near-duplicates, captions, histograms. The types and the entry point.

    exhibits(ref, number)  ->  [Exhibit("kept_clips", ..., pictures), ...]

The module that decodes and encodes pictures is imported by name at the first call.
"""

import logging
from dataclasses import dataclass

from stages import lazy, retry
from stages.errors import CurationError
from stages.manifest import ManifestRef

logger = logging.getLogger(__name__)

WEBP = "image/webp"
SVG = "image/svg+xml"


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture and the lines of text below it.

    Attributes:
        data: the file's bytes; empty where the picture is missing.
        media_type: `WEBP` or `SVG`.
        lines: plain text of any content, not escaped.
        small: a thumbnail in very few bytes; empty where there is none.
    """

    data: bytes
    media_type: str
    lines: tuple[str, ...] = ()
    small: bytes = b""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the size of encoded pictures.

    Attributes:
        total_bytes: of all pictures of one table, without their thumbnails.
        small_bytes: of one thumbnail.
    """

    total_bytes: int
    small_bytes: int


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Pictures that are shown together.

    Attributes:
        name: in the form of a column name.
        note: plain text: how many rows were chosen of how many, and which pictures are missing and why.
        rows: rows of the grid, each with its pictures from left to right.
    """

    name: str
    note: str
    rows: tuple[tuple[Picture, ...], ...] = ()


def exhibits(ref: ManifestRef, number: int, budget: Budget) -> list[Exhibit]:
    """The exhibits of one version of a table, histograms first.

    Only JPEGs of the frame store are decoded. A picture that cannot be read is left out, and the note gives the reason.
    Storage calls are not retried: where the store does not answer, one exhibit without pictures names the error.
    """
    compose = lazy.load("stages.pictures.composing:compose_exhibits")
    try:
        with retry.using(retry.Backoff(tries=1)):
            return compose(ref, number, budget)
    except (CurationError, OSError) as error:
        logger.warning("No pictures of %s of partition %s: %s", ref.asset, ref.partition, error)
        return [Exhibit("pictures", f"No pictures: {error}")]
