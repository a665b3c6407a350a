"""What people look at to judge a table: contact sheets, groups of near-duplicates, captions, histograms.

    exhibits(ref, number)  ->  [Exhibit("kept_clips", ..., pictures), ...]

Light to import: what makes the pictures is loaded by name at the first call.
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
    """An encoded picture and what stands below it.

    Attributes:
        data: the file's bytes; empty where there is no picture to be had.
        media_type: `WEBP` or `SVG`.
        lines: plain text of any content, nothing escaped.
        small: the same picture in very few bytes; empty where there is none.
    """

    data: bytes
    media_type: str
    lines: tuple[str, ...] = ()
    small: bytes = b""


@dataclass(frozen=True, slots=True)
class Budget:
    """How large pictures may be, as files.

    Attributes:
        total_bytes: of all pictures of one table together, the small ones not counted.
        small_bytes: of one small picture.
    """

    total_bytes: int
    small_bytes: int


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Pictures that are shown together.

    Attributes:
        name: what they show, in the form of a column name.
        note: what was chosen out of how much, and what is missing and why. Plain text.
        rows: pictures that stand side by side.
    """

    name: str
    note: str
    rows: tuple[tuple[Picture, ...], ...] = ()


def exhibits(ref: ManifestRef, number: int, budget: Budget) -> list[Exhibit]:
    """The exhibits of one version of a table, histograms first.

    Nothing is decoded but JPEGs of the frame store. A picture that cannot be had is left out, and the note says why.
    Nor is anything waited for: where the store does not answer, one exhibit without pictures says so.
    """
    compose = lazy.load("stages.pictures.composing:compose")
    try:
        with retry.using(retry.Backoff(tries=1)):
            return compose(ref, number, budget)
    except (CurationError, OSError) as error:
        logger.warning("No pictures of %s of partition %s: %s", ref.asset, ref.partition, error)
        return [Exhibit("pictures", f"No pictures: {error}")]
