"""Commits: the versions of the tables between phases.

    {root}/manifests/{asset}/{partition}/rows-*.parquet     row files; all rows of an item are in one file
    {root}/manifests/{asset}/{partition}/_commits/{n}.json  a commit: its row files, and the items taken from each

A commit is created exclusively, and the one with the highest number is the current table. Row files that no commit
names (a run was killed, or used earlier parameters) stay useful: their footers list their items, and the next run
reuses those whose keys match.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError, did_you_mean
from stages.manifest.committed_names import committed_partitions, note_first_commit
from stages.manifest.held_rows import HELD_ROWS, encode_kept_rows, held_columns
from stages.manifest.projected_reading import footer_hash
from stages.manifest.root_versions import find_version
from stages.manifest.row_files import (
    CommittedFile,
    ManifestRef,
    read_footer,
    read_row_file,
)
from stages.manifest.stored_items import StoredItems, find_stored_items
from stages.manifest.tables import further_tables, is_table, layout_of, tables_of
from stages.schemas import ASSETS, STATUSES
from stages.storage import Storage, file_numbers, map_concurrently


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        number: versions count from 1.
        digest: equal where two versions hold the same items with the same outcomes; Dagster's data version.
        files: the row files.
        counts: rows by status.
        reasons: rows that are not kept, by reason.
        lineage: run id, code version, parameters, package versions, inputs.
        kept_rows: of a small table, what plans over all partitions read of it, see `stages.manifest.held_rows`; else
            empty, as in commits from before they held any.
    """

    number: int
    digest: str
    files: list[CommittedFile]
    counts: dict[str, int]
    reasons: dict[str, int]
    lineage: dict[str, Any]
    kept_rows: str = ""


_NO_COMMIT = Commit(0, "", [], {}, {}, {})


def read_manifest(
    root: str,
    asset: str,
    partition: str | None = None,
    columns: list[str] | None = None,
    version: int | str | None = None,
) -> pa.Table:
    """Read the committed rows of an asset, of one partition or of all, in the order of its schema's ``sort_by``.

    Args:
        root: folder or fsspec URL.
        asset: name of the table: an asset, or ``embeddings.NAME`` of a further embedder.
        partition: its key; all partitions where none is given.
        columns: their names; all where none are given.
        version: number or tag of a version of the root; the newest commit of each table where none is given.

    Raises:
        ManifestError: no such asset, column or version, or nothing is committed for it, or a committed file is missing.
    """
    storage = Storage(root)
    if not is_table(asset):
        known = tables_of(storage)
        raise ManifestError(f"Asset must be one of {known}, got {asset!r}.{did_you_mean(asset, known)}")
    schema = layout_of(asset).schema
    unknown = set(columns or []) - set(schema.names)
    if unknown:
        raise ManifestError(f"Columns of {asset} must be among {schema.names}, got {sorted(unknown)}.")
    if version is None:
        partitions = [partition] if partition is not None else committed_partitions(storage, asset)
        refs = [ManifestRef(storage.root, asset, name) for name in partitions]
        commits = [(ref, commit) for ref in refs if (commit := last_commit(storage, ref))]
    else:
        numbers = find_version(storage, version).tables.get(asset, {})
        refs = [ManifestRef(storage.root, asset, name) for name in sorted(numbers) if partition in (None, name)]
        commits = [(ref, load_commit(storage, ref, numbers[ref.partition])) for ref in refs]
    tables = [read_commit(storage, ref, commit, columns) for ref, commit in commits]
    if not tables:
        where = f"partition {partition!r} of " if partition is not None else ""
        raise ManifestError(
            f"Nothing is committed for {where}{asset} under {storage.root}. Run the phase that makes it first."
            + (did_you_mean(asset, further_tables(storage)) if asset not in ASSETS else "")
        )
    return pa.concat_tables(tables)


def last_commit(storage: Storage, ref: ManifestRef) -> Commit | None:
    """Load the newest commit, which readers see; None where there is none."""
    numbers = file_numbers(storage.list(f"{ref.folder}/_commits"))
    return load_commit(storage, ref, max(numbers)) if numbers else None


