"""Says what is to be done next of a long video: its parts that have no file yet, or its clips."""

from stages.media import Indivisible
from stages.models import construct
from stages.params import SplitParams
from stages.signals import signals_path
from stages.split.section_files import Arrays, file_path, read_arrays, write_arrays
from stages.split.section_plan import WHY, SectionPlan, plan_digest, plan_sections
from stages.split.section_tasks import NUM_STEPS, LongVideoTask, PartTask
from stages.split.signals_key import signals_key
from stages.split.splitter import Splitter
from stages.storage import Storage
from stages.tasks import Task, VideoTask


class SectionPlanner:
    """Plans long videos.

    Args:
        params: of the phase.
        root: that holds the files.
    """

    def __init__(self, params: SplitParams, root: str) -> None:
        self._params = params
        self._storage = Storage(root)
        self._splitter: Splitter = construct("splitter", params.method, params)

    def next(self, task: VideoTask) -> Task | list[Task]:
        """The tasks of the parts that are missing; a task for the video where none is, or it is not divided.

        Raises:
            SourceError: the source cannot be opened.
        """
        video, step = task.data, task.step if isinstance(task, LongVideoTask) else 0
        key = signals_key(video.video_id, self._params, self._splitter)
        path = signals_path(video.partition, video.video_id, key)
        prefix = f"{path.removesuffix('.parquet')}.{plan_digest(self._params.section_s)}"
        whole = LongVideoTask(task.task_id, task.group, data=video, in_one_pass=True, prefix=prefix)
        if (isinstance(task, LongVideoTask) and task.in_one_pass) or self._storage.exists(path):
            return whole
        plan = self._plan(video.uri, prefix)
        if plan is None:
            return whole
        for parts in (_decoded(plan), _measured(plan)):
            missing: list[Task] = [
                PartTask(
                    f"{task.task_id}/{kind}-{number}", task.group, video=video, prefix=prefix, kind=kind, number=number
                )
                for kind, number in parts
                if not self._storage.exists(file_path(prefix, part_name(kind, number)))
            ]
            if missing:
                return whole if step >= NUM_STEPS else missing
        return LongVideoTask(task.task_id, task.group, data=video, step=step, prefix=prefix)

    def _plan(self, uri: str, prefix: str) -> SectionPlan | None:
        """The plan of a video, made at the first call; None where it is not divided."""
        path = file_path(prefix, "plan")
        stored = read_arrays(self._storage, path)
        if stored is None:
            try:
                stored = plan_sections(uri, self._splitter, self._params.section_s).to_arrays()
            except Indivisible as error:
                stored = Arrays({}, {WHY: str(error)})
            write_arrays(self._storage, path, stored)
        return None if WHY in stored.facts else SectionPlan.of_arrays(stored)


def part_name(kind: str, number: int) -> str:
    """Name of the file that a part leaves."""
    return kind if kind in ("sound", "hashes") else f"{kind}-{number}"


def _decoded(plan: SectionPlan) -> list[tuple[str, int]]:
    sections = [("section", number) for number in range(len(plan.sections))]
    return [*sections, *([("sound", 0)] if plan.has_sound else [])]


def _measured(plan: SectionPlan) -> list[tuple[str, int]]:
    return [("hashes", 0), *(("measure", number) for number in range(len(plan.parts)))]
