"""What the stages of dedup exchange, and how what parts of a search found comes together."""

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from stages.dedup.planning import PlannedClips
from stages.dedup.searches import Search
from stages.errors import StageError
from stages.pipeline import ItemResult
from stages.tasks import Task

SEARCH = b"search"
"""Of the metadata of what a part of a search found: its class."""


def name_of(search: Search) -> str:
    """What a search is called in `SEARCH`."""
    return type(search).__name__


@dataclass(frozen=True, slots=True)
class DedupTask(Task):
    """All clips, by the keys of their embeddings.

    Attributes:
        clips: as they were planned.
        earlier_commit: commit number of unique_clips whose decisions are kept; 0 for none.
        found: of the divided searches, in their order, the name and what the parts found.
    """

    clips: PlannedClips = field(kw_only=True)
    earlier_commit: int = field(kw_only=True)
    found: tuple[tuple[str, tuple[pa.Table, ...]], ...] = field(kw_only=True, default=())

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        found = sum(table.nbytes for _, tables in self.found for table in tables)
        return self.clips.rows.nbytes + self.clips.filtered.nbytes + self.clips.ranking.nbytes + found


@dataclass(frozen=True, slots=True)
class SearchTask(Task):
    """A part of a search.

    Attributes:
        search: the part.
        folder: of the index of vectors.
        layout: path of the file that says where in the index each vector is.
    """

    search: Search = field(kw_only=True)
    folder: str = field(kw_only=True)
    layout: str = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class FoundTask(Task):
    """What a part of a search found.

    Attributes:
        table: see `Search.run`; its metadata names the search.
    """

    table: pa.Table = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes


@dataclass(frozen=True, slots=True)
class DedupedTask(Task):
    """The output table.

    Attributes:
        table: one row per clip, with the columns of unique_clips; the keys are null.
    """

    table: pa.Table = field(kw_only=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes


def collect(task: Task) -> pa.Table:
    """The table of the last stage's task."""
    if not isinstance(task, DedupedTask | FoundTask):
        raise StageError(f"The last stage of dedup must return a DedupedTask or FoundTask, got {type(task).__name__}.")
    return task.table


def again(task: Task, result: ItemResult) -> Task | None:
    """The task with what the parts of its search found; None where all is decided, or a part failed."""
    tables: tuple[Any, ...] = tuple(outcome for outcome in result.outcomes if isinstance(outcome, pa.Table))
    if not isinstance(task, DedupTask) or len(tables) < len(result.outcomes) or "group_id" in tables[0].column_names:
        return None
    return replace(task, found=(*task.found, (tables[0].schema.metadata[SEARCH].decode(), tables)))
