"""Merging small row files, so that reading a table takes requests for what it holds, not for how it came to be.

A run writes a row file every few seconds, however few items are done by then. Those that one run wrote with one
decision key are merged into fewer, `merged-{hash}.parquet`, with the same items and lineage. Commits that name them are
replaced, each in one step, and keep number and digest. The small files stay: a reader may have loaded a commit that
names them.
A merged file says in its footer what it was made from. So a merging that was killed is ended by the next, and whoever
removes small files knows since when nothing names them.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa

from stages.errors import ManifestError
from stages.manifest.commits import Commit, load_commit, table_digest
from stages.manifest.projected_reading import footer_hash
from stages.manifest.row_files import CommittedFile, ManifestRef, read_footer, read_row_file
from stages.manifest.row_writer import encode_rows
from stages.storage import FileInfo, Storage, digest, file_numbers, map_concurrently

MIN_FILES = 8
"""Fewer small files of a table are left as they are."""
SMALL_BYTES = 4 << 20
MAX_BYTES = 16 << 20
MAX_ITEMS = 1024
"""Bounds of a merged file: who wants few of its items reads all of it."""
_START = "merged-"


@dataclass(frozen=True)
class Compaction:
    """Small files of a table, and the file that holds their items, or is to.

    Attributes:
        ref: the table.
        path: of the merged file.
        files: the small ones, with all of their items.
    """

    ref: ManifestRef
    path: str
    files: list[CommittedFile]


def plan_compactions(storage: Storage, ref: ManifestRef, commits: Sequence[Commit]) -> list[Compaction]:
    """What may be merged of the row files that these commits of a table name.

    Raises:
        ManifestError: one of the files is damaged.
    """
    named = {entry.path: entry for commit in commits for entry in commit.files}
    small = {path: entry for path, entry in named.items() if 0 < entry.size_bytes < SMALL_BYTES}
    if len(small) < MIN_FILES:
        return []
    footers = dict(zip(small, map_concurrently(partial(read_footer, storage), list(small)), strict=True))
    groups: dict[str, list[CommittedFile]] = {}
    for path in sorted(small):
        footer = footers[path]
        whole = replace(
            small[path],
            items=footer["items"],
            transient=footer["transient"],
            failed=footer.get("failed", {}),
            num_items=len(footer["items"]),
        )
        key = digest(footer["decision_key"], json.dumps(footer["lineage"], sort_keys=True))
        groups.setdefault(key, []).append(whole)
    parts = [part for group in groups.values() for part in _parts(group)]
    return [Compaction(ref, _merged_path(ref, part), part) for part in parts if len(part) > 1]


def compact(storage: Storage, compaction: Compaction) -> None:
    """Write the merged file, and let commits name it in the place of the small ones. Safe to do again.

    No run may be committing the table meanwhile.

    Raises:
        ManifestError: a small file or a commit is damaged.
        StorageError: the root does not answer.
    """
    ref = compaction.ref
    merged = _write_merged(storage, compaction)
    old = {entry.path for entry in compaction.files}
    numbers = file_numbers(storage.list(f"{ref.folder}/_commits"))
    for commit in map_concurrently(partial(load_commit, storage, ref), numbers):
        if old.isdisjoint(entry.path for entry in commit.files):
            continue
        changed = replace(commit, files=_with_merged(commit.files, old, merged))
        if table_digest(changed.files) != commit.digest:
            raise ManifestError(
                f"Version {commit.number} of {ref.asset}, partition {ref.partition!r}, must stay the same when its row "
                "files are merged, and does not. Nothing of it was changed."
            )
        data = json.dumps(asdict(changed), indent=1, ensure_ascii=False).encode()
        storage.write_bytes(f"{ref.folder}/_commits/{commit.number}.json", data)


def merged_from(storage: Storage, infos: Iterable[FileInfo]) -> dict[str, FileInfo]:
    """By path of a small file, the merged file that holds its items; of the files of any tables."""
    merged = [info for info in infos if is_merged(info.path)]
    footers = map_concurrently(lambda info: read_footer(storage, info.path), merged)
    return {path: info for info, footer in zip(merged, footers, strict=True) for path in footer["merged_from"]}


def is_merged(path: str) -> bool:
    """Whether a row file holds what others held."""
    return path.rpartition("/")[2].startswith(_START)


def _parts(group: Sequence[CommittedFile]) -> list[list[CommittedFile]]:
    """Files in groups that each make one merged file; an item that is there twice stays where it is."""
    parts: list[list[CommittedFile]] = []
    num_bytes, items = 0, set[str]()
    for entry in group:
        is_full = num_bytes + entry.size_bytes > MAX_BYTES or len(items) + len(entry.items) > MAX_ITEMS
        if not parts or is_full or not items.isdisjoint(entry.items):
            parts.append([])
            num_bytes, items = 0, set()
        parts[-1].append(entry)
        num_bytes += entry.size_bytes
        items.update(entry.items)
    return parts


def _merged_path(ref: ManifestRef, files: Iterable[CommittedFile]) -> str:
    """A name that follows from what is merged, so that doing it again after a kill writes no second file."""
    return f"{ref.folder}/{_START}{digest(*(f'{entry.path} {entry.sha256}' for entry in files), length=24)}.parquet"


def _write_merged(storage: Storage, compaction: Compaction) -> CommittedFile:
    """The entry of the merged file, with all of its items."""
    read = partial(read_row_file, storage, compaction.ref.asset)
    rows = pa.concat_tables(map_concurrently(read, compaction.files)).combine_chunks()
    first = compaction.files[0]
    entry = replace(
        first,
        path=compaction.path,
        items=[row_key for each in compaction.files for row_key in each.items],
        transient=[row_key for each in compaction.files for row_key in each.transient],
        failed={row_key: reasons for each in compaction.files for row_key, reasons in each.failed.items()},
    )
    footer: dict[str, Any] = {
        "decision_key": entry.decision_key,
        "items": entry.items,
        "transient": entry.transient,
        "failed": entry.failed,
        "lineage": read_footer(storage, first.path)["lineage"],
        "merged_from": [each.path for each in compaction.files],
    }
    data = encode_rows(rows, json.dumps(footer))
    storage.write_bytes(compaction.path, data)
    return replace(
        entry,
        sha256=hashlib.sha256(data).hexdigest(),
        footer_sha256=footer_hash(data),
        size_bytes=len(data),
        num_items=len(entry.items),
    )


def _with_merged(files: Sequence[CommittedFile], old: set[str], merged: CommittedFile) -> list[CommittedFile]:
    """The files of a commit, with those of their items that are in old files in the merged one."""
    moved = [entry for entry in files if entry.path in old]
    items = {row_key for entry in moved for row_key in entry.items}
    transient = {row_key for entry in moved for row_key in entry.transient}
    part = replace(
        merged,
        items=[row_key for row_key in merged.items if row_key in items],
        transient=[row_key for row_key in merged.transient if row_key in transient],
        failed={row_key: reasons for entry in moved for row_key, reasons in entry.failed.items()},
    )
    return [*(entry for entry in files if entry.path not in old), part]
