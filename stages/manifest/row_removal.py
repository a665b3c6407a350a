"""Taking the rows of one source out of a table: out of its row files, and out of every version.

Row files and commits are otherwise never changed. Here a row file is written again without the rows, the commits that
name it are replaced, each in one step, and only then may the old file go. Killed anywhere, doing it again ends it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from stages.manifest.commits import Commit, count_rows, load_commit, read_commit, table_digest
from stages.manifest.row_files import CommittedFile, ManifestRef, read_footer, read_row_file
from stages.manifest.row_writer import RowWriter
from stages.manifest.stored_items import describe_row_file
from stages.schemas import ASSETS
from stages.storage import Storage, file_numbers, map_concurrently


@dataclass(frozen=True)
class SourceRows:
    """What row files of a table hold of one source.

    Attributes:
        ref: the table.
        files: the row files, of any version or none, that hold rows of it.
        num_rows: its rows in them.
        video_ids: of its versions.
        clip_ids: of its clips.
    """

    ref: ManifestRef
    files: list[CommittedFile]
    num_rows: int
    video_ids: set[str]
    clip_ids: set[str]


def find_source_rows(storage: Storage, ref: ManifestRef, uri: str) -> SourceRows:
    """Look for a source in all row files of a table.

    Raises:
        ManifestError: a row file is damaged; it may hold the source.
    """
    infos = [info for info in storage.list(ref.folder) if info.path.endswith(".parquet")]
    files = map_concurrently(lambda info: describe_row_file(storage, info), infos)
    names = [name for name in ("row_key", "uri", "video_id", "clip_id") if name in ASSETS[ref.asset].schema.names]
    tables = map_concurrently(lambda entry: _rows_of(read_row_file(storage, ref.asset, entry, names), uri), files)
    found = [(entry, table) for entry, table in zip(files, tables, strict=True) if len(table)]
    return SourceRows(
        ref,
        [entry for entry, _ in found],
        sum(len(table) for _, table in found),
        {name for _, table in found for name in table["video_id"].to_pylist()},
        {name for _, table in found if "clip_id" in names for name in table["clip_id"].to_pylist() if name},
    )


def remove_from_commits(storage: Storage, rows: SourceRows, uri: str) -> None:
    """Write the row files again without the source, and let all commits name these; the old files stay."""
    replacements = {entry.path: _write_without(storage, rows.ref, entry, uri) for entry in rows.files}
    for number in file_numbers(storage.list(f"{rows.ref.folder}/_commits")):
        commit = load_commit(storage, rows.ref, number)
        if any(entry.path in replacements for entry in commit.files):
            _replace_commit(storage, rows.ref, commit, replacements)


def _rows_of(table: pa.Table, uri: str) -> pa.Table:
    return table.filter(pc.field("uri") == uri)


def _write_without(storage: Storage, ref: ManifestRef, entry: CommittedFile, uri: str) -> list[CommittedFile]:
    """Row files with the other rows of this one; none where it holds no others."""
    lineage = read_footer(storage, entry.path)["lineage"]
    table = read_row_file(storage, ref.asset, entry)
    others = table.filter(pa.array([name != uri for name in table["uri"].to_pylist()], pa.bool_()))
    writer = RowWriter(storage, ref, decision_key=entry.decision_key, lineage=lineage)
    for row_key in entry.items:
        rows = others.filter(pc.field("row_key") == row_key)
        if len(rows):
            writer.append(row_key, rows, is_transient=row_key in entry.transient)
    writer.flush()
    return writer.files


def _replace_commit(
    storage: Storage, ref: ManifestRef, commit: Commit, replacements: Mapping[str, Sequence[CommittedFile]]
) -> None:
    files = [part for entry in commit.files for part in _parts(entry, replacements.get(entry.path))]
    changed = replace(commit, digest=table_digest(files), files=files)
    counts, reasons = count_rows(read_commit(storage, ref, changed, ["status", "reason"]))
    data = json.dumps(asdict(replace(changed, counts=counts, reasons=reasons)), indent=1, ensure_ascii=False).encode()
    storage.write_bytes(f"{ref.folder}/_commits/{commit.number}.json", data)


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
