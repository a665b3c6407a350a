"""The files of lists: centres, and the list of each vector of a segment.

    {root}/index/{model}/centres-{number}-{hash}.parquet          trained once for a size of library, then kept
    {root}/index/{model}/lists-{hash of centres}-{segment}.parquet

Centres that are lost are trained again, and may then differ: another index, which finds other pairs of those that lie
far from each other. Decisions that were made stand.
"""

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup.arrays import Vectors
from stages.dedup.lists import TRAINING_VECTORS, nearest_centre, num_lists, train_centres
from stages.dedup.segment_files import read_table, write_table
from stages.dedup.vector_store import CHECKED_ROWS, Segment, VectorStore
from stages.storage import Storage


def centres_for(storage: Storage, folder: str, store: VectorStore) -> tuple[Vectors, str]:
    """Centres for as many lists as these vectors need, and their hash; trained where there are none."""
    count, size = num_lists(len(store)), store.shape[1]
    start = f"{folder}/centres-{count}-"
    for info in storage.list(folder):
        if info.path.startswith(start):
            found = read_table(storage, info.path)
            if found is not None and len(found[0]) == count * size:
                name = info.path.removeprefix(start).partition(".")[0]
                return found[0]["value"].to_numpy().reshape(count, size), name
    centres = train_centres(store[_sample(store, count * TRAINING_VECTORS)], count)
    name = hashlib.sha256(centres.data).hexdigest()[:20]
    write_table(storage, f"{start}{name}.parquet", pa.table({"value": centres.ravel()}))
    return centres, name


def lists_of_segment(storage: Storage, folder: str, segment: Segment, centres: Vectors, name: str) -> NDArray[np.int32]:
    """Int32 ``[N]``: the list of each vector of a segment; read, or computed and written."""
    path = f"{folder}/lists-{name}-{segment.name}.parquet"
    found = read_table(storage, path)
    if found is not None and len(found[0]) == len(segment.keys):
        return found[0]["list"].to_numpy()
    rows = np.arange(len(segment.keys))
    parts = [rows[start : start + CHECKED_ROWS] for start in range(0, len(rows), CHECKED_ROWS)]
    assigned = np.concatenate([nearest_centre(segment.take(part), centres) for part in parts])
    write_table(storage, path, pa.table({"list": assigned}))
    return assigned


def _sample(store: VectorStore, count: int) -> NDArray[np.int64]:
    """Positions of vectors to train with, by their keys, which are hashes: whatever the order of clips."""
    names = np.full(len(store), "", object)
    for index, segment in enumerate(store.segments):
        here = np.flatnonzero(store.segment == index)
        names[here] = segment.keys.take(pa.array(store.row[here])).to_numpy(zero_copy_only=False)
    return np.sort(np.argsort(names, kind="stable")[:count])
