"""The write phase: writes kept clips as files, and an index per partition."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from stages.errors import ManifestError, Reason
from stages.manifest import CommittedFile, ManifestRef
from stages.media import CLIP_TASK_FIELDS, clip_length, clip_task
from stages.params import WriteParams
from stages.phase import LATER_COLUMNS, Phase, canonical, canonical_rows, key_values
from stages.pipeline import Pipeline
from stages.schemas import ASSETS
from stages.storage import digest, digests
from stages.tasks import Failed, Rejected, Row, Task, VideoLength, VideoTask
from stages.write.captions import CAPTION_COLUMNS, WINDOW_TYPE, first_of_windows, windows_by_clip
from stages.write.dataset_files import read_known_media, stored_rows_with_files
from stages.write.file_columns import FILE_COLUMNS, KNOWN_MEDIA, with_source_facts
from stages.write.paths import media_path
from stages.write.publishing import publish
from stages.write.stage import WriteStage, missing_caption

_OUTCOME_COLUMNS = ("status", "reason", "error", "row_key", "decision_key")
_DEDUP_COLUMNS = ("detail", "median_frequency", "picture_share", "noise", "video_frames", "signals_key")
_TEXT_COLUMNS = ("text", "text_boxes", "clean_area", "clip_embedding")
_DTYPE_COLUMNS = ("nsfw_dtype", "aesthetic_dtype")
_EXCLUDED_COLUMNS = (
    *_OUTCOME_COLUMNS,
    "thresholds",
    "score_keys",
    "picture_scores",
    *_DEDUP_COLUMNS,
    *_TEXT_COLUMNS,
    *_DTYPE_COLUMNS,
)
CLIP_COLUMNS = tuple(name for name in ASSETS["filtered_clips"].schema.names if name not in _EXCLUDED_COLUMNS)
"""Columns in the clip's JSON. Thresholds are excluded: a changed one must not cause clips to be written again. What the
scores were made of, what only dedup and embed read, and what filter text found stays in `filtered_clips`."""
CROP_COLUMNS = ("text", "clean_area")
"""Read too where clips are cropped to what is clean."""

CLIP_MEGAPIXELS = 10.0
"""What preview, JSON and opening the source take for a clip, in millions of pixels encoded (15 ms each on a core)."""


class WritePhase(Phase[WriteParams]):
    """Writes the clips that dedup kept, with scores and captions."""

    inputs: ClassVar[tuple[str, ...]] = ("unique_clips", "captions", "filtered_clips")
    input_columns: ClassVar[Mapping[str, list[str]]] = {
        "unique_clips": ["partition", "clip_id"],
        "captions": list(CAPTION_COLUMNS),
        "filtered_clips": [*CLIP_COLUMNS, *CROP_COLUMNS],
    }
    key_columns: ClassVar[tuple[str, ...]] = (*CLIP_COLUMNS, "caption", "caption_model", "windows", *CROP_COLUMNS)

    def __init__(self, params: WriteParams, root: str) -> None:
        super().__init__(params, root)
        self._known_media: dict[str, Row] = {}

    def row_key(self, item: Row) -> str:
        """As of every phase; what filter text found is part of it only where clips are cropped by that."""
        return digest(self._row_key_base, canonical(key_values(item, self._keyed_columns)))

    def row_keys(self, items: pa.Table) -> list[str]:
        """`row_key` of each item, in their order."""
        return digests([self._row_key_base], canonical_rows(items, self._keyed_columns))

    @property
    def _keyed_columns(self) -> tuple[str, ...]:
        return self.key_columns if self._crops_clean else self.key_columns[: -len(CROP_COLUMNS)]

    @property
    def _crops_clean(self) -> bool:
        return self.params.crop == "clean"

    def items(self, inputs: Mapping[str, pa.Table], output: ManifestRef) -> pa.Table:
        """One item per kept clip of ``unique_clips``, with its row of ``filtered_clips`` and its captions.

        Raises:
            ManifestError: a kept clip has no kept row in ``filtered_clips``.
        """
        kept = pa.array(inputs["unique_clips"]["clip_id"].to_pylist(), pa.string())  # isin needs a type, even if empty
        clips = inputs["filtered_clips"].select([*CLIP_COLUMNS, *CROP_COLUMNS])
        clips = clips.filter(pc.field("clip_id").isin(kept))
        if len(clips) != len(kept):
            raise ManifestError(
                f"The {len(kept)} kept clips of unique_clips in partition {output.partition!r} must be kept in "
                f"filtered_clips, got {len(clips)}: the filter has run since dedup did. Materialize unique_clips again."
            )
        if self._crops_clean and clips["text"].null_count:
            raise ManifestError(
                f"write.crop=clean reads what filter text found, and {clips['text'].null_count} of {len(clips)} clips "
                f"in partition {output.partition!r} have none. Add text to filter.filters and run filter again."
            )
        windows = windows_by_clip(inputs["captions"])
        found = [windows.get(clip_id, []) for clip_id in clips["clip_id"].to_pylist()]
        first = [first_of_windows(each) for each in found]
        columns = {
            "caption": pa.array(
                [" ".join(window["caption"] for window in each) or None for each in first], pa.string()
            ),
            "caption_model": pa.array([each[0]["model"] if each else None for each in first], pa.string()),
            "windows": pa.array(found, pa.list_(WINDOW_TYPE)),
        }
        for name, values in columns.items():
            clips = clips.append_column(name, values)
        return clips

    def task(self, item: Row, task_id: str) -> Task:
        """A task with one video and one clip, and with what is known of its file from an earlier row."""
        known = self._known_media.get(media_path(item, self.params))
        # What is no part of the row's key must not be told in the clip's JSON.
        unkeyed = {name for name in LATER_COLUMNS if item.get(name) is None}
        unkeyed |= set() if self._crops_clean else set(CROP_COLUMNS)
        item = {name: value for name, value in item.items() if name not in unkeyed}
        return clip_task({**item, KNOWN_MEDIA: known}, task_id)

    def rows_without_work(
        self, output: ManifestRef, files: Collection[CommittedFile], items: Iterable[tuple[str, Row]]
    ) -> dict[str, list[Row]]:
        """None. What rows tell of files that exist is kept, so that a new caption or score reads no file again."""
        self._known_media.update(read_known_media(output, files))
        return {}

    def outcome_row(self, item: Row, outcome: Rejected | Failed) -> Row:
        """As of every phase, without facts of a file, which there is none of."""
        return super().outcome_row(with_source_facts(item), outcome)

    def cost(self, item: Row) -> float:
        """Millions of pixels, which are encoded or copied, and what the files of any clip take."""
        pixels = (item["width"] or 0) * (item["height"] or 0)
        return CLIP_MEGAPIXELS + clip_length(item).frames * pixels / 1e6

    def video_length(self, item: Row) -> VideoLength:
        """Of the clip."""
        return clip_length(item)

    def pipeline(self) -> Pipeline:
        """The stage that writes."""
        return Pipeline("write", [WriteStage(self.root, self.params)], collect=_rows, provides=CLIP_TASK_FIELDS)

    def decide(self, row: Row) -> Row:
        """The row, rejected where it has no caption and one is required. It then names no files."""
        if row["reason"] not in (None, Reason.NO_CAPTION):
            return row
        if missing := missing_caption(row, self.params):
            no_files: dict[str, Any] = dict.fromkeys(FILE_COLUMNS)
            return {**row, **no_files, "status": "rejected", "reason": str(missing.reason), "error": missing.detail}
        return {**row, "status": "kept", "reason": None, "error": None}

    def reusable(self, output: ManifestRef, stored: Mapping[str, CommittedFile]) -> set[str]:
        """The stored rows whose files all exist, and rows that need none."""
        return stored_rows_with_files(output, stored, decide=self.decide)

    def decision_key(self) -> str:
        """As of every phase; rows from before paths were relative to ``dataset/`` have another one."""
        return digest(super().decision_key(), "paths below dataset/")

    def finish(self, outputs: Sequence[ManifestRef]) -> int:
        """Publish the newest versions of these tables, which may be those of another run."""
        return publish(self.storage(), outputs).number


def _rows(task: Task) -> list[Row]:
    columns = cast(VideoTask, task).data.clip.columns
    return [{name: columns.get(name) for name in ASSETS["dataset"].schema.names} | {"status": "kept"}]
