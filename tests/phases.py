"""Small real phases, for tests of the behaviour that all phases share."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from stages.errors import Reason, StageError
from stages.manifest import ManifestRef
from stages.params import ReadParams
from stages.params.base import parameter
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.sources import Source, register_sources
from stages.sources.members import members_path, read_members_file
from stages.stage import ProcessingStage, WorkerMetadata
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Row, Task, Video, VideoTask


class ToyStage(ProcessingStage[VideoTask, VideoTask]):
    """Takes the outcome of a source from its name."""

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


P = TypeVar("P", bound=ReadParams)


class RegisteredPhase(Phase[P]):
    """A phase in place of read: one item for each source of the partition."""

    key_columns: ClassVar[tuple[str, ...]] = ("uri", "etag")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        return read_members_file(self.storage(), members_path(output.partition, None))

    def task(self, item: Row, task_id: str) -> VideoTask:
        return VideoTask(task_id, data=Video(item["video_id"], item["uri"], "p", columns=item))


class ToyPhase(RegisteredPhase[ReadParams]):
    """Keeps a source unless its name says otherwise."""

    log: ClassVar[str] = ""

    def pipeline(self) -> Pipeline:
        return Pipeline("toy", [ToyStage(self.log)], collect=collect_toy)


def collect_toy(task: Task) -> list[Row]:
    assert isinstance(task, VideoTask)
    columns: Mapping[str, Any] = task.data.columns
    return [{**columns, "partition": task.data.partition, "status": "kept"}]


def register_names(root: Path | str, names: list[str], *, partition_size: int = 64) -> list[str]:
    """Register sources that exist by name only, and return their partitions."""
    sources = [Source(f"/videos/{name}", "1", 1) for name in names]
    return register_sources(Storage(root), sources, ReadParams(partition_size=partition_size))


class ScaledParams(ReadParams):
    """One parameter that affects the work, and one that affects the decision."""

    factor: int = parameter(1, "work", "Widths are multiplied by this.", ge=1)
    min_width_px: int = parameter(0, "decision", "Least width of a kept row. Higher is stricter.", ge=0)


class ScaledStage(ProcessingStage[VideoTask, VideoTask]):
    """Computes a width by `factor`; sleeps `pause_s`, so that concurrent runs interleave in many orders."""

    name = "scaled"
    batch_size = 8

    def __init__(self, factor: int, pause_s: float) -> None:
        self.factor = factor
        self.pause_s = pause_s

    def process(self, task: VideoTask) -> VideoTask | Failed:
        columns = task.data.columns
        if Path(task.data.uri).name.startswith("offline"):
            return Failed(Reason.STORAGE, "the store is away")
        time.sleep(self.pause_s)
        width = self.factor * (int(columns["video_id"], 16) % 1000)
        return replace(task, data=replace(task.data, columns={**columns, "width": width}))


class ScaledPhase(RegisteredPhase[ScaledParams]):
    """Each source has a width by its id and `factor`, an outcome by `min_width_px`."""

    pause_s: ClassVar[float] = 0.0

    def pipeline(self) -> Pipeline:
        return Pipeline("scaled", [ScaledStage(self.params.factor, self.pause_s)], collect=collect_toy)

    def decide(self, row: Row) -> Row:
        if row["width"] >= self.params.min_width_px:
            return {**row, "status": "kept", "reason": None, "error": None}
        return {**row, "status": "rejected", "reason": Reason.TOO_SMALL.value, "error": f"{row['width']} px"}
