"""Removes what no kept version of a root names: versions, commits, row files, signals, clips, frame stores, indexes.

Kept are the newest versions, as many as are asked for, the tagged ones, and the newest commit of every table, which a
run may have made and not published yet. A file that is younger than `min_age_s` is kept too: a run may be writing it.
So is all that a run at work may name, which is that of the partitions it works on, and of tables that span all.
Small row files of what is kept are merged, see `stages.manifest.compaction`; the small ones go with a vacuum once the
merged one is old enough too, so that no reader misses them.
What goes is removed from the top: first the versions, then the commits, then the files that only these named. Killed
anywhere, no version that is left names a file that is gone.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from stages.dedup import unneeded_files
from stages.errors import ManifestError
from stages.manifest import (
    ALL,
    Commit,
    Compaction,
    ManifestRef,
    RootVersion,
    compact,
    is_merged,
    load_commit,
    load_version,
    merged_from,
    plan_compactions,
    read_commit,
    read_tags,
    uncurrent_files,
    version_numbers,
)
from stages.run_records import VACUUM_LEASE, read_runs
from stages.schemas import ASSETS
from stages.signals import SIGNALS_FOLDER, signals_path
from stages.storage import FileInfo, Storage, digest, exclusive, file_numbers, map_concurrently
from stages.write import FORMER_FOLDER, LEASE_FOLDER, PATH_COLUMNS, former_location, named_files

VERSIONS_KEPT = 10
"""Number of newest versions that are kept by default."""
MIN_AGE_S = 24 * 3600.0
_TEXT_COLUMNS = {"captions": "caption", "filtered_clips": "text"}
"""Columns whose texts `stages.search` keeps vectors of."""


@dataclass(frozen=True)
class VacuumPlan:
    """What a vacuum would remove.

    Attributes:
        kept: numbers of the versions that stay.
        versions: files of versions that go.
        commits: commits that only these versions name.
        files: by kind ("row files", "signals", "clips", "frame stores", "index of dedup"), the files that go.
        at_work: numbers of runs at work; what they may name stays.
        compactions: small row files that are merged, each into one.
    """

    kept: list[int]
    versions: list[FileInfo] = field(default_factory=lambda: [])
    commits: list[FileInfo] = field(default_factory=lambda: [])
    files: dict[str, list[FileInfo]] = field(default_factory=lambda: {})
    at_work: list[int] = field(default_factory=lambda: [])
    compactions: list[Compaction] = field(default_factory=lambda: [])

    def counts(self) -> dict[str, tuple[int, int]]:
        """Number and bytes of what goes, by kind."""
        kinds = {"versions": self.versions, "commits": self.commits, **self.files}
        return {kind: (len(infos), sum(info.size_bytes for info in infos)) for kind, infos in kinds.items()}

    def removals(self) -> Iterator[list[FileInfo]]:
        """What goes, in the order in which it may."""
        yield self.versions
        yield self.commits
        yield from self.files.values()


def plan_vacuum(storage: Storage, *, versions_kept: int = VERSIONS_KEPT, min_age_s: float = MIN_AGE_S) -> VacuumPlan:
    """Find what no kept version names, without removing anything.

    Args:
        storage: of the root.
        versions_kept: number of newest versions that are kept, at least one.
        min_age_s: age in seconds of the youngest file that goes.

    Raises:
        ManifestError: a kept version, or a commit that it names, is missing or damaged; then nothing is known to be
            superfluous.
        StorageError: the root does not answer.
    """
    numbers = version_numbers(storage)
    kept = sorted({*numbers[-max(1, versions_kept) :], *read_tags(storage).values()})
    versions = [load_version(storage, number) for number in kept]
    manifests = storage.list("manifests")
    commits = _commits_by_table(storage, manifests)
    may_go = _MayGo(storage, min_age_s)
    kept_commits = {
        ref: set(found) if may_go.is_in_work(ref.partition) else _kept_numbers(ref, set(found), versions)
        for ref, found in commits.items()
    }
    loaded = [
        (ref, commit)
        for ref, wanted in kept_commits.items()
        for commit in map_concurrently(lambda number, ref=ref: load_commit(storage, ref, number), sorted(wanted))
    ]
    return VacuumPlan(
        kept,
        versions=[
            info for info in storage.list("versions") for number in file_numbers([info]) if number not in set(kept)
        ],
        commits=[
            info for ref, found in commits.items() for number, info in found.items() if number not in kept_commits[ref]
        ],
        files={
            "row files": _row_files(storage, loaded, manifests, may_go),
            "signals": _signals(storage, loaded, manifests, may_go),
            "clips": _former_files(storage, loaded, may_go),
            "frame stores": _frame_stores(storage, loaded, may_go),
            "index of dedup": _index_files(storage, loaded, may_go),
        },
        at_work=may_go.at_work,
        compactions=_compactions(storage, loaded, may_go),
    )


def vacuum(storage: Storage, *, versions_kept: int = VERSIONS_KEPT, min_age_s: float = MIN_AGE_S) -> VacuumPlan:
    """Remove and merge what `plan_vacuum` finds, while no run publishes or begins a phase; returns what was done.

    Raises:
        ManifestError: as `plan_vacuum`.
        StorageError: the root does not answer. What is removed is removed; the next vacuum goes on.
    """
    with exclusive(storage, VACUUM_LEASE) as runs, exclusive(storage, LEASE_FOLDER) as lease:
        plan = plan_vacuum(storage, versions_kept=versions_kept, min_age_s=min_age_s)

        def remove(info: FileInfo) -> None:
            runs.check()
            lease.check()
            storage.delete(info.path)

        for infos in plan.removals():
            map_concurrently(remove, infos)
        for compaction in plan.compactions:
            runs.check()
            lease.check()
            compact(storage, compaction)
    return plan


class _MayGo:
    """Tells whether a file that no version names may go: it is old enough, and no run at work may name it.

    A file whose store gives no time never may.

    Attributes:
        at_work: numbers of the runs at work.
    """

    def __init__(self, storage: Storage, min_age_s: float) -> None:
        self._newest_s = time.time() - min_age_s
        self._runs = [run.entry for run in read_runs(storage) if run.is_alive]
        self.at_work = sorted(entry.number for entry in self._runs)

    def is_in_work(self, partition: str) -> bool:
        """Whether a run at work may name files of a partition; of the table of all, any may."""
        return any(partition == ALL or entry.may_name(partition) for entry in self._runs)

    def __call__(self, info: FileInfo) -> bool:
        folder, *names = info.path.split("/")
        partition = ALL if folder == "index" else "/".join(names[folder == "manifests" :][:1])
        return self.is_old(info) and not self.is_in_work(partition)

    def is_old(self, info: FileInfo) -> bool:
        """Whether the file is old enough; one whose store gives no time is not."""
        return info.modified_s is not None and info.modified_s <= self._newest_s


def _compactions(storage: Storage, commits: Iterable[tuple[ManifestRef, Commit]], may_go: _MayGo) -> list[Compaction]:
    """What may be merged of the row files of these commits, in tables that no run at work may name."""
    by_table: dict[ManifestRef, list[Commit]] = {}
    for ref, commit in commits:
        if not may_go.is_in_work(ref.partition):
            by_table.setdefault(ref, []).append(commit)
    return [each for ref, found in by_table.items() for each in plan_compactions(storage, ref, found)]


def _commits_by_table(storage: Storage, manifests: Iterable[FileInfo]) -> dict[ManifestRef, dict[int, FileInfo]]:
    """Files of the commits of each table, by number."""
    tables: dict[ManifestRef, dict[int, FileInfo]] = {}
    for info in manifests:
        parts = info.path.rpartition("/")[0].split("/")
        if len(parts) == 4 and parts[3] == "_commits":
            ref = ManifestRef(storage.root, parts[1], parts[2])
            tables.setdefault(ref, {}).update({number: info for number in file_numbers([info])})
    return {ref: found for ref, found in tables.items() if found}


def _kept_numbers(ref: ManifestRef, found: set[int], versions: list[RootVersion]) -> set[int]:
    named = {number for version in versions if (number := version.commit_of(ref.asset, ref.partition)) is not None}
    if missing := named - found:
        raise ManifestError(
            f"Commit {min(missing)} of {ref.asset}, partition {ref.partition!r}, must be there, since a version that "
            "is kept names it. Nothing was removed. Restore it from a copy."
        )
    # A commit after the newest version is not published yet.
    return {*named, *(number for number in found if number >= max(named, default=max(found)))}


def _former_files(
    storage: Storage, commits: Iterable[tuple[ManifestRef, Commit]], may_go: Callable[[FileInfo], bool]
) -> list[FileInfo]:
    """Files of ``former/`` that no row of these commits names."""
    named = {
        former_location(path)
        for ref, rows in _rows_of(storage, "dataset", commits, list(PATH_COLUMNS))
        for path in named_files(rows, ref.partition)
    }
    return [info for info in storage.list(FORMER_FOLDER) if info.path not in named and may_go(info)]


def _frame_stores(
    storage: Storage, commits: Iterable[tuple[ManifestRef, Commit]], may_go: Callable[[FileInfo], bool]
) -> list[FileInfo]:
    """Frame stores of videos that have no row in these commits of ``clips``."""
    used = {
        f"frames/{ref.partition}/{video_id}.parquet"
        for ref, rows in _rows_of(storage, "clips", commits, ["video_id"])
        for video_id in rows["video_id"].unique().to_pylist()
    }
    return [info for info in storage.list("frames") if info.path not in used and may_go(info)]


def _row_files(
    storage: Storage, commits: Iterable[tuple[ManifestRef, Commit]], manifests: Iterable[FileInfo], may_go: _MayGo
) -> list[FileInfo]:
    """Row files that these commits do not name; small ones stay while a reader may have begun before their merging."""
    used = {entry.path for _, commit in commits for entry in commit.files}
    young = [info for info in manifests if is_merged(info.path) and not may_go.is_old(info)]
    used |= merged_from(storage, young).keys()
    found = [info for info in manifests if info.path.endswith(".parquet") and info.path not in used]
    return [info for info in found if not info.path.startswith(f"{SIGNALS_FOLDER}/") and may_go(info)]


def _signals(
    storage: Storage,
    commits: Iterable[tuple[ManifestRef, Commit]],
    manifests: Iterable[FileInfo],
    may_go: Callable[[FileInfo], bool],
) -> list[FileInfo]:
    """Signals that no row in these commits of ``clips`` is made of."""
    used: set[str] = set()
    names = ["video_id", "signals_key"]
    for ref, rows in _rows_of(storage, "clips", commits, names):
        for row in rows.group_by(names).aggregate([]).to_pylist():
            used.add(signals_path(ref.partition, row["video_id"], row["signals_key"]))
    start = f"{SIGNALS_FOLDER}/"
    return [info for info in manifests if info.path.startswith(start) and info.path not in used and may_go(info)]


def _index_files(
    storage: Storage, commits: Iterable[tuple[ManifestRef, Commit]], may_go: Callable[[FileInfo], bool]
) -> list[FileInfo]:
    """Files of the index with nothing that these commits of ``unique_clips`` were made from, or nothing current.

    Vectors of their captions stay too, which stand under the hash of a text.
    """
    commits = list(commits)
    keys = [rows["embedding_key"] for _, rows in _rows_of(storage, "unique_clips", commits, ["embedding_key"])]
    texts = {
        text
        for asset, column in _TEXT_COLUMNS.items()
        if column in ASSETS[asset].schema.names
        for _, rows in _rows_of(storage, asset, commits, [column])
        for text in rows[column].unique().to_pylist()
    }
    of_texts = pa.array([digest(text) for text in texts if text], pa.string())
    used = pa.chunked_array([of_texts, *(chunk for key in keys for chunk in key.chunks)], pa.string())
    found = [*unneeded_files(storage, used), *uncurrent_files(storage)]
    return [info for info in found if may_go(info)]


def _rows_of(
    storage: Storage, asset: str, commits: Iterable[tuple[ManifestRef, Commit]], columns: list[str]
) -> Iterator[tuple[ManifestRef, pa.Table]]:
    """Those of the commits that are of an asset, with some columns of their rows."""
    return ((ref, read_commit(storage, ref, commit, columns)) for ref, commit in commits if ref.asset == asset)
