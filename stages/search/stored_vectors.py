"""The stored embeddings of clips, from dedup's index where they are in it, else from row files."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from stages.dedup import EMBEDDING_COLUMNS, DamagedSegment, VectorIndex, VectorStore, index_of_table, model_folder
from stages.errors import ParamsError, did_you_mean
from stages.manifest import COMMIT_COLUMN, committed_partitions, find_version, further_tables, read_kept_rows
from stages.models import ModelIdentity
from stages.search.arrow import pc
from stages.storage import Storage
from stages.table_names import MULTIPLE, name_of

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class StoredEmbeddings:
    """The embeddings of one model, without their vectors.

    Attributes:
        identity: the model.
        rows: ``clip_id``, ``partition``, ``row_key`` and number of the commit of each embedding; a clip once.
        commits: by partition, the number of the commit that was read.
        num_others: clips whose embeddings are of another model, and left out.
        table: which they are of.
    """

    identity: ModelIdentity
    rows: pa.Table
    commits: dict[str, int]
    num_others: int
    table: str = "embeddings"


@dataclass
class IndexAccess:
    """Opens indexes of vectors of a root, and goes on without a part that is damaged.

    Attributes:
        storage: of the root.
        scratch: a folder on this machine, for copies of files of an object store.
        damaged: names of segments that were found to be damaged.
    """

    storage: Storage
    scratch: Path
    damaged: set[str] = field(default_factory=lambda: set())

    def read(self, index: VectorIndex, rows: pa.Table, *, keeps: bool) -> VectorStore:
        """The vectors of these rows; what the index lacks is added to it where it is to be kept."""
        if not keeps:
            return index.read(rows, self.damaged)
        for name in self.damaged:
            index.remove(name)
        return index.vectors_of(rows)

    def retried(self, work: Callable[[], T]) -> T:
        """The result of work that reads vectors, done again without each segment that proves damaged."""
        while True:
            try:
                return work()
            except DamagedSegment as error:
                if error.name in self.damaged:
                    raise
                logger.warning("%s", error)
                self.damaged.add(error.name)


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder for copies of files of an object store, which is removed at the end of a ``with`` block."""
    return tempfile.TemporaryDirectory(prefix="curator-search-", ignore_cleanup_errors=True)


def find_embeddings(storage: Storage, version: int | str | None, embedder: str = "") -> StoredEmbeddings | None:
    """The embeddings of all clips of a version, those of the model that made most of them; None where none are made.

    Args:
        storage: of the root.
        version: number or tag; the newest commits where None.
        embedder: name of a further embedder; "" for the first.

    Raises:
        ParamsError: the root has no embeddings of such an embedder.
        ManifestError: there is no such version, or a file is missing or damaged.
    """
    table = table_of_embedder(storage, embedder)
    rows, commits = _embedding_rows(storage, version, table)
    if not len(rows):
        return None
    (model, weights_hash), mine = _of_main_model(rows)
    return StoredEmbeddings(
        ModelIdentity(model, weights_hash), _first_of_each_clip(mine), commits, len(rows) - len(mine), table
    )


def table_of_embedder(storage: Storage, name: str) -> str:
    """The table of an embedder: that of the asset for "", else the further one of the name.

    Raises:
        ParamsError: the root has no such table.
    """
    if not name:
        return MULTIPLE
    known = {name_of(table): table for table in further_tables(storage)}
    if name not in known:
        raise ParamsError(
            f"--embedder must be a further embedder that {storage.root} has embeddings of, got {name!r}."
            + (
                did_you_mean(name, list(known))
                or f" There are {', '.join(known) or 'none'}; without it the first is used."
            ),
            "embedder",
        )
    return known[name]


def read_vectors(access: IndexAccess, found: StoredEmbeddings, *, keeps: bool) -> VectorStore:
    """The vectors of embeddings, in the order of their rows.

    Raises:
        ManifestError: a file is missing or damaged.
        StageError: an embedding is missing, not finite, or of another size than the others.
    """
    folder = model_folder(found.identity.model, found.identity.weights_hash)
    return access.read(index_of_table(access.storage, folder, access.scratch, found.table), found.rows, keeps=keeps)


def _embedding_rows(storage: Storage, version: int | str | None, table: str) -> tuple[pa.Table, dict[str, int]]:
    """Rows of kept embeddings without their vectors, and the number of the commit by partition."""
    wanted: dict[str, int | None] = dict.fromkeys(committed_partitions(storage, table))
    if version is not None:
        wanted = dict(find_version(storage, version).tables.get(table, {}))
    columns = [name for name in EMBEDDING_COLUMNS if name != COMMIT_COLUMN]
    rows, commits = read_kept_rows(storage, table, wanted, columns, may_write=False)
    return rows.filter(pc.is_valid(rows["model"])), commits


def positions_of(stored: StoredEmbeddings, clip_ids: pa.ChunkedArray) -> pa.Array:
    """Int32 ``[N]``: the position of each clip's vector; null for a clip without one."""
    return _whole(pc.index_in(clip_ids, value_set=_whole(stored.rows["clip_id"])))


def _of_main_model(rows: pa.Table) -> tuple[tuple[str, str], pa.Table]:
    """The model of most rows, and its rows."""
    counts = rows.group_by(["model", "weights_hash"]).aggregate([([], "count_all")]).to_pylist()
    main = max(counts, key=lambda each: (each["count_all"], str(each["model"]), str(each["weights_hash"])))
    is_mine = (pc.field("model") == main["model"]) & (pc.field("weights_hash") == main["weights_hash"])
    return (main["model"], main["weights_hash"]), rows.filter(is_mine)


def _first_of_each_clip(rows: pa.Table) -> pa.Table:
    """Each clip once: the row of the first partition by name, where two registrations took one video."""
    rows = rows.sort_by([("clip_id", "ascending"), ("partition", "ascending")])
    ids = _whole(rows["clip_id"])
    if len(ids) < 2:
        return rows
    is_first = pa.concat_arrays([pa.array([True]), pc.not_equal(ids[1:], ids[:-1])])
    return rows.filter(is_first)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece."""
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