def reusable_items(
    storage: Storage, ref: ManifestRef, retry_reasons: Collection[str] = (), newest: Commit | None = None
) -> StoredItems:
    """Every reusable item of a table, without those that failed for one of `retry_reasons`.

    The newest commit is loaded where it is not given.
    """
    return find_stored_items(
        storage, ref, retry_reasons, committed=(newest or last_commit(storage, ref) or _NO_COMMIT).files
    )


def load_commit(storage: Storage, ref: ManifestRef, number: int) -> Commit:
    """Load one commit by its number.

    Raises:
        ManifestError: the commit is damaged.
    """
    path = f"{ref.folder}/_commits/{number}.json"
    try:
        data = json.loads(storage.read_bytes(path))
        data["files"] = [CommittedFile(**entry) for entry in data["files"]]
        return Commit(**data)
    except (ValueError, TypeError, KeyError) as error:
        raise ManifestError(f"Commit {storage.location(path)} cannot be read: {error}.") from error


def read_commit(
    storage: Storage,
    ref: ManifestRef,
    commit: Commit,
    columns: list[str] | None = None,
    partition: str | None = None,
) -> pa.Table:
    """Read the rows of one commit, in the order of the asset's ``sort_by``; see `read_unordered`.

    Raises:
        ManifestError: a file that the commit names is missing.
    """
    layout = layout_of(ref.asset)
    wanted = layout.schema.names if columns is None else columns
    read = [name for name in layout.schema.names if name in {*wanted, *layout.sort_by}]
    table = read_unordered(storage, ref, commit, read, partition)
    return table.sort_by([(name, "ascending") for name in layout.sort_by]).select(wanted)


def read_unordered(
    storage: Storage, ref: ManifestRef, commit: Commit, columns: list[str], partition: str | None = None
) -> pa.Table:
    """Some columns of the rows of one commit, in the order of its files.

    Args:
        storage: of the root.
        ref: the table.
        commit: of it.
        columns: their names.
        partition: the only one of which rows are returned, in a table that spans all; then what holds no row of it is
            not read.

    Raises:
        ManifestError: a file that the commit names is missing or damaged.
    """
    read = partial(read_row_file, storage, ref.asset, columns=columns, partition=partition)
    empty = layout_of(ref.asset).schema.empty_table().select(columns)
    return pa.concat_tables([empty, *(map_concurrently(read, commit.files) if commit.files else [])])


def commit_table(
    storage: Storage,
    ref: ManifestRef,
    files: list[CommittedFile],
    lineage: Mapping[str, Any],
    gives_way: Callable[[Commit], bool] = lambda _: False,
) -> Commit:
    """Commit these files as the table, unless the newest commit holds exactly their items already.

    Where another process commits at the same time and wins, an equal table of it is returned; after a different one
    this table is committed under the next number, unless `gives_way` says of it that it stays the newest.

    Raises:
        ManifestError: a file is gone, or damaged.
    """
    newest = last_commit(storage, ref)
    known = {entry.path: entry for entry in (newest or _NO_COMMIT).files}
    files = [_with_sha256(storage, entry, known) for entry in files if entry.items]
    commit = Commit(0, table_digest(files), files, {}, {}, dict(lineage))
    while not (newest and newest.digest == commit.digest and _has_all_files(storage, ref, newest)):
        if newest and gives_way(newest) and _has_all_files(storage, ref, newest):
            return newest
        if not commit.number:
            commit = _with_facts_of_rows(storage, ref, commit)
        commit = replace(commit, number=newest.number + 1 if newest else 1)
        data = _encoded(commit)
        if storage.create_bytes(f"{ref.folder}/_commits/{commit.number}.json", data):
            if commit.number == 1:
                note_first_commit(storage, ref)
            return commit
        newest = last_commit(storage, ref)
    return newest


def _encoded(commit: Commit) -> bytes:
    """The commit as JSON; of very many items, copies by `asdict` and indents would take most of the time."""
    fields = {**vars(commit), "files": [vars(entry) for entry in commit.files]}
    return json.dumps(fields, ensure_ascii=False).encode()


