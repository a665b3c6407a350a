"""The read phase: from the members of a partition to one row of facts a source video."""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import pyarrow as pa

from stages.manifest import ManifestRef
from stages.params import ReadParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.read.stage import ProbeStage
from stages.schemas import ASSETS
from stages.sources import read_members, superseded_by_partition
from stages.tasks import Row, Task, Video, VideoTask


class ReadPhase(Phase[ReadParams]):
    """Probes every member of a partition; a member that was listed again with other content is rejected."""

    inputs: ClassVar[tuple[str, ...]] = ()
    key_columns: ClassVar[tuple[str, ...]] = ("uri", "etag", "superseded")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The partition's members, with whether a later version of each is registered."""
        members = read_members(self.storage(), output.partition)
        replaced = self._superseded.get(output.partition, frozenset())
        flags = [video_id in replaced for video_id in members["video_id"].to_pylist()]
        partitions = pa.array([output.partition] * len(members), pa.string())
        return members.append_column("superseded", pa.array(flags, pa.bool_())).append_column("partition", partitions)

    @cached_property
    def _superseded(self) -> dict[str, set[str]]:
        """Read once for all partitions of a run: telling it takes the members of every partition."""
        return superseded_by_partition(self.storage())

    def task(self, item: Row, task_id: str) -> VideoTask:
        """A video without clips."""
        return VideoTask(task_id, data=Video(item["video_id"], item["uri"], item["partition"], columns=item))

    def pipeline(self) -> Pipeline:
        """One stage."""
        return Pipeline("read", [ProbeStage()], collect=video_rows, provides=["data.columns"])


def video_rows(task: Task) -> list[Row]:
    """The one row of a probed video."""
    if not isinstance(task, VideoTask):
        raise TypeError(f"read collects a VideoTask, got {type(task).__name__}.")
    columns = task.data.columns
    return [{**{name: columns.get(name) for name in ASSETS["videos"].schema.names}, "status": "kept"}]
