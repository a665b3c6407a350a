"""The stage that writes clips. Light to import; FFmpeg is loaded in the worker."""

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


class WriteClips(ProcessingStage[VideoTask, VideoTask]):
    """Adds to ``clip.columns`` what was written of the clip.

    Args:
        root: where the dataset lies.
        params: of the phase.
    """

    name = "write_clips"
    batch_size = 8

    def __init__(self, root: str, params: WriteParams) -> None:
        self.root = root
        self.params = params
        if params.mode != "copy" and params.encoder == "h264_nvenc":
            self.resources = Resources(cpus=1, gpu_memory_gb=1, nvencs=1)
        self._writer: Any = None

    def inputs(self) -> Fields:
        """Needs the clip's span and row."""
        return [], ["clips"]

    def outputs(self) -> Fields:
        """Adds paths, size, codec."""
        return [], ["clips.files"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load FFmpeg and try the encoder."""
        self._writer = lazy.load("stages.write.clips:ClipWriter")(self.root, self.params)

    def process(self, task: VideoTask) -> VideoTask | Rejected | Failed:
        """The task with the clip's files; a clip that needs a caption and has none is not cut."""
        clip = task.data.clip
        if missing := missing_caption(dict(clip.columns), self.params):
            return missing
        try:
            made = self._writer.write(task.data)
        except (SourceError, StageError) as error:
            # Caught here, so that the clips of the batch that are written already are not written again.
            return failure_of(error)
        if isinstance(made, Rejected):
            return made
        return with_clip(task, replace(clip, columns={**clip.columns, **made}))

    def teardown(self) -> None:
        """Let go of the pictures."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def missing_caption(row: Row, params: WriteParams) -> Rejected | None:
    """Why a row without a caption is rejected, where captions are required."""
    if not params.require_caption or row["caption"]:
        return None
    return Rejected(
        Reason.NO_CAPTION,
        "A clip must have a caption (write.require_caption), and this one has none: it is too short for a window, "
        "or its captions failed.",
    )