def _with_facts_of_rows(storage: Storage, ref: ManifestRef, commit: Commit) -> Commit:
    """The commit with what it tells of its rows: how many there are, and of a small table the kept ones."""
    is_small = sum(len(entry.items) for entry in commit.files) <= HELD_ROWS
    held = held_columns(ref.asset) if is_small else []
    rows = read_unordered(storage, ref, commit, ["status", "reason", *held])
    counts, reasons = count_rows(rows)
    return replace(commit, counts=counts, reasons=reasons, kept_rows=encode_kept_rows(ref.asset, rows) if held else "")


def _has_all_files(storage: Storage, ref: ManifestRef, commit: Commit) -> bool:
    """True where every file that the commit names exists in its committed size."""
    there = {(info.path, info.size_bytes) for info in storage.list(ref.folder)}
    return there.issuperset((entry.path, entry.size_bytes) for entry in commit.files)


def table_digest(files: Iterable[CommittedFile]) -> str:
    """Hash of the items of a table, their failure reasons and which are transient; not of the files that hold them."""
    lines: list[str] = []
    for entry in files:
        transient = set(entry.transient)
        if not transient and not entry.failed:
            lines.extend([f"{row_key} {entry.decision_key} False " for row_key in entry.items])
            continue
        lines.extend(
            f"{row_key} {entry.decision_key} {row_key in transient} {','.join(entry.failed.get(row_key, []))}"
            for row_key in entry.items
        )
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def count_rows(table: pa.Table) -> tuple[dict[str, int], dict[str, int]]:
    """Rows by status, and rows that are not kept by reason; reasons sorted by count, largest first."""
    found = {entry["values"]: entry["counts"] for entry in table["status"].value_counts().to_pylist()}
    counts = {status: found.get(status, 0) for status in STATUSES}
    lost = table.filter(pc.field("status") != "kept")["reason"].value_counts().to_pylist()
    ordered = sorted(lost, key=lambda entry: (-entry["counts"], str(entry["values"])))
    return counts, {str(entry["values"]): entry["counts"] for entry in ordered}


def _with_sha256(storage: Storage, entry: CommittedFile, known: Mapping[str, CommittedFile]) -> CommittedFile:
    """The entry with its hashes: from its writer, else the last commit, else computed from a killed run's file.

    Raises:
        ManifestError: the file of the killed run, or of earlier parameters, is gone.
    """
    if entry.sha256:
        return entry
    if before := known.get(entry.path):
        return replace(entry, sha256=before.sha256, footer_sha256=before.footer_sha256)
    try:
        data = storage.read_bytes(entry.path)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{storage.location(entry.path)} must be there, since this run takes over its rows, and is gone: a vacuum "
            "removes what no version names. Run the same again: what the file held is computed again."
        ) from error
    return replace(entry, sha256=hashlib.sha256(data).hexdigest(), footer_sha256=footer_hash(data))


def lineage_of(root: str, clip_id: str) -> list[dict[str, Any]]:
    """Trace a clip: for each asset its rows, and the lineage in the footer of the file that holds them.

    Raises:
        ManifestError: no asset has a row of this clip.
    """
    storage = Storage(root)
    steps: list[dict[str, Any]] = []
    video_id: str | None = None
    for asset in reversed(tables_of(storage)):
        column = "clip_id" if "clip_id" in layout_of(asset).schema.names else "video_id"
        wanted = clip_id if column == "clip_id" else video_id
        if wanted is None:
            continue
        for step in _find_rows(storage, asset, column, wanted):
            video_id = step["rows"][0]["video_id"]
            steps.append(step)
    if not steps:
        raise ManifestError(f"No asset under {storage.root} has a row of clip {clip_id!r}.")
    return steps[::-1]


def _find_rows(storage: Storage, asset: str, column: str, wanted: str) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for partition in committed_partitions(storage, asset):
        commit = last_commit(storage, ManifestRef(storage.root, asset, partition))
        for entry in commit.files if commit else []:
            table = read_row_file(storage, asset, entry)
            rows = table.filter(pc.field(column) == wanted).to_pylist()
            if rows:
                footer = read_footer(storage, entry.path)
                steps.append({"asset": asset, "file": entry.path, "rows": rows, "made_by": footer["lineage"]})
    return steps
