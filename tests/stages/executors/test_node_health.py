"""Which nodes are left out, by a clock that the test sets."""

import pytest

from stages.executors.node_health import LEAVE_OUT_S, MAX_LEAVE_OUT_S, MAX_NODE_FAILURES, NodeHealth

NODES = {"a", "b"}


class Clock:
    """A clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(health: NodeHealth, node_id: str, times: int = MAX_NODE_FAILURES, nodes: set[str] = NODES) -> None:
    for _ in range(times):
        health.on_failure(node_id, "its disk is full", nodes)


def test_node_is_left_out_after_failures_in_a_row(clock: Clock) -> None:
    health = NodeHealth(clock)
    fail(health, "a", MAX_NODE_FAILURES - 1)
    health.on_success("a")
    fail(health, "a", MAX_NODE_FAILURES - 1)
    assert health.left_out() == set()
    fail(health, "a", 1)
    assert health.left_out() == {"a"}
    assert "its disk is full" in health.told["a"]


def test_node_comes_back_and_goes_for_twice_as_long_at_the_next_failure(clock: Clock) -> None:
    health = NodeHealth(clock)
    fail(health, "a")
    spans = []
    for _ in range(6):
        left_at = clock.now
        while health.left_out():
            clock.now += 1
        spans.append(clock.now - left_at)
        fail(health, "a", 1)
    assert spans == [min(LEAVE_OUT_S * 2**n, MAX_LEAVE_OUT_S) for n in range(6)]


def test_what_fails_everywhere_leaves_one_node(clock: Clock) -> None:
    health = NodeHealth(clock)
    fail(health, "a")
    fail(health, "b", 10)
    assert health.left_out() == {"a"}


def test_only_node_is_never_left_out(clock: Clock) -> None:
    health = NodeHealth(clock)
    fail(health, "a", 10, {"a"})
    assert health.left_out() == set()
