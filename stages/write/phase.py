"""The write phase: from clips that survived everything to files to train on, with an index."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError, Reason
from stages.manifest import CommittedFile, ManifestRef
from stages.media import CLIP_TASK_FIELDS, clip_task
from stages.params import WriteParams
from stages.phase import Phase
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.tasks import Row, Task, VideoTask
from stages.write.captions import CAPTION_COLUMNS, WINDOW, windows_by_clip
from stages.write.files import finish_newest, stored_rows_with_files
from stages.write.paths import PATH_COLUMNS
from stages.write.stage import WriteClips, missing_caption

_LEFT_OUT = ("status", "reason", "error", "row_key", "decision_key", "thresholds")
CLIP_COLUMNS = tuple(name for name in ASSETS["filtered_clips"].schema.names if name not in _LEFT_OUT)
"""What the clip's JSON says of it. Thresholds are left out: a new one must not write clips anew."""

_MADE = (*PATH_COLUMNS, "bytes", "clip_codec", "cut", "num_frames")


class WritePhase(Phase[WriteParams]):
    """Clips that dedup kept, with scores and captions, to files."""

    inputs: ClassVar[tuple[str, ...]] = ("unique_clips", "captions", "filtered_clips")
    input_columns: ClassVar[Mapping[str, list[str]]] = {
        "unique_clips": ["partition", "clip_id"],
        "captions": list(CAPTION_COLUMNS),
        "filtered_clips": list(CLIP_COLUMNS),
    }
    key_columns: ClassVar[tuple[str, ...]] = (*CLIP_COLUMNS, "caption", "caption_model", "windows")

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item a kept clip of ``unique_clips``, with its row of ``filtered_clips`` and its captions.

        Raises:
            ManifestError: a kept clip is no kept row of ``filtered_clips``.
        """
        kept = pa.array(inputs["unique_clips"]["clip_id"].to_pylist(), pa.string())  # isin needs a type, also of none
        clips = inputs["filtered_clips"].select(list(CLIP_COLUMNS))
        clips = clips.filter(pc.field("clip_id").isin(kept))
        if len(clips) != len(kept):
            raise ManifestError(
                f"The {len(kept)} kept clips of unique_clips in partition {output.partition!r} must be kept in "
                f"filtered_clips, got {len(clips)}: the filter has run since dedup did. Materialize unique_clips again."
            )
        windows = windows_by_clip(inputs["captions"])
        found = [windows.get(clip_id, []) for clip_id in clips["clip_id"].to_pylist()]
        columns = {
            "caption": pa.array(
                [" ".join(window["caption"] for window in each) or None for each in found], pa.string()
            ),
            "caption_model": pa.array([each[0]["model"] if each else None for each in found], pa.string()),
            "windows": pa.array(found, pa.list_(WINDOW)),
        }
        for name, values in columns.items():
            clips = clips.append_column(name, values)
        return clips

    def task(self, item: Row, task_id: str) -> Task:
        """One video with one clip."""
        return clip_task(item, task_id)

    def pipeline(self) -> Pipeline:
        """One stage."""
        return Pipeline("write", [WriteClips(self.root, self.params)], collect=_rows, provides=CLIP_TASK_FIELDS)

    def decide(self, row: Row) -> Row:
        """Reject a clip without a caption where one is required; its files are then no part of the dataset."""
        if row["reason"] not in (None, Reason.NO_CAPTION):
            return row
        if missing := missing_caption(row, self.params):
            nothing: dict[str, Any] = dict.fromkeys(_MADE)
            return {**row, **nothing, "status": "rejected", "reason": str(missing.reason), "error": missing.detail}
        return {**row, "status": "kept", "reason": None, "error": None}

    def reusable(self, output: ManifestRef, stored: Mapping[str, CommittedFile]) -> set[str]:
        """The stored rows whose files are all there; also a row that needs none."""
        return stored_rows_with_files(output, stored, decide=self.decide)

    def finish(self, output: ManifestRef) -> None:
        """Write the index of the kept clips, and remove files that only old versions of the table name.

        Both follow the newest version, which is that of another run where one committed meanwhile.
        """
        finish_newest(self.storage(), output)


def _rows(task: Task) -> list[Row]:
    columns = cast(VideoTask, task).data.clip.columns
    return [{**{name: columns.get(name) for name in ASSETS["dataset"].schema.names}, "status": "kept"}]
