"""The tasks of a long video that is worked on in sections, and how its parts come together. Light to import.

    LongVideoTask, step 0 ── its sections are not decoded ──> PartTask, many: sections, sound
                   step 1 ── they are not measured ─────────> PartTask, many: parts of the splitter's measure, hashes
                   step 2 ── all is there ──────────────────> the video's signals, and its clips

What a part leaves is a file, see `stages.split.section_files`; so a step finds what an earlier run has done.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from stages.pipeline import ItemResult, Rows
from stages.split.rows import collect_clips
from stages.tasks import Task, Video, VideoTask

NUM_STEPS = 2
"""Times that parts of a video are worked on, each needing those before."""
PART_FRAMES = "part_frames"
"""Counter of the frames that parts stand for, by which progress inside of a long video is told."""
DECODE_SHARE = 0.4
"""Of the work on a frame, about, where it is measured too."""
_PART = b"part"
_DONE, _IN_ONE_PASS = b"done", b"in one pass"


@dataclass(frozen=True, slots=True)
class LongVideoTask(VideoTask):
    """A video whose parts are worked on, or were.

    Attributes:
        step: how often parts of it were handed out.
        in_one_pass: it turned out that it cannot be divided.
        prefix: of the paths of its files, once all of its parts are done.
    """

    step: int = field(kw_only=True, default=0)
    in_one_pass: bool = field(kw_only=True, default=False)
    prefix: str = field(kw_only=True, default="")


@dataclass(frozen=True, slots=True)
class PartTask(Task):
    """One part of the work on a long video.

    Attributes:
        video: as it was planned.
        prefix: of the paths of its files.
        kind: ``section``, ``sound``, ``measure`` or ``hashes``.
        number: of the section or the part, from 0.
        is_refused: it turned out that the video cannot be divided.
    """

    video: Video = field(kw_only=True)
    prefix: str = field(kw_only=True)
    kind: str = field(kw_only=True)
    number: int = field(kw_only=True, default=0)
    is_refused: bool = field(kw_only=True, default=False)


def collect(task: Task) -> Rows:
    """The rows of a video's clips; of a part an empty table that says what became of it."""
    if not isinstance(task, PartTask):
        return collect_clips(task)
    return pa.table({}).replace_schema_metadata({_PART: _IN_ONE_PASS if task.is_refused else _DONE})


def again(task: Task, result: ItemResult) -> Task | None:
    """The video's task once its parts are done; None where the result is that of the video.

    Where a part failed or was refused, the video is decoded in one pass, which tells what is wrong with it.
    """
    told = [_told(outcome) for outcome in result.outcomes]
    if not isinstance(task, VideoTask) or not any(told):
        return None
    step = task.step if isinstance(task, LongVideoTask) else 0
    is_divided = all(each == _DONE for each in told)
    return LongVideoTask(task.task_id, task.group, data=task.data, step=step + 1, in_one_pass=not is_divided)


def _told(outcome: object) -> bytes | None:
    metadata = outcome.schema.metadata if isinstance(outcome, pa.Table) else None
    return (metadata or {}).get(_PART)
