import dagster as dg
import pytest

from curator_dagster.progress import format_duration, progress_callback, progress_line, progress_logger
from stages.params import ExecutorParams
from stages.run import Progress, Session


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress("split", 0, 0, 8, 2.0, 0.0), "split: 0 of 8 items, 2 s"),
        (Progress("split", 2, 1, 8, 4.0, 0.25), "split: 2 of 8 items, 1 failed, 30.0 items/min, 4 s, about 12 s left"),
        (Progress("split", 2, 0, 3, 30.0, 0.02), "split: 2 of 3 items, 4.0 items/min, 30 s"),
        (
            Progress("split", 3_000, 0, 9_000, 2_000.0, 0.25),
            "split: 3000 of 9000 items, 1.5 items/s, 33 min, about 1 h 40 min left",
        ),
        (Progress("split", 8, 0, 8, 16.0, 1.0), "split: 8 of 8 items, 30.0 items/min, 16 s"),
        (Progress("read", 0, 0, 8, 2.0, 0.0, "starting Ray", 2.0), "read: starting Ray ..., 0 of 8 items, 2 s"),
        (
            Progress("split", 0, 0, 1, 50.0, 0.25, starting_s=10, video_s=900, video_total_s=3600, frames=22_500),
            "split: 15.0 of 60.0 min of video, 0 of 1 items, 562 frames/s, 50 s, about 2 min left",
        ),
        (
            Progress("filter", 9, 0, 10, 50.0, 0.1, video_s=9, video_total_s=90, frames=225, slowest_s=900.0),
            "filter: 9 of 90 s of video, 9 of 10 items, 4.5 frames/s, 50 s, about 15 min left",
        ),
        (
            Progress("split", 6, 0, 6, 99.0, 0.5, "", 0, 7200, 720_000, 99, 0, 2, 4, is_planned=False),
            "split: 2.0 of about 200.0 h of video, 6 of 6 or more items, 2 of 4 partitions, 1.0 frames/s, 99 s, "
            "about 99 s left",
        ),
    ],
)
def test_progress_line_says_how_far_a_phase_is(progress: Progress, line: str) -> None:
    assert progress_line(progress) == line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (99.4, "99 s"),
        (100.0, "1 min 40 s"),
        (131.0, "2 min 10 s"),
        (176.0, "3 min"),
        (594.9, "9 min 50 s"),
        (599.0, "10 min"),
        (2_000.0, "33 min"),
        (6_000.0, "1 h 40 min"),
    ],
)
def test_duration_is_rounded_for_reading(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_progress_logger_writes_at_begin_and_end_and_seldom_between() -> None:
    written: list[str] = []
    report = progress_logger(written.append, every_s=60.0)
    for done in (0, 1, 2, 3, 3):
        report(Progress("split", done, 0, 3, 1.0, done / 3))
    report(Progress("filter", 1, 0, 2, 1.0, 0.5))
    assert [line.partition(" items")[0] for line in written] == ["split: 0 of 3", "split: 3 of 3", "filter: 1 of 2"]


def test_progress_logger_tells_each_thing_that_precedes_the_work_and_no_early_end() -> None:
    written: list[str] = []
    report = progress_logger(written.append, every_s=60.0)
    for activity in ("starting Ray", "starting Ray", "setting up workers", ""):
        report(Progress("split", 0, 0, 2, 1.0, 0.0, activity))
    report(Progress("split", 2, 0, 2, 1.0, 0.5, is_planned=False))
    report(Progress("split", 4, 0, 4, 1.0, 1.0))
    assert [line.partition(",")[0] for line in written] == [
        "split: starting Ray ...",
        "split: setting up workers ...",
        "split: 0 of 2 items",
        "split: 4 of 4 items",
    ]


def test_progress_logger_writes_when_due() -> None:
    written: list[str] = []
    report = progress_logger(written.append, every_s=0.0)
    for done in range(4):
        report(Progress("split", done, 0, 9, 1.0, done / 9))
    assert len(written) == 4


def test_progress_callback_keeps_the_one_before() -> None:
    first: list[Progress] = []
    second: list[Progress] = []
    session = Session(ExecutorParams(mode="local"), first.append)
    progress = Progress("split", 0, 0, 1, 0.0, 0.0)
    with progress_callback(session, second.append):
        assert session.on_progress is not None
        session.on_progress(progress)
    session.on_progress(progress)
    assert (len(first), len(second)) == (2, 1)


def test_steps_log_what_comes_before_the_work_and_its_end(
    job: dg.JobDefinition, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    config: dict[str, object] = {"ops": {"videos": {"config": {"max_failed_fraction": 1.0}}}}
    result = job.execute_in_process(
        instance=instance, run_config=config, partition_key=partitions[0], asset_selection=[dg.AssetKey("videos")]
    )
    lines = [event.user_message for event in instance.all_logs(result.run_id) if event.user_message.startswith("read:")]
    assert lines[0].startswith("read: setting up stages ..., 0 of 2 items")
    assert any(line.startswith("read: 2 of 2 items, 1 failed") for line in lines)
