"""The index of vectors under the root: segments that are merged as it grows, and lists where there are very many.

An update reads what is new from row files, and writes it as a segment together with those that are not much larger. So
a vector is written again as often as the index doubles: for an increment, the log of what is there.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages import heartbeat
from stages.dedup.arrays import Vectors
from stages.dedup.arrow import pc
from stages.dedup.embedding_blocks import check_sizes, embedding_blocks
from stages.dedup.lists import EXACT_CLIPS, ListedVectors, Lists
from stages.dedup.lists_files import centres_for, lists_of_segment
from stages.dedup.segment_files import (
    KEYS,
    VECTORS,
    Blocks,
    copied_file,
    open_segment,
    read_table,
    write_segment,
    write_table,
)
from stages.dedup.vector_store import CHECKED_ROWS, Segment, VectorStore, checksum
from stages.errors import StageError
from stages.storage import Storage, digest

MERGED_RATIO = 2
"""A segment is merged into a new one that has at least the n-th part of its rows."""
UNWRITTEN = "unwritten"
"""Name of a segment that stands in memory alone."""

ReadBlocks = Callable[[Storage, pa.Table], Blocks]
"""Keys and vectors of rows that the index lacks; each of their keys once."""


class VectorIndex:
    """The index of one model's vectors.

    Args:
        storage: of the root.
        folder: of the model, below the root.
        scratch: a folder on this machine, for copies of files of an object store.
        blocks_of: gives what the index lacks, of the rows that `vectors_of` or `read` is asked for.
    """

    def __init__(
        self, storage: Storage, folder: str, scratch: Path, *, blocks_of: ReadBlocks = embedding_blocks
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._scratch = scratch
        self._blocks_of = blocks_of

    def vectors_of(self, rows: pa.Table) -> VectorStore:
        """The vectors of these embeddings, in their order. What the index lacks is read from row files and added.

        Args:
            rows: ``partition``, ``row_key`` of each embedding, and the number of its commit.

        Raises:
            StageError: an embedding is missing, not finite, or of another size than the others.
            ManifestError: a commit, or a file that it names, is missing or damaged.
        """
        store = self._locate(rows["row_key"], self._segments())
        missing = np.flatnonzero(store.row < 0)
        heartbeat.count("dedup_vectors_added", len(missing))
        if len(missing):
            used = [segment for segment in self._grown(store, rows.take(pa.array(missing))) if segment is not None]
            store = self._locate(rows["row_key"], used)
        check_sizes(segment.vectors.shape[1] for segment in store.segments)
        return self._listed(store) if len(rows) > EXACT_CLIPS else store

    def read(self, rows: pa.Table, without: Collection[str] = ()) -> VectorStore:
        """The vectors of these embeddings, in their order. What the index lacks is read too, and nothing is written.

        Args:
            rows: as of `vectors_of`.
            without: names of segments that are known to be damaged.

        Raises:
            StageError: an embedding is missing, not finite, or of another size than the others.
            ManifestError: a commit, or a file that it names, is missing or damaged.
        """
        segments = [segment for segment in self._segments() if segment.name not in without]
        store = self._locate(rows["row_key"], segments)
        missing = np.flatnonzero(store.row < 0)
        if len(missing):
            store = self._locate(rows["row_key"], [*store.segments, self._in_memory(rows.take(pa.array(missing)))])
        check_sizes(segment.vectors.shape[1] for segment in store.segments)
        return store

    def _in_memory(self, missing: pa.Table) -> Segment:
        blocks = list(self._blocks_of(self._storage, missing))
        check_sizes(vectors.shape[1] for _, vectors in blocks)
        vectors = np.concatenate([vectors for _, vectors in blocks])
        checksums = [checksum(vectors[start : start + CHECKED_ROWS]) for start in range(0, len(vectors), CHECKED_ROWS)]
        return Segment(UNWRITTEN, pa.concat_arrays([keys for keys, _ in blocks]), vectors, checksums)

    def remove(self, name: str) -> None:
        """Remove a segment that is damaged; what it held is read from row files again."""
        for suffix in (KEYS, VECTORS):
            self._storage.delete(f"{self._folder}/{name}{suffix}")
        copied_file(self._scratch, f"{self._folder}/{name}{VECTORS}").unlink(missing_ok=True)

    def save_layout(self, store: VectorStore, run_token: str) -> str:
        """Write down where each vector is, for other workers of a run; returns the path, below the root."""
        columns = {"segment": store.segment, "row": store.row}
        if isinstance(store, ListedVectors):
            columns["list"] = store.lists.assigned
        path = self._layout_path(store, run_token)
        write_table(self._storage, path, pa.table(columns), [segment.name for segment in store.segments])
        return path

    def remove_layout(self, store: VectorStore, run_token: str) -> None:
        """Remove what `save_layout` wrote for the run; another one over the same vectors has a file of its own."""
        self._storage.delete(self._layout_path(store, run_token))

    def _layout_path(self, store: VectorStore, run_token: str) -> str:
        names = [segment.name for segment in store.segments]
        return f"{self._folder}/layout-{digest(run_token, *names, _hash_of(store.segment, store.row))}{KEYS}"

    def open_layout(self, path: str) -> VectorStore:
        """The vectors as another worker found them.

        Raises:
            StageError: a file of the index is gone or damaged.
        """
        found = read_table(self._storage, path)
        names = found[1] if found is not None and isinstance(found[1], list) else []
        segments = [open_segment(self._storage, self._folder, name, self._scratch) for name in names]
        whole = [segment for segment in segments if segment is not None]
        if found is None or len(whole) < len(names):
            raise StageError(f"The index of vectors under {self._folder} was changed meanwhile. Run dedup again.")
        columns = found[0]
        store = VectorStore(whole, columns["segment"].to_numpy(), columns["row"].to_numpy())
        if "list" not in columns.column_names:
            return store
        centres, _ = centres_for(self._storage, self._folder, store)
        return ListedVectors(store, Lists(centres, columns["list"].to_numpy()))

    def _segments(self) -> list[Segment]:
        """Whole segments, largest first."""
        there = {info.path for info in self._storage.list(self._folder)}
        names = [path.rpartition("/")[2].removesuffix(VECTORS) for path in there if path.endswith(VECTORS)]
        opened = [
            open_segment(self._storage, self._folder, name, self._scratch)
            for name in names
            if f"{self._folder}/{name}{KEYS}" in there
        ]
        whole = [segment for segment in opened if segment is not None]
        return sorted(whole, key=lambda segment: (-len(segment.keys), segment.name))

    def _locate(self, keys: pa.ChunkedArray, segments: list[Segment]) -> VectorStore:
        """Where each vector is; row -1 for one that is in no segment. Segments that have none of them are left out."""
        place, row = np.full(len(keys), -1, np.int16), np.full(len(keys), -1, np.int32)
        used: list[Segment] = []
        for segment in segments:
            open_rows = np.flatnonzero(row < 0)
            if not len(open_rows):
                break
            found = pc.index_in(keys.take(pa.array(open_rows)), value_set=segment.keys).fill_null(-1).to_numpy()
            here = open_rows[found >= 0]
            if len(here):
                place[here], row[here] = len(used), found[found >= 0]
                used.append(segment)
        return VectorStore(used, place, row)

    def _grown(self, store: VectorStore, missing: pa.Table) -> list[Segment | None]:
        """The segments of a store, and one with what is missing, in place of those that are merged into it."""
        counts = np.bincount(store.segment[store.row >= 0], minlength=len(store.segments))
        merged: list[int] = []
        total = len(missing)
        for index in np.argsort(counts, kind="stable").tolist():
            if counts[index] > MERGED_RATIO * total:
                break
            merged.append(index)
            total += int(counts[index])
        name = write_segment(self._storage, self._folder, self._blocks(store, merged, missing))
        kept: list[Segment | None] = [each for index, each in enumerate(store.segments) if index not in merged]
        return [*kept, open_segment(self._storage, self._folder, name, self._scratch) if name else None]

    def _blocks(self, store: VectorStore, merged: list[int], missing: pa.Table) -> Blocks:
        known = [segment.vectors.shape[1] for segment in store.segments]
        for keys, vectors in self._blocks_of(self._storage, missing):
            check_sizes([*known, vectors.shape[1]])
            yield keys, vectors
        for index in merged:
            yield from _rows_of(store.segments[index], np.sort(store.row[store.segment == index]))

    def _listed(self, store: VectorStore) -> ListedVectors:
        centres, name = centres_for(self._storage, self._folder, store)
        assigned = np.empty(len(store), np.int32)
        for index, segment in enumerate(store.segments):
            here = store.segment == index
            assigned[here] = lists_of_segment(self._storage, self._folder, segment, centres, name)[store.row[here]]
        return ListedVectors(store, Lists(centres, assigned))


def index_of_table(storage: Storage, folder: str, scratch: Path, table: str) -> VectorIndex:
    """The index of one model's vectors; what it lacks is read from this table of embeddings."""
    return VectorIndex(storage, folder, scratch, blocks_of=partial(embedding_blocks, table=table))


def _rows_of(segment: Segment, rows: np.ndarray) -> Iterator[tuple[pa.Array, Vectors]]:
    for start in range(0, len(rows), CHECKED_ROWS):
        part = rows[start : start + CHECKED_ROWS]
        yield segment.keys.take(pa.array(part)), segment.take(part)


def _hash_of(*arrays: np.ndarray) -> str:
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()
