"""The read phase: one row of `videos` for each member of a partition."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from stages.manifest import ManifestRef
from stages.params import ReadParams
from stages.phase import Phase, Preparation, canonical
from stages.pipeline import Pipeline
from stages.read.exact_copies import ExactCopies
from stages.read.stage import ProbeStage
from stages.schemas import ASSETS
from stages.sources import Register
from stages.storage import Storage, digest
from stages.tasks import Row, Task, Video, VideoTask


class ReadPhase(Phase[ReadParams]):
    """Probes every member of a partition.

    Rejected is a member that was listed again with other content, or is a copy of a source that was registered earlier.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    # `relistings` is part of the key: a version that is the newest again is probed again, since its last row may say
    # that the file had another tag.
    key_columns: ClassVar[tuple[str, ...]] = ("uri", "etag", "superseded", "relistings", "copy_of")

    def preparations(self, outputs: Sequence[ManifestRef]) -> Iterator[Preparation]:
        """Comparing sources of equal size, where there are any that were not compared yet."""
        if self.params.exact_copies:
            yield from self._copies(outputs[0].root).preparations({output.partition for output in outputs})

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The members of the partition, each with whether a later version was listed, and what it is a copy of."""
        members = self._register.read_held_members(output.partition)
        superseded = self._superseded.get(output.partition, frozenset())
        copies = self._copies(output.root).of_partition(output.partition) if self.params.exact_copies else {}
        video_ids = members["video_id"].to_pylist()
        originals = [copies.get(video_id) for video_id in video_ids]
        added: dict[str, pa.Array] = {
            "superseded": pa.array([video_id in superseded for video_id in video_ids], pa.bool_()),
            "relistings": pa.array([self._register.relistings.get(name, 0) for name in video_ids], pa.int64()),
            "copy_of": pa.array([video and video.video_id for video in originals], pa.string()),
            "copied_uri": pa.array([video and video.uri for video in originals], pa.string()),
            "partition": pa.array([output.partition] * len(members), pa.string()),
        }
        for name, values in added.items():
            members = members.append_column(name, values)
        return members

    @cached_property
    def _register(self) -> Register:
        """The register, read once for all partitions of a run: reading it reads the members of every partition."""
        return Register(self.storage())

    def sources_seen(self, output: ManifestRef) -> int:
        """Of the register as it was read for `items`."""
        return self._last_entries.get(output.partition, 0)

    def knows_sources(self, entry: int) -> bool:
        """As the register is now."""
        return self._register.has_entry(entry)

    @cached_property
    def _last_entries(self) -> dict[str, int]:
        return self._register.last_entries()

    @cached_property
    def _superseded(self) -> dict[str, set[str]]:
        return self._register.superseded()

    def _copies(self, root: str) -> ExactCopies:
        """The copies among the registered sources; what is known of them stands under the root of the tables.

        A dry run has its register under another root.
        """
        if root not in self._copies_by_root:
            self._copies_by_root[root] = ExactCopies(self._register, Storage(root))
        return self._copies_by_root[root]

    @cached_property
    def _copies_by_root(self) -> dict[str, ExactCopies]:
        return {}

    def work_params(self) -> dict[str, Any]:
        """Without `exact_copies`: what it changes in a row stands in the item's `copy_of`."""
        return {name: value for name, value in super().work_params().items() if name != "exact_copies"}

    def row_key(self, item: Row) -> str:
        """As for any phase; a source that is no copy has the key that it had before copies were looked for."""
        names = self.key_columns if item.get("copy_of") else self.key_columns[:-1]
        return digest(self._row_key_base, canonical([item.get(name) for name in names]))

    def row_keys(self, items: pa.Table) -> list[str]:
        """`row_key` of each item; there are few."""
        return [self.row_key(item) for item in items.select(self.key_columns).to_pylist()]

    def task(self, item: Row, task_id: str) -> VideoTask:
        """A video without clips."""
        return VideoTask(task_id, data=Video(item["video_id"], item["uri"], item["partition"], columns=item))

    def pipeline(self) -> Pipeline:
        """The stage that probes."""
        return Pipeline("read", [ProbeStage()], collect=video_rows, provides=["data.columns"])


def video_rows(task: Task) -> list[Row]:
    """The one row of a probed video."""
    if not isinstance(task, VideoTask):
        raise TypeError(f"read collects a VideoTask, got {type(task).__name__}.")
    columns = task.data.columns
    return [{**{name: columns.get(name) for name in ASSETS["videos"].schema.names}, "status": "kept"}]
