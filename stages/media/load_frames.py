"""The stage that loads a clip's frames from the frame store. Light to import: `stages.media.frame_loader` decodes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stages import lazy
from stages.errors import SourceError
from stages.failures import failure_of
from stages.media.clip_tasks import with_clip, with_frames
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Clip, Failed, Rejected, VideoTask

Outcome = VideoTask | list[VideoTask] | Rejected | Failed


class LoadFramesStage(ProcessingStage[VideoTask, VideoTask]):
    """Sets ``clip.frames`` (uint8 RGB) from the frame store, which is opened once per video.

    A frame store that is missing, damaged or made with other parameters than the clip's ``frames_key`` is rebuilt by
    one decode.

    Args:
        root: root that holds the frame stores.
        max_frames: upper limit of frames per clip, evenly spaced over the clip; None for no limit.
        batch_size: largest number of clips in a batch; all are of one video.
        wanted_by: tells of a clip whether a later stage reads its frames; others pass without. None for all.
        marks_wanted_by: tells of a clip whether a later stage reads what stands in all scenes of its video, for which
            pictures of the whole video are looked at, once for the clips that follow each other; None for none.
    """

    name = "load_frames"

    def __init__(
        self,
        root: str,
        *,
        max_frames: int | None = None,
        batch_size: int = 16,
        wanted_by: Callable[[Clip], bool] | None = None,
        marks_wanted_by: Callable[[Clip], bool] | None = None,
    ) -> None:
        self.root = root
        self.max_frames = max_frames
        self.batch_size = batch_size
        self.wanted_by = wanted_by
        self.marks_wanted_by = marks_wanted_by
        self._loader: Any = None

    def inputs(self) -> Fields:
        """Requires the clip's span and row."""
        return [], ["clips"]

    def outputs(self) -> Fields:
        """Adds the clip's frames."""
        return [], ["clips.frames"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Create the frame loader in the worker."""
        self._loader = lazy.load("stages.media.frame_loader:FrameLoader")(self.root, max_frames=self.max_frames)

    def process(self, task: VideoTask) -> VideoTask:
        """The task with its clip's frames, where they are wanted.

        Raises:
            SourceError: the frame store had to be rebuilt and the source cannot be decoded.
            StageError: the store holds no frame of the clip's shot, or another version made the clip's ``frames_key``.
        """
        if self.wanted_by is not None and not self.wanted_by(task.data.clip):
            return task
        loaded = with_frames(task, self._loader.load(task.data))
        if self.marks_wanted_by is None or not self.marks_wanted_by(task.data.clip):
            return loaded
        marks = tuple(map(tuple, self._loader.lasting_marks(loaded.data)))
        return with_clip(loaded, replace(loaded.data.clip, lasting_marks=marks))

    def process_batch(self, tasks: list[VideoTask]) -> list[Outcome]:
        """Process tasks of one video. A source error fails all tasks, so that the source is not decoded for each."""
        outcomes: list[Outcome] = []
        for task in tasks:
            try:
                outcomes.append(self.process(task))
            except SourceError as error:
                return [failure_of(error)] * len(tasks)
        return outcomes

    def teardown(self) -> None:
        """Release the frame store."""
        if self._loader is not None:
            self._loader.close()
        self._loader = None
