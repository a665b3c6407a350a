"""Seven phases that do no work on pictures but keep the row contract, so that the Dagster side is tested in seconds."""

import signal
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.errors import Reason, UnreadableSource
from stages.manifest import ManifestRef, newest_tables, publish_version
from stages.params import Params
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.sources import read_members
from stages.stage import ProcessingStage
from stages.storage import Storage
from stages.tasks import Failed, Rejected, Row, Task, Video, VideoTask
from tests.videos import noise_shot, write_video

PHASES_WITHOUT_FAILURES: set[str] = set()
"""Phases in which no source is unreadable, whatever its name."""


class OutcomeByName(ProcessingStage[VideoTask, VideoTask]):
    """Fails a source named unreadable, rejects one named short, interrupts once for one named so, keeps all others."""

    name = "outcome_by_name"

    def __init__(self, phase: str) -> None:
        self._phase = phase

    def process(self, task: VideoTask) -> VideoTask | Rejected | Failed:
        if f"unreadable-{self._phase}" in task.data.uri and self._phase not in PHASES_WITHOUT_FAILURES:
            raise UnreadableSource(task.data.uri, "The header is damaged. Replace the file.")
        if f"interrupt-{self._phase}" in task.data.uri and Path(task.data.uri).exists():
            Path(task.data.uri).unlink()
            signal.raise_signal(signal.SIGINT)
        if f"short-{self._phase}" in task.data.uri:
            return Rejected(Reason.TOO_SHORT, "1.0 s, 2.0 s required")
        return task


FACTS: Row = {
    **{"width": 64, "height": 64, "codec": "h264", "video_frames": 2, "num_frames": 2, "duration_s": 2.0},
    **{"start_pts": 0, "end_pts": 2, "time_base": "1/1", "start_s": 0.0, "end_s": 2.0},
    **{"start_frame": 0, "end_frame": 2, "frames_key": "f", "scores": {"motion": 0.5}, "thresholds": {"motion": 0.1}},
    **{"model": "tiny", "embedding": [1.0], "embedding_key": "e", "group_size": 1, "rank": 0},
    **{
        "window_index": 0,
        "caption_index": 0,
        "window_start_frame": 0,
        "window_end_frame": 2,
        "caption": "Noise slides by.",
    },
    **{"clip_codec": "h264", "cut": "encode"},
}
"""What a kept row says, as far as its table has the column."""


def rows_of(task: Task) -> list[Row]:
    assert isinstance(task, VideoTask)
    clip_id = task.data.video_id
    return [{**FACTS, "group_id": clip_id, **task.data.columns, "clip_id": clip_id, "status": "kept"}]


@cache
def clip_bytes() -> bytes:
    """A clip of two frames."""
    with tempfile.TemporaryDirectory() as folder:
        return write_video(Path(folder) / "clip.mp4", noise_shot(1, 2, width=64), rate=1).read_bytes()


def written_rows(root: str, task: Task) -> list[Row]:
    (row,) = rows_of(task)
    path = f"dataset/{row['partition']}/{row['clip_id']}"
    Storage(root).write_bytes(f"{path}.mp4", clip_bytes())
    Storage(root).write_bytes(f"{path}.json", b"{}")
    return [{**row, "path": f"{path}.mp4", "metadata_path": f"{path}.json", "bytes": len(clip_bytes())}]


class Read(Phase[Params]):
    key_columns = ("uri",)

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        members = read_members(self.storage(), output.partition)
        return members.append_column("partition", pa.array([output.partition] * len(members), pa.string()))

    def task(self, item: Row, task_id: str) -> Task:
        video = Video(item["video_id"], item["uri"], item["partition"], item)
        return VideoTask(task_id, item["video_id"], data=video)

    def pipeline(self) -> Pipeline:
        return Pipeline(self.params.phase, [OutcomeByName(self.params.phase)], collect=rows_of)


class _Next(Read):
    """One item a kept row of the first input."""

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        table = inputs[self.inputs[0]]
        names: list[Any] = [name for name in table.schema.names if name in ASSETS[self.params.asset].schema.names]
        return table.select([name for name in names if name not in ("row_key", "decision_key")])


class Split(_Next):
    inputs = ("videos",)


class Filter(_Next):
    inputs = ("clips",)


class Embed(_Next):
    inputs = ("filtered_clips",)


class Caption(_Next):
    inputs = ("filtered_clips",)


class Dedup(_Next):
    inputs = ("embeddings", "filtered_clips")


class Write(_Next):
    inputs = ("unique_clips", "captions", "filtered_clips")

    def pipeline(self) -> Pipeline:
        return Pipeline("write", [OutcomeByName("write")], collect=partial(written_rows, self.root))

    def finish(self, outputs: Sequence[ManifestRef]) -> int:
        return publish_version(
            self.storage(), newest_tables(self.storage(), [output.partition for output in outputs])
        ).number


PHASES = {kind.__name__.lower(): kind for kind in (Read, Split, Filter, Embed, Caption, Dedup, Write)}
