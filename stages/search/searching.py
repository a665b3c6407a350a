"""The search itself: clips of a scope, ordered by their likeness to a query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stages.errors import ManifestError, ParamsError, did_you_mean
from stages.models import SentenceEncoder, sentence_model_folder
from stages.search.arrow import pc
from stages.search.caption_search import CaptionSearch, read_texts, texts_of_clips
from stages.search.clip_columns import CAPTION, DURATION, ClipTable
from stages.search.embedding_queries import QueryModel, worker
from stages.search.exact_search import nearest_vectors
from stages.search.request import By, Query, Scope
from stages.search.stored_vectors import (
    IndexAccess,
    StoredEmbeddings,
    find_embeddings,
    positions_of,
    read_vectors,
    scratch_folder,
)
from stages.storage import Storage

SIMILARITY, MATCHED = "query_similarity", "matched_text"
RESULT_COLUMNS = (
    *("uri", "start_s", "end_s", DURATION, "width", "height", "camera_motion", CAPTION, "reason"),
    *("path", "preview_path", "partition", "video_id", "start_pts", "end_pts"),
)
"""Columns of a result beside its id, status and similarity."""
MAX_SUGGESTED_OF = 5_000
"""Clip ids that a wrong one is compared with, at most."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        table: a row a clip, the most similar first: ``clip_id``, ``status``, ``query_similarity`` (null without a
            query), ``matched_text`` (the caption that is most similar; null where none was searched), `RESULT_COLUMNS`.
        num_searched: clips that were compared, or that met the condition.
        notes: what a reader should know of how it was searched, a line each.
    """

    table: pa.Table
    num_searched: int
    notes: list[str] = field(default_factory=lambda: [])


@dataclass(frozen=True)
class _Hits:
    """Rows of the searched clips that were found, the most similar first."""

    place: NDArray[np.int64]
    similarity: NDArray[np.float64]
    num_searched: int
    texts: list[str] | None = None


def search(
    root: str,
    text: str | None = None,
    *,
    like: str | None = None,
    image: str | None = None,
    where: str | None = None,
    top: int = 20,
    asset: str = "unique_clips",
    status: str = "kept",
    version: int | str | None = None,
    by: By = "auto",
    embedder: str = "",
    index: bool | None = None,
) -> pd.DataFrame:
    """Find clips of a root by a text, by a clip or picture that they are like, and by conditions on their columns.

    Args:
        root: folder or fsspec URL.
        text: what the clips should show. It is compared with the pictures where the model of the stored embeddings has
            a text tower, else with captions.
        like: id of a clip.
        image: path or URL of a picture. Of `text`, `like` and `image` together, the mean counts.
        where: a condition such as ``"camera_motion = 'pan' AND height >= 720"``.
        top: rows at most; 0 for all.
        asset: whose clips are searched: clips, filtered_clips, embeddings, unique_clips or dataset.
        status: of their rows there: kept, rejected, failed or all.
        version: number or tag of a version of the root; the newest commits where none is given.
        by: "auto", "embeddings" or "captions": what `text` is compared with.
        embedder: name of the further embedder (``embed.more``) whose vectors are compared; "" for the first.
        index: where None, vectors of captions are kept under the root, and embeddings are added to no index; where
            True, these too; where False, nothing is written.

    Returns:
        A row a clip, the most similar first, with ``clip_id``, ``query_similarity``, ``matched_text``, ``caption``,
        ``uri`` and more. ``attrs`` has ``num_searched`` and ``notes``.

    Raises:
        ParamsError: an argument is wrong, or a model is not there.
        ManifestError: a table is not made, or a file is missing or damaged.
        StorageError: the store does not answer.
    """
    found = find_clips(
        root, Query(text, like, image, by, embedder), Scope(asset, status, version, where), top=top, index=index
    )
    frame = found.table.to_pandas()
    frame.attrs.update(num_searched=found.num_searched, notes=found.notes)
    return frame


def find_clips(root: str, query: Query, scope: Scope, *, top: int = 20, index: bool | None = None) -> Found:
    """Find clips; see `search`, which says the same as a frame of pandas."""
    if top < 0:
        raise ParamsError(f"top must be 0 or more, got {top}.", "top")
    if query.is_empty and scope.where is None:
        raise ParamsError("A search requires a text, --like, --image or --where, got none of them.")
    storage = Storage(root)
    clips = ClipTable(storage, scope)
    if scope.where is not None:
        clips.filter(scope.where)
    with scratch_folder() as scratch:
        searching = _Searching(storage, query, scope, IndexAccess(storage, Path(scratch)), index)
        hits = searching.hits(clips, top or max(1, len(clips.rows)))
    clips.rows = clips.rows.take(pa.array(hits.place))
    clips.add(RESULT_COLUMNS)
    similarity = pa.array(hits.similarity, from_pandas=True)
    texts = pa.nulls(len(clips.rows), pa.string()) if hits.texts is None else pa.array(hits.texts, pa.string())
    own = [name for name in clips.rows.column_names if name not in ("clip_id", "status", *RESULT_COLUMNS)]
    columns = {"clip_id": clips.rows["clip_id"], SIMILARITY: similarity, "status": clips.rows["status"], MATCHED: texts}
    columns |= {name: clips.rows[name] for name in (*RESULT_COLUMNS, *own)}
    return Found(pa.table(columns), hits.num_searched, searching.notes)


class _Searching:
    """One search, from the clips of its scope to those that are found."""

    def __init__(self, storage: Storage, query: Query, scope: Scope, access: IndexAccess, index: bool | None) -> None:
        self.notes: list[str] = []
        self._storage = storage
        self._query = query
        self._scope = scope
        self._access = access
        self._index = index

    def hits(self, clips: ClipTable, count: int) -> _Hits:
        """The clips that are found, at most so many."""
        query = self._query
        if query.is_empty:
            places = np.arange(min(count, len(clips.rows)))
            return _Hits(places, np.full(len(places), np.nan), len(clips.rows))
        if query.by == "captions":
            if not query.is_text_alone:
                raise ParamsError(
                    "A search of captions requires a text alone, got --like or --image too. Leave it out."
                )
            return self._by_captions(clips, count)
        stored = find_embeddings(self._storage, self._scope.version, query.embedder)
        if stored is None:
            return self._without_embeddings(clips, count)
        model = QueryModel(self._storage, stored) if query.text is not None or query.image is not None else None
        tower = model.text_encoder() if model is not None and query.text is not None else None
        if query.text is not None and tower is None:
            return self._without_text_tower(clips, count, stored)
        vectors = [] if tower is None or query.text is None else [tower.encode([query.text])[0]]
        if query.image is not None and model is not None:
            vectors.append(model.of_picture(query.image, _max_px(clips)))
        return self._access.retried(lambda: self._by_embeddings(clips, stored, vectors, count))

    @property
    def _falls_back(self) -> bool:
        """Whether captions may be searched where pictures cannot: not where an embedder is asked for by name."""
        return self._query.is_text_alone and self._query.by == "auto" and not self._query.embedder

    def _without_embeddings(self, clips: ClipTable, count: int) -> _Hits:
        if self._falls_back:
            return self._by_captions(clips, count)
        raise ManifestError(
            f"Clips must have embeddings to be searched by likeness, and none are made under {self._storage.root}. "
            f"Run `curator run SOURCE --root {self._storage.root}` first; --where works without."
        )

    def _without_text_tower(self, clips: ClipTable, count: int, stored: StoredEmbeddings) -> _Hits:
        if self._falls_back:
            return self._by_captions(clips, count)
        raise ParamsError(
            f"The text can be compared with captions alone, since {stored.identity.model} has no text tower. "
            "Leave --by, --like and --image out, or embed by CLIP or SigLIP: embed.embedder=transformers."
        )

    def _by_embeddings(
        self, clips: ClipTable, stored: StoredEmbeddings, queries: Sequence[NDArray[np.float32]], count: int
    ) -> _Hits:
        self.notes[:] = [f"Compared with the pictures of clips, by {stored.identity.model}."]
        vectors = read_vectors(self._access, stored, keeps=self._index is True)
        liked = None if self._query.like is None else self._position_of_clip(stored, self._query.like)
        directions = [*queries, *([] if liked is None else [vectors[np.array([liked])][0]])]
        if stored.num_others:
            self.notes.append(f"{stored.num_others} clips are left out, whose embeddings are of another model.")
        place_of = self._places(clips, stored)
        if liked is not None:
            place_of[liked] = -1
        targets = np.flatnonzero(place_of >= 0)
        if not len(targets):
            return _Hits(targets, np.empty(0), 0)
        found = nearest_vectors(vectors, targets, _mean_direction(directions), min(count, len(targets)))
        return _Hits(place_of[found.positions], found.similarity, len(targets))

    def _places(self, clips: ClipTable, stored: StoredEmbeddings) -> NDArray[np.int64]:
        """Of each embedding, the row of its clip among those that are searched; -1 where it is not searched."""
        position = positions_of(stored, clips.rows["clip_id"])
        place_of = np.full(len(stored.rows), -1, np.int64)
        has_one = np.flatnonzero(position.is_valid().to_numpy(zero_copy_only=False))
        place_of[position.take(pa.array(has_one)).to_numpy()] = has_one
        if without := len(clips.rows) - len(has_one):
            self.notes.append(f"{without} clips are left out, which have no embedding.")
        return place_of

    def _position_of_clip(self, stored: StoredEmbeddings, clip_id: str) -> int:
        """The position of a clip's vector.

        Raises:
            ParamsError: it has none.
        """
        position = positions_of(stored, pa.chunked_array([[clip_id]], pa.string()))[0].as_py()
        if position is None:
            hint = _why_no_vector(self._storage, stored, clip_id)
            raise ParamsError(f"--like must be a clip with an embedding, got {clip_id!r}.{hint}", "like")
        return position

    def _by_captions(self, clips: ClipTable, count: int) -> _Hits:
        windows = read_texts(self._storage, self._scope.version)
        texts = texts_of_clips(clips.rows["clip_id"], windows)
        encoder = SentenceEncoder(sentence_model_folder(), worker())
        searched = len(np.unique(texts.place))
        self.notes[:] = [f"Compared with captions, by {encoder.identity.model.partition('/')[0]}."]
        if without := len(clips.rows) - searched:
            self.notes.append(f"{without} clips are left out, which have no caption.")
        keeps = self._index is not False
        found = CaptionSearch(self._access, encoder).nearest(texts, str(self._query.text), count, keeps=keeps)
        return _Hits(found.place, found.similarity, searched, found.texts)


def _mean_direction(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The mean of unit vectors, scaled to unit length."""
    mean = np.mean(np.asarray(vectors, np.float64), axis=0)
    length = float(np.linalg.norm(mean))
    if not 0 < length < float("inf"):
        raise ParamsError("The parts of the query must have a mean, and are opposite to each other. Leave one out.")
    return (mean / length).astype(np.float32)


def _max_px(clips: ClipTable) -> int | None:
    """Longest side of the stored pictures of the clips; None where none tells."""
    rows = clips.rows
    clips.add(["frames_max_px"])
    found = pc.max(clips.rows["frames_max_px"]).as_py()
    clips.rows = rows
    return found


def _why_no_vector(storage: Storage, stored: StoredEmbeddings, clip_id: str) -> str:
    """What a reader should know of a clip id without an embedding: what became of the clip, or ids like it."""
    rows = ClipTable(storage, Scope("filtered_clips", "all")).rows["clip_id"]
    if pc.is_in(pa.array([clip_id]), value_set=rows.combine_chunks())[0].as_py():
        return f" `curator show {storage.root} --lineage {clip_id}` tells what became of it."
    known = stored.rows["clip_id"]
    begun = known.filter(pc.starts_with(known, clip_id[:4])) if clip_id else known
    near = (begun if len(begun) else known).slice(0, MAX_SUGGESTED_OF).to_pylist()
    return did_you_mean(clip_id, near) or f" `curator show {storage.root} unique_clips` lists them."
