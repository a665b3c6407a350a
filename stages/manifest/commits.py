"""Tables between phases: row files that are whole or absent, and commits that say which rows count.

    {root}/manifests/{asset}/{partition}/rows-*.parquet     rows of some items, each item whole in one file
    {root}/manifests/{asset}/{partition}/_commits/{n}.json  the table: files, and the items taken from each

A commit is created exclusively, and the highest number is the table. Row files that no commit names (a run was
killed, or went back to earlier parameters) stay useful: their footers list the items inside, and the next run takes
over those whose keys it wants.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError
from stages.manifest.row_files import ALL, CommittedFile, ItemKey, ManifestRef, read_footer, read_items, read_rows
from stages.manifest.row_writer import RowWriter
from stages.manifest.stored_items import StoredItems, find_stored_items
from stages.schemas import ASSETS, STATUSES
from stages.storage import Storage, numbers_of, read_at_once

__all__ = [
    "ALL",
    "Commit",
    "CommittedFile",
    "ItemKey",
    "ManifestRef",
    "RowWriter",
    "StoredItems",
    "commit_table",
    "committed_partitions",
    "last_commit",
    "lineage_of",
    "read_commit",
    "read_items",
    "read_manifest",
    "reusable_items",
]


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Attributes:
        number: versions count from 1.
        digest: equal where two versions hold the same items with the same fates; Dagster's data version.
        files: where the rows lie.
        counts: rows by status.
        reasons: rows that are not kept, by reason.
        lineage: run id, code version, parameters, package versions, inputs.
    """

    number: int
    digest: str
    files: list[CommittedFile]
    counts: dict[str, int]
    reasons: dict[str, int]
    lineage: dict[str, Any]


_NOTHING = Commit(0, "", [], {}, {}, {})


def read_manifest(root: str, asset: str, partition: str | None = None, columns: list[str] | None = None) -> pa.Table:
    """The committed rows of an asset, of one partition or of all, in the order of its schema's ``sort_by``.

    Raises:
        ManifestError: no such asset or column, or nothing is committed for it, or a committed file is missing.
    """
    if asset not in ASSETS:
        raise ManifestError(f"Asset must be one of {list(ASSETS)}, got {asset!r}.")
    unknown = set(columns or []) - set(ASSETS[asset].schema.names)
    if unknown:
        raise ManifestError(f"Columns of {asset} must be among {ASSETS[asset].schema.names}, got {sorted(unknown)}.")
    storage = Storage(root)
    partitions = [partition] if partition is not None else committed_partitions(storage, asset)
    refs = [ManifestRef(storage.root, asset, name) for name in partitions]
    tables = [read_commit(storage, ref, commit, columns) for ref in refs if (commit := last_commit(storage, ref))]
    if not tables:
        where = f"partition {partition!r} of " if partition is not None else ""
        raise ManifestError(
            f"Nothing is committed for {where}{asset} under {storage.root}. Run the phase that makes it first."
        )
    return pa.concat_tables(tables)


def committed_partitions(storage: Storage, asset: str) -> list[str]:
    """Partitions of an asset that have a commit, sorted by name."""
    start = f"manifests/{asset}/"
    names = {
        info.path.removeprefix(start).split("/")[0]
        for info in storage.list(start.rstrip("/"))
        if "/_commits/" in info.path
    }
    return sorted(names)


def last_commit(storage: Storage, ref: ManifestRef) -> Commit | None:
    """The version that readers see; None before the first."""
    numbers = numbers_of(storage.list(f"{ref.folder}/_commits"))
    return load_commit(storage, ref, max(numbers)) if numbers else None


def reusable_items(
    storage: Storage, ref: ManifestRef, again: Collection[str] = (), newest: Commit | None = None
) -> StoredItems:
    """Every reusable item of a table, without those that failed for a reason in `again`.

    Its newest version is read where it is not given.
    """
    return find_stored_items(storage, ref, again, committed=(newest or last_commit(storage, ref) or _NOTHING).files)


