"""The stage that splits videos. Light to import: the decoder and the network are loaded in the worker."""

from dataclasses import replace
from typing import Any

from stages import lazy
from stages.params import SplitParams
from stages.split.section_tasks import PartTask
from stages.stage import Fields, ProcessingStage, WorkerMetadata
from stages.tasks import Rejected, VideoTask


class SplitStage(ProcessingStage[Any, Any]):
    """Decodes a video once, which fills its frame store and signals; finds its clips.

    Args:
        params: of the phase.
        root: the root that holds the frame store.
    """

    name = "split"

    def __init__(self, params: SplitParams, root: str) -> None:
        self.params = params
        self.root = root
        self.resources = params.resources()
        self._cutter: Any = None

    def outputs(self) -> Fields:
        """Adds clips with their columns."""
        return [], ["clips"]

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the splitter and its model."""
        self._cutter = lazy.load("stages.split.video_cutter:VideoCutter")(self.params, self.root, worker_metadata)

    def process(self, task: VideoTask | PartTask) -> VideoTask | PartTask | Rejected:
        """The task with the video's clips; rejected where the video has none. Of a part, the task once it is done.

        Raises:
            SourceError: the source is gone, cannot be opened, or nothing of it decodes.
        """
        if isinstance(task, PartTask):
            return self._cutter.run_part(task)
        result: Any = self._cutter.run(task)
        return result if isinstance(result, Rejected) else replace(task, data=result)

    def teardown(self) -> None:
        """Release the model."""
        self._cutter = None
