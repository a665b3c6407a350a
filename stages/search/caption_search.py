"""Search by a text among captions, and what else clips say in words, by vectors of sentences.

A vector is kept by the hash of its text, in an index of the layout of dedup's:

    {root}/index/{model}/{hash}.vectors, .parquet

It is made of texts alone: what is lost or damaged is made again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.dedup import VectorIndex, VectorStore, model_folder
from stages.errors import ManifestError
from stages.manifest import read_manifest
from stages.models import SentenceEncoder
from stages.schemas import ASSETS
from stages.search.arrow import pc
from stages.search.exact_search import nearest_vectors
from stages.search.stored_vectors import IndexAccess
from stages.storage import Storage, digest

TEXT_COLUMNS = {"captions": "caption", "filtered_clips": "text"}
"""Columns of words by asset; the text that is burned into pictures is there where a filter reads it."""
TEXTS_AT_ONCE = 1024
"""Texts that are embedded together, and of which a block is written."""


@dataclass(frozen=True)
class ClipTexts:
    """What clips say in words.

    Attributes:
        place: int64 ``[T]``, the row of the clip of each text.
        texts: the texts, one a window of a clip.
    """

    place: NDArray[np.int64]
    texts: list[str]


@dataclass(frozen=True)
class TextHits:
    """Clips by their most similar text, the most similar first.

    Attributes:
        place: int64 ``[K]``, rows of the clips.
        similarity: float64 ``[K]``.
        texts: the texts.
    """

    place: NDArray[np.int64]
    similarity: NDArray[np.float64]
    texts: list[str]


def read_texts(storage: Storage, version: int | str | None) -> pa.Table:
    """What all clips of a version say in words, as ``clip_id`` and ``text``: captions, and text in the picture.

    Raises:
        ManifestError: there are no captions, or a file is missing or damaged.
    """
    parts: list[pa.Table] = []
    for asset, column in TEXT_COLUMNS.items():
        if column in ASSETS[asset].schema.names:
            found = read_manifest(storage.root, asset, columns=["clip_id", column, "status"], version=version)
            if asset == "captions":  # rejected ones have their text too
                found = found.filter(pc.field("status") == "kept")
            parts.append(found.select(["clip_id", column]).rename_columns(["clip_id", "text"]))
    return pa.concat_tables(parts)


def texts_of_clips(clip_ids: pa.ChunkedArray, windows: pa.Table) -> ClipTexts:
    """The texts of these clips.

    Args:
        clip_ids: of the clips.
        windows: ``clip_id``, and ``text``, which may be null or empty.

    Raises:
        ManifestError: no clip of the root has a text.
    """
    windows = windows.filter(pc.field("text").is_valid())
    windows = windows.filter(pc.not_equal(pc.utf8_trim_whitespace(windows["text"]), ""))
    if not len(windows):
        raise ManifestError(
            "A search of captions requires captions of the clips, and none of them has one. Run `curator run` up to "
            "captions, or take --like or --image."
        )
    place = pc.index_in(windows["clip_id"], value_set=clip_ids.combine_chunks())
    windows = windows.append_column("place", place).filter(pc.is_valid(place))
    return ClipTexts(windows["place"].to_numpy().astype(np.int64), windows["text"].to_pylist())


def text_keys(texts: Sequence[str]) -> list[str]:
    """The key of each text in the index."""
    return [digest(text) for text in texts]


class CaptionSearch:
    """Searches texts of clips.

    Args:
        access: of the root's indexes.
        encoder: of sentences.
    """

    def __init__(self, access: IndexAccess, encoder: SentenceEncoder) -> None:
        self._access = access
        self._encoder = encoder

    def nearest(self, clips: ClipTexts, query: str, count: int, *, keeps: bool) -> TextHits:
        """The clips with the texts most similar to a query.

        Args:
            clips: what is searched.
            query: a text.
            count: clips that are wanted; fewer where there are fewer.
            keeps: vectors that the index lacks are added to it.
        """
        if not clips.texts:
            return TextHits(np.empty(0, np.int64), np.empty(0), [])
        keys = pa.array(text_keys(clips.texts), pa.string())
        unique = keys.dictionary_encode()
        texts = pa.array(clips.texts, pa.string()).take(_first_places(unique.indices.to_numpy()))
        rows = pa.table({"row_key": unique.dictionary, "text": texts})
        vector = self._encoder.encode([query])[0]
        return self._access.retried(
            lambda: _best_of_clips(self._vectors(rows, keeps=keeps), vector, clips, unique, count)
        )

    def _vectors(self, rows: pa.Table, *, keeps: bool) -> VectorStore:
        identity = self._encoder.identity
        folder = model_folder(identity.model, identity.weights_hash)
        index = VectorIndex(self._access.storage, folder, self._access.scratch, blocks_of=self._blocks)
        return self._access.read(index, rows, keeps=keeps)

    def _blocks(self, storage: Storage, rows: pa.Table) -> Iterator[tuple[pa.Array, NDArray[np.float32]]]:
        for start in range(0, len(rows), TEXTS_AT_ONCE):
            part = rows.slice(start, TEXTS_AT_ONCE)
            yield part["row_key"].combine_chunks(), self._encoder.encode(part["text"].to_pylist())


def _first_places(numbers: NDArray[np.integer]) -> pa.Array:
    """The place of the first of each number, in the order of the numbers."""
    return pa.array(np.unique(numbers, return_index=True)[1])


def _best_of_clips(
    vectors: VectorStore, query: NDArray[np.float32], clips: ClipTexts, unique: pa.DictionaryArray, count: int
) -> TextHits:
    """The best text of each clip: texts are taken by falling similarity until there are enough clips."""
    number = unique.indices.to_numpy()
    wanted = count
    while True:
        found = nearest_vectors(vectors, np.arange(len(vectors)), query, wanted)
        rank = np.full(len(vectors), len(vectors), np.int64)
        rank[found.positions] = np.arange(len(found.positions))
        places = np.flatnonzero(rank[number] < len(vectors))
        places = places[np.lexsort((clips.place[places], rank[number[places]]))]
        _, first = np.unique(clips.place[places], return_index=True)
        if len(first) >= count or len(found.positions) == len(vectors):
            break
        wanted *= 4
    best = places[np.sort(first)][:count]
    similarity = found.similarity[rank[number[best]]]
    return TextHits(clips.place[best], similarity, [clips.texts[place] for place in best.tolist()])
