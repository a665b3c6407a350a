"""For each of some clips, those of them that are most like it: what a page of clips links to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.search.exact_search import candidates
from stages.search.stored_vectors import (
    IndexAccess,
    StoredEmbeddings,
    find_embeddings,
    positions_of,
    read_vectors,
    scratch_folder,
)
from stages.storage import Storage

Neighbors = dict[str, list[tuple[str, float]]]


def nearest_of_each(storage: Storage, clip_ids: Sequence[str], count: int) -> Neighbors:
    """Of each clip, the ids of those among the others that are most like it, with cosine similarities, falling.

    Every clip is compared with every other, so they should be some thousands at most. Clips without an embedding are
    left out; nothing is written.

    Args:
        storage: of the root.
        clip_ids: the clips.
        count: how many of each.

    Raises:
        ManifestError: a file is missing or damaged.
        StageError: an embedding is missing, not finite, or of another size than the others.
    """
    stored = find_embeddings(storage, None) if clip_ids else None
    if stored is None:
        return {}
    with scratch_folder() as scratch:
        access = IndexAccess(storage, Path(scratch))
        return access.retried(lambda: _nearest(access, stored, clip_ids, count))


def _nearest(access: IndexAccess, stored: StoredEmbeddings, clip_ids: Sequence[str], count: int) -> Neighbors:
    position = positions_of(stored, pa.chunked_array([list(dict.fromkeys(clip_ids))], pa.string()))
    targets = np.sort(position.drop_null().to_numpy().astype(np.int64))
    if not len(targets):
        return {}
    vectors = read_vectors(access, stored, keeps=False)
    similarity, found = candidates(vectors, targets, vectors[targets], count + 1)
    names = stored.rows["clip_id"]
    ids: dict[int, str] = dict(zip(targets.tolist(), names.take(pa.array(targets)).to_pylist(), strict=True))
    return {
        ids[target]: [(ids[other], value) for other, value in zip(*row, strict=True) if other != target][:count]
        for target, *row in zip(targets.tolist(), found.tolist(), similarity.tolist(), strict=True)
    }
