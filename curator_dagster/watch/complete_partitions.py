"""Tells which partitions of a root need no run: their sources are neither new nor changed since they were made.

The command line, a backfill or another instance may have made them, with parameters of their own. A scan that asked for
them again would put the parameters of this code location in the place of those.
"""

from collections.abc import Collection
from functools import cached_property

from stages.errors import ManifestError
from stages.manifest import ALL, Commit, ManifestRef, last_commit, load_commit, read_commit
from stages.sources import Register
from stages.storage import map_concurrently
from stages.table_names import asset_of

_UPSTREAM = ("filtered_clips", "clips", "videos")
"""The assets between `dataset` and the sources, each made from the next."""


class CompletePartitions:
    """Answers for one state of the register, and remembers its answers."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._answers: dict[str, bool] = {}

    @cached_property
    def _superseded(self) -> dict[str, set[str]]:
        return self._register.superseded()

    def among(self, partitions: Collection[str]) -> set[str]:
        """Those of the partitions whose `dataset` is made from their sources as they are registered now.

        Raises:
            StorageError: the root does not answer.
        """
        if not partitions:
            return set()
        unknown = [partition for partition in partitions if partition not in self._answers]
        self._answers.update(zip(unknown, map_concurrently(self._is_complete, unknown), strict=True))
        return {partition for partition in partitions if self._answers[partition]}

    def _is_complete(self, partition: str) -> bool:
        try:
            return self._is_made_from_its_sources(partition)
        except (ManifestError, FileNotFoundError):  # damaged, or an old version was removed: a run tells, or mends it
            return False

    def _is_made_from_its_sources(self, partition: str) -> bool:
        dataset = self._last_commit("dataset", partition)
        videos = self._last_commit("videos", partition)
        if dataset is None or videos is None or not self._has_registered_sources(partition, videos):
            return False
        if not self._was_deduplicated(partition, dataset):
            return False
        made_from = dataset
        for asset in _UPSTREAM:
            number = made_from.lineage.get("inputs", {}).get(asset, {}).get(partition)
            if number is None:
                return False
            if asset == "videos":
                return number == videos.number
            made_from = load_commit(self._register.storage, self._ref(asset, partition), number)
        return False

    def _was_deduplicated(self, partition: str, dataset: Commit) -> bool:
        """True where the version of `unique_clips` that the dataset is made from has seen the partition."""
        number = dataset.lineage.get("inputs", {}).get("unique_clips", {}).get(ALL)
        if number is None:
            return False
        unique = load_commit(self._register.storage, self._ref("unique_clips", ALL), number)
        inputs: dict[str, dict[str, int]] = unique.lineage.get("inputs", {})
        return any(partition in read for table, read in inputs.items() if asset_of(table) == "embeddings")

    def _has_registered_sources(self, partition: str, videos: Commit) -> bool:
        """True where the table has exactly the partition's videos, with those rejected that later ones replace.

        None of its rows may call its video a copy of one that is replaced or forgotten.
        """
        members = set(self._register.read_held_members(partition)["video_id"].to_pylist())
        columns = ["video_id", "status", "reason", "copy_of"]
        rows = read_commit(self._register.storage, self._ref("videos", partition), videos, columns).to_pylist()
        superseded = {row["video_id"] for row in rows if (row["status"], row["reason"]) == ("rejected", "superseded")}
        if {row["video_id"] for row in rows} != members or superseded != self._superseded.get(partition, set()):
            return False
        return all(map(self._is_current, {row["copy_of"] for row in rows if row["copy_of"]}))

    def _is_current(self, video_id: str) -> bool:
        holder = self._register.partition_by_video_id.get(video_id)
        return holder is not None and video_id not in self._superseded.get(holder, set())

    def _last_commit(self, asset: str, partition: str) -> Commit | None:
        return last_commit(self._register.storage, self._ref(asset, partition))

    def _ref(self, asset: str, partition: str) -> ManifestRef:
        return ManifestRef(self._register.storage.root, asset, partition)
