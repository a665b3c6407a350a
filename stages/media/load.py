"""The stage that gives clips their pictures. Light to import; decoding lives in `stages.media.frame_loader`."""

from collections.abc import Callable, Sequence
from typing import Any

from stages import lazy
from stages.errors import SourceError
from stages.fates import failure_of
from stages.media.clip_tasks import with_frames
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, VideoTask

Pick = Callable[[Clip, Sequence[int]], list[int]]
"""Places of the pictures to take, at least one, out of a clip's; it is told which frame of the video each shows."""

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


class LoadFramesStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.frames`` (uint8 RGB) from the frame store, which is read once a video.

    A store that is missing, damaged or of other parameters than the clip's ``frames_key`` is made anew by one decode.

    Args:
        root: where the frame store lies.
        max_frames: of a clip, take at most so many pictures, spread evenly over it; None for all.
        pick: which of a clip's pictures are needed at all; only these are decoded. None for all.
        batch_size: clips of one video in a batch.
    """

    name = "load_frames"

    def __init__(
        self, root: str, *, max_frames: int | None = None, pick: Pick | None = None, batch_size: int = 16
    ) -> None:
        self.root = root
        self.max_frames = max_frames
        self.pick = pick
        self.batch_size = batch_size
        self._loader: Any = None

    def inputs(self) -> Fields:
        """Needs the clip's span and row."""
        return [], ["clips"]

    def outputs(self) -> Fields:
        """Adds its pictures."""
        return [], ["clips.frames"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Open the storage."""
        self._loader = lazy.load("stages.media.frame_loader:FrameLoader")(
            self.root, max_frames=self.max_frames, pick=self.pick
        )

    def process(self, task: VideoTask) -> VideoTask:
        """The task with pictures.

        Raises:
            SourceError: the store had to be made anew and the source cannot be decoded.
            StageError: no picture lies in the clip's shot, or the store does not fit the clip.
        """
        return with_frames(task, self._loader.load(task.data))

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """Tasks of one video: a source that fails one of them fails all, so that it is not decoded again for each."""
        done: list[Outcome] = []
        for task in tasks:
            try:
                done.append(self.process(task))
            except SourceError as error:
                return [failure_of(error)] * len(tasks)
        return done

    def teardown(self) -> None:
        """Let go of the store."""
        if self._loader is not None:
            self._loader.close()
        self._loader = None
