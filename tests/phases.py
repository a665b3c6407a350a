"""A small real phase for tests of what all phases share: it halves a number per source, and knows some bad ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from stages.base import ProcessingStage, WorkerMetadata
from stages.errors import Reason, StageError
from stages.manifest import ManifestRef
from stages.params import ReadParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.sources import Source, read_members, register_sources
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Row, Task, Video, VideoTask


class ToyStage(ProcessingStage[VideoTask, VideoTask]):
    """What becomes of a source is written in its name."""

    name = "toy"

    def __init__(self, log: str) -> None:
        self.log = log

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self.device = worker_metadata.device

    def process(self, task: VideoTask) -> VideoTask | Rejected | Failed:
        with open(self.log, "a") as handle:
            handle.write(task.data.uri + "\n")
        name = Path(task.data.uri).name
        if name.startswith("corrupt"):
            raise StageError("the picture is torn", Reason.CORRUPT_STREAM)
        if name.startswith("offline"):
            return Failed(Reason.STORAGE, "the store is away")
        if name.startswith("short"):
            return Rejected(Reason.TOO_SHORT, "0.1 s < 2 s")
        return task


class ToyPhase(Phase[ReadParams]):
    """Stands in for read: one item a source, kept unless wider than max_failed_fraction * 1000."""

    key_columns: ClassVar[tuple[str, ...]] = ("uri", "etag")
    log: ClassVar[str] = ""

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        return read_members(self.storage(), output.partition)

    def task(self, item: Row, task_id: str) -> VideoTask:
        return VideoTask(task_id, data=Video(item["video_id"], item["uri"], "p", columns=item))

    def pipeline(self) -> Pipeline:
        return Pipeline("toy", [ToyStage(self.log)], collect=collect_toy)


def collect_toy(task: Task) -> list[Row]:
    assert isinstance(task, VideoTask)
    columns: Mapping[str, Any] = task.data.columns
    return [{**columns, "partition": task.data.partition, "status": "kept"}]


def register_names(root: Path, names: list[str], *, partition_size: int = 64) -> list[str]:
    """Register sources that only have a name and return their partitions."""
    sources = [Source(f"/videos/{name}", "1", 1) for name in names]
    return register_sources(Storage(root), sources, partition_size)
