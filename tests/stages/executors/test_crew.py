"""How long workers are waited for, also where nobody watched them for a while."""

import time
from collections.abc import Iterator

import pytest

from stages.executors import crew as of_crew
from stages.executors.cluster import Cluster, Shape
from stages.executors.crew import POLL_S, Crew
from stages.executors.hand import Call, Doing, Hand
from stages.params import ExecutorParams
from tests.faults.waiting import wait_until

pytestmark = pytest.mark.usefixtures("ray_cluster")


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """One that has little patience, and one worker."""
    for limit in ("START_LIMIT_S", "LEAVE_LIMIT_S"):
        monkeypatch.setattr(of_crew, limit, 1.0)
    cluster = Cluster("auto")
    ready = Crew(cluster, ExecutorParams(num_workers=1))
    ready.start(Shape(1, 0))
    try:
        yield ready
    finally:
        ready.close()
        cluster.close()


@pytest.mark.parametrize("doing", [Doing.START, Doing.LEAVE])
def test_worker_has_its_time_again_after_nobody_watched(crew: Crew, doing: Doing) -> None:
    (hand,) = crew.hands
    assert hand.call is not None
    hand.call.doing = doing
    time.sleep(2 * POLL_S + 0.1)
    assert list(crew.overdue()) == []
    began, late = time.monotonic(), list[Hand]()

    def is_late() -> bool:
        late.extend(each for each, _ in crew.overdue())
        return bool(late)

    wait_until(is_late, told=lambda: late)
    assert late == [hand]
    assert time.monotonic() - began > 0.9


def test_time_that_nobody_watched_does_not_reach_into_the_future() -> None:
    hand = Hand("1", Shape(1, 0), None, Call(Doing.BATCH, None, since=90.0), progress_at=20.0)  # type: ignore[arg-type]
    hand.wait_longer(70.0, 100.0)
    assert hand.call is not None
    assert (hand.progress_at, hand.call.since) == (90.0, 100.0)
