"""The stage that writes clips. It imports no codec; FFmpeg is imported in the worker."""

from dataclasses import replace
from typing import Any

from stages import lazy
from stages.errors import Reason, SourceError, StageError
from stages.failures import failure_of
from stages.media import with_clip
from stages.params import WriteParams
from stages.resources import Resources
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Failed, Rejected, Row, VideoTask


class WriteStage(ProcessingStage[VideoTask, VideoTask]):
    """Writes the clip's files, and adds their paths, size, codec and number of frames to ``clip.columns``.

    Args:
        root: the root that the dataset is written to.
        params: the parameters of the phase.
    """

    name = "write_clips"
    batch_size = 8

    def __init__(self, root: str, params: WriteParams) -> None:
        self.root = root
        self.params = params
        if params.mode != "copy" and params.encoder.endswith("_nvenc"):
            self.resources = Resources(cpus=1, gpu_memory_gb=1, nvencs=1)
        self._writer: Any = None

    def inputs(self) -> Fields:
        """Reads the clip's span and row."""
        return [], ["clips"]

    def outputs(self) -> Fields:
        """Adds paths, size, codec and number of frames."""
        return [], ["clips.files"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Import FFmpeg and check that the encoder works."""
        self._writer = lazy.load("stages.write.clip_writer:ClipWriter")(self.root, self.params, worker_metadata.device)

    def process(self, task: VideoTask) -> VideoTask | Rejected | Failed:
        """The task with the columns of its files. A clip is not written where it lacks a required caption."""
        clip = task.data.clip
        if missing := missing_caption(dict(clip.columns), self.params):
            return missing
        try:
            written = self._writer.write(task.data)
        except (SourceError, StageError) as error:
            # Caught here, so that the other clips of the batch, already written, are not written again.
            return failure_of(error)
        if isinstance(written, Rejected):
            return written
        return with_clip(task, replace(clip, columns={**clip.columns, **written}))

    def teardown(self) -> None:
        """Release the writer."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def missing_caption(row: Row, params: WriteParams) -> Rejected | None:
    """The rejection of a row that lacks a required caption, or None."""
    if not params.require_caption or row["caption"]:
        return None
    return Rejected(
        Reason.NO_CAPTION,
        "A clip must have a caption (write.require_caption), and this one has none: it is too short for a window, "
        "or its captions failed or were rejected.",
    )
