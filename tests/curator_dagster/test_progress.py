import pytest

from curator_dagster.progress import progress_callback, progress_line, progress_logger
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
    ],
)
def test_progress_line_says_how_far_a_phase_is(progress: Progress, line: str) -> None:
    assert progress_line(progress) == line


def test_progress_logger_writes_at_begin_and_end_and_seldom_between() -> None:
    written: list[str] = []
    report = progress_logger(written.append, every_s=60.0)
    for done in (0, 1, 2, 3, 3):
        report(Progress("split", done, 0, 3, 1.0, done / 3))
    report(Progress("filter", 1, 0, 2, 1.0, 0.5))
    assert [line.partition(" items")[0] for line in written] == ["split: 0 of 3", "split: 3 of 3", "filter: 1 of 2"]


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