def load_commit(storage: Storage, ref: ManifestRef, number: int) -> Commit:
    """One version of a table, by its number.

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


def read_commit(storage: Storage, ref: ManifestRef, commit: Commit, columns: list[str] | None = None) -> pa.Table:
    """The rows of one version of a table.

    Raises:
        ManifestError: a file that the commit names is missing.
    """
    layout = ASSETS[ref.asset]
    wanted = layout.schema.names if columns is None else columns
    read = [name for name in layout.schema.names if name in {*wanted, *layout.sort_by, "row_key"}]
    tables = read_at_once(lambda entry: read_rows(storage, ref.asset, entry, read), commit.files)
    table = pa.concat_tables(tables) if tables else layout.schema.empty_table().select(read)
    return table.sort_by([(name, "ascending") for name in layout.sort_by]).select(wanted)


def commit_table(storage: Storage, ref: ManifestRef, files: list[CommittedFile], lineage: Mapping[str, Any]) -> Commit:
    """Make these files the table, unless the newest version holds exactly their items already.

    The loser of a race against an equal table takes the winner's version; against another it commits its own
    whole table as the next one.
    """
    newest = last_commit(storage, ref)
    known = {entry.path: entry.sha256 for entry in (newest or _NOTHING).files}
    files = [_with_hash(storage, entry, known) for entry in files if entry.items]
    made = Commit(0, table_digest(files), files, {}, {}, dict(lineage))
    while not (newest and newest.digest == made.digest and _is_whole(storage, ref, newest)):
        if not made.number:
            counts, reasons = count_rows(read_commit(storage, ref, made, ["status", "reason"]))
            made = replace(made, counts=counts, reasons=reasons)
        made = replace(made, number=newest.number + 1 if newest else 1)
        data = json.dumps(asdict(made), indent=1, ensure_ascii=False).encode()
        if storage.create_bytes(f"{ref.folder}/_commits/{made.number}.json", data):
            return made
        newest = last_commit(storage, ref)
    return newest


def _is_whole(storage: Storage, ref: ManifestRef, commit: Commit) -> bool:
    """True where every file that the commit names is there in its full length."""
    there = {(info.path, info.size_bytes) for info in storage.list(ref.folder)}
    return there.issuperset((entry.path, entry.size_bytes) for entry in commit.files)


def table_digest(files: Iterable[CommittedFile]) -> str:
    """Hash of the items of a table, of why some failed, and of what is passing; not of the files they lie in."""
    lines = sorted(
        f"{row_key} {entry.decision_key} {row_key in entry.transient} {','.join(entry.failed.get(row_key, []))}"
        for entry in files
        for row_key in entry.items
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def count_rows(table: pa.Table) -> tuple[dict[str, int], dict[str, int]]:
    """Rows by status, and rows that are not kept by reason; reasons sorted by count, largest first."""
    found = {entry["values"]: entry["counts"] for entry in table["status"].value_counts().to_pylist()}
    counts = {status: found.get(status, 0) for status in STATUSES}
    lost = table.filter(pc.field("status") != "kept")["reason"].value_counts().to_pylist()
    ordered = sorted(lost, key=lambda entry: (-entry["counts"], str(entry["values"])))
    return counts, {str(entry["values"]): entry["counts"] for entry in ordered}


def _with_hash(storage: Storage, entry: CommittedFile, known: Mapping[str, str]) -> CommittedFile:
    """The entry with the hash that its writer took, else the last commit, else of the file as a killed run left it."""
    if entry.sha256:
        return entry
    sha256 = known.get(entry.path) or hashlib.sha256(storage.read_bytes(entry.path)).hexdigest()
    return replace(entry, sha256=sha256)


def lineage_of(root: str, clip_id: str) -> list[dict[str, Any]]:
    """How a clip came to be: for each asset its rows, and the footer of the file that holds them.

    Raises:
        ManifestError: no asset has a row of this clip.
    """
    storage = Storage(root)
    steps: list[dict[str, Any]] = []
    video_id: str | None = None
    for asset in reversed(ASSETS):
        column = "clip_id" if "clip_id" in ASSETS[asset].schema.names else "video_id"
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
            table = read_rows(storage, asset, entry)
            rows = table.filter(pc.field(column) == wanted).to_pylist()
            if rows:
                footer = read_footer(storage, entry.path)
                steps.append({"asset": asset, "file": entry.path, "rows": rows, "made_by": footer["lineage"]})
    return steps
