"""The stage that divides long videos. Light to import: the demuxer is loaded in the worker."""

from typing import Any

from stages import lazy
from stages.params import SplitParams
from stages.stage import ProcessingStage
from stages.tasks import Task, Video, VideoTask


class PlanStage(ProcessingStage[VideoTask, Task]):
    """Makes parts of a video that is long; others go through.

    Args:
        params: of the phase.
        root: the root that holds what is left of parts.
    """

    name = "split_plan"

    def __init__(self, params: SplitParams, root: str) -> None:
        self.params = params
        self.root = root
        self.resources = params.resources()
        self._planner: Any = None

    def process(self, task: VideoTask) -> Task | list[Task]:
        """The task itself, or those of the parts that are to be worked on.

        Raises:
            SourceError: the source is gone or cannot be opened.
        """
        if not self._is_long(task.data):
            return task
        if self._planner is None:
            self._planner = lazy.load("stages.split.section_planner:SectionPlanner")(self.params, self.root)
        return self._planner.next(task)

    def _is_long(self, video: Video) -> bool:
        """Whether it has two sections at least, by its header, and is decoded in software."""
        section_s = self.params.section_s
        duration_s = video.columns.get("duration_s") or 0.0
        return bool(section_s) and duration_s >= 2 * section_s and self.params.decoder == "software"
