"""The read phase: one row of `videos` for each member of a partition."""

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
from stages.sources import Register
from stages.tasks import Row, Task, Video, VideoTask


class ReadPhase(Phase[ReadParams]):
    """Probes every member of a partition; a member that was listed again with other content is rejected."""

    inputs: ClassVar[tuple[str, ...]] = ()
    # `relistings` is part of the key: a version that is the newest again is probed again, since its last row may say
    # that the file had another tag.
    key_columns: ClassVar[tuple[str, ...]] = ("uri", "etag", "superseded", "relistings")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """The members of the partition, each with whether a later version of it was listed."""
        members = self._register.read_held_members(output.partition)
        superseded = self._superseded.get(output.partition, frozenset())
        video_ids = members["video_id"].to_pylist()
        added: dict[str, pa.Array] = {
            "superseded": pa.array([video_id in superseded for video_id in video_ids], pa.bool_()),
            "relistings": pa.array([self._register.relistings.get(name, 0) for name in video_ids], pa.int64()),
            "partition": pa.array([output.partition] * len(members), pa.string()),
        }
        for name, values in added.items():
            members = members.append_column(name, values)
        return members

    @cached_property
    def _register(self) -> Register:
        """The register, read once for all partitions of a run: reading it reads the members of every partition."""
        return Register(self.storage())

    @cached_property
    def _superseded(self) -> dict[str, set[str]]:
        return self._register.superseded()

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
