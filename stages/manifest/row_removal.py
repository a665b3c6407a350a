"""Taking the rows of one source out of a table: out of its row files, and out of every version.

Rows of other sources that were rejected as copies of it name it, and go too: the next run decides about these anew.

Row files and commits are otherwise never changed. Here a row file is written again without the rows, the commits that
name it are replaced, each in one step, and only then may the old file go. Killed anywhere, doing it again ends it.
"""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from stages.manifest.commits import Commit, count_rows, load_commit, table_digest
from stages.manifest.row_files import CommittedFile, ManifestRef, read_footer, read_row_file
from stages.manifest.row_writer import RowWriter
from stages.manifest.stored_items import describe_row_file
from stages.manifest.tables import layout_of
from stages.storage import Storage, file_numbers, map_concurrently


@dataclass(frozen=True)
class SourceNames:
    """What rows call a source.

    Attributes:
        uri: of the source.
        video_ids: of its versions.
    """

    uri: str
    video_ids: frozenset[str] = frozenset()

    def rows_in(self, table: pa.Table) -> pa.Table:
        """The rows of the source and of its copies, of a table with at least those of `COLUMNS` that its asset has."""
        return table.filter(pa.array(self._are_named(table), pa.bool_()))

    def other_rows_in(self, table: pa.Table) -> pa.Table:
        """All other rows."""
        return table.filter(pa.array([not each for each in self._are_named(table)], pa.bool_()))

    def _are_named(self, table: pa.Table) -> list[bool]:
        copied = table["copy_of"].to_pylist() if "copy_of" in table.column_names else [None] * len(table)
        named = zip(table["uri"].to_pylist(), copied, strict=True)
        return [uri == self.uri or name in self.video_ids for uri, name in named]


COLUMNS = ("uri", "copy_of")
"""Columns that name a source."""


@dataclass(frozen=True)
class SourceRows:
    """What row files of a table hold of one source.

    Attributes:
        ref: the table.
        files: the row files, of any version or none, that hold rows of it.
        num_rows: its rows in them, and those of its copies.
        video_ids: of its versions.
        clip_ids: of its clips.
    """

    ref: ManifestRef
    files: list[CommittedFile]
    num_rows: int
    video_ids: set[str]
    clip_ids: set[str]


def find_source_rows(storage: Storage, ref: ManifestRef, source: SourceNames) -> SourceRows:
    """Look for a source in all row files of a table.

    Raises:
        ManifestError: a row file is damaged; it may hold the source.
    """
    infos = [info for info in storage.list(ref.folder) if info.path.endswith(".parquet")]
    files = map_concurrently(lambda info: describe_row_file(storage, info), infos)
    names = [name for name in (*COLUMNS, "row_key", "video_id", "clip_id") if name in layout_of(ref.asset).schema.names]
    tables = map_concurrently(lambda entry: source.rows_in(read_row_file(storage, ref.asset, entry, names)), files)
    found = [(entry, table) for entry, table in zip(files, tables, strict=True) if len(table)]
    own = [table.filter(pc.field("uri") == source.uri) for _, table in found]
    return SourceRows(
        ref,
        [entry for entry, _ in found],
        sum(len(table) for _, table in found),
        {name for table in own for name in table["video_id"].to_pylist()},
        {name for table in own if "clip_id" in names for name in table["clip_id"].to_pylist() if name},
    )


def write_without_source(storage: Storage, rows: SourceRows, source: SourceNames) -> dict[str, list[CommittedFile]]:
    """Write the row files that hold a source again without it; the old ones stay.

    Returns:
        What stands in the place of each file, by its path: nothing for one that held no others.
    """
    return {entry.path: _write_without(storage, rows.ref, entry, source) for entry in rows.files}


def replace_in_commits(
    storage: Storage, ref: ManifestRef, replacements: Mapping[str, Sequence[CommittedFile]], source: SourceNames
) -> None:
    """Let no commit of a table name a replaced file, not even one that a run made meanwhile from what it had read."""
    while changed := [commit for commit in _commits(storage, ref) if _names(commit, replacements)]:
        for commit in changed:
            _replace_commit(storage, ref, commit, replacements, source)


def _commits(storage: Storage, ref: ManifestRef) -> list[Commit]:
    numbers = file_numbers(storage.list(f"{ref.folder}/_commits"))
    return map_concurrently(lambda number: load_commit(storage, ref, number), numbers)


def _names(commit: Commit, paths: Container[str]) -> bool:
    return any(entry.path in paths for entry in commit.files)


def _write_without(
    storage: Storage, ref: ManifestRef, entry: CommittedFile, source: SourceNames
) -> list[CommittedFile]:
    """Row files with the other rows of this one; none where it holds no others."""
    lineage = read_footer(storage, entry.path)["lineage"]
    others = source.other_rows_in(read_row_file(storage, ref.asset, entry))
    writer = RowWriter(storage, ref, decision_key=entry.decision_key, lineage=lineage)
    for row_key in entry.items:
        rows = others.filter(pc.field("row_key") == row_key)
        if len(rows):
            writer.append(row_key, rows, is_transient=row_key in entry.transient)
    writer.flush()
    return writer.files


def _replace_commit(
    storage: Storage,
    ref: ManifestRef,
    commit: Commit,
    replacements: Mapping[str, Sequence[CommittedFile]],
    source: SourceNames,
) -> None:
    """Replace a commit in one step. Only replaced files are read: of an old commit, others may be gone."""
    columns = [name for name in (*COLUMNS, "row_key", "status", "reason") if name in layout_of(ref.asset).schema.names]
    replaced = [entry for entry in commit.files if entry.path in replacements]
    gone = [source.rows_in(read_row_file(storage, ref.asset, entry, columns)) for entry in replaced]
    gone_counts, gone_reasons = count_rows(pa.concat_tables(gone))
    files = [part for entry in commit.files for part in _parts(entry, replacements.get(entry.path))]
    changed = replace(
        commit,
        digest=table_digest(files),
        files=files,
        counts={status: count - gone_counts.get(status, 0) for status, count in commit.counts.items()},
        reasons=_less(commit.reasons, gone_reasons),
        kept_rows="",  # those of the source are among them; plans read row files instead
    )
    data = json.dumps(asdict(changed), indent=1, ensure_ascii=False).encode()
    storage.write_bytes(f"{ref.folder}/_commits/{commit.number}.json", data)


def _less(reasons: Mapping[str, int], gone: Mapping[str, int]) -> dict[str, int]:
    """Rows by reason without those that are gone, largest count first, as `count_rows` has them."""
    left = {reason: count - gone.get(reason, 0) for reason, count in reasons.items()}
    return {reason: count for reason, count in sorted(left.items(), key=lambda each: (-each[1], each[0])) if count}


def _parts(entry: CommittedFile, written: Iterable[CommittedFile] | None) -> list[CommittedFile]:
    """What a commit names in the place of an entry: of each new file, the items that the entry had."""
    if written is None:
        return [entry]
    parts = []
    for each in written:
        items = [row_key for row_key in each.items if row_key in set(entry.items)]
        if items:
            failed = {row_key: reasons for row_key, reasons in each.failed.items() if row_key in items}
            transient = [row_key for row_key in each.transient if row_key in items]
            parts.append(replace(each, items=items, failed=failed, transient=transient))
    return parts
