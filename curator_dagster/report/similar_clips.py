"""For each clip of the page, those of the page that look most like it."""

from collections.abc import Sequence
from typing import Any

from stages import search  # faiss is imported at the first call, not with the page
from stages.storage import Storage

Row = dict[str, Any]

SIMILAR_CLIPS = 6
"""Clips that one links to, at most."""
MAX_COMPARED = 5_000
"""Clips that are compared, the first of the page: each with each, within a second or so."""
SIMILAR_BYTES = SIMILAR_CLIPS * 14
"""Largest size of these links in a row of the page."""


def with_similar(storage: Storage, clips: Sequence[Row]) -> list[Row]:
    """The rows with ``similar``: places of the rows that are most like each, with cosine similarities, falling.

    Raises:
        ManifestError: a file of embeddings is missing or damaged.
        StageError: an embedding cannot be used.
        StorageError: the store does not answer.
    """
    ids = [clip["id"] for clip in clips[:MAX_COMPARED] if clip["is_clip"]]
    place = {clip["id"]: number for number, clip in enumerate(clips)}
    nearest = search.nearest_of_each(storage, ids, SIMILAR_CLIPS)
    return [
        {**clip, "similar": [[place[other], round(value, 3)] for other, value in nearest.get(clip["id"], ())]}
        for clip in clips
    ]
