from stages.executors.consecutive_deaths import LOST_NODE_S, ConsecutiveDeaths

CRASH = "its process ended without a word"


def deaths(*found: tuple[str, float]) -> ConsecutiveDeaths:
    noted = ConsecutiveDeaths()
    for node, at_s in found:
        noted.add(node, CRASH, at_s)
    return noted


def test_three_on_the_only_node_are_too_many_at_once() -> None:
    assert not deaths(("a", 0.0), ("a", 1.0)).are_too_many({"a"}, 1.0)
    assert deaths(("a", 0.0), ("a", 1.0), ("a", 2.0)).are_too_many({"a"}, 2.0)


def test_on_several_nodes_three_say_nothing_until_ray_had_the_time_to_tell_of_a_lost_one() -> None:
    noted = deaths(("a", 0.0), ("a", 0.1), ("b", 2.0))
    assert not noted.are_too_many({"a", "b", "c"}, 2.0 + LOST_NODE_S - 0.1)
    assert noted.are_too_many({"a", "b", "c"}, 2.0 + LOST_NODE_S)


def test_deaths_on_a_node_that_is_gone_do_not_count() -> None:
    noted = deaths(("a", 0.0), ("a", 0.1), ("b", 2.0))
    assert not noted.are_too_many({"b", "c"}, 2.0 + 10 * LOST_NODE_S)
    noted.add("c", CRASH, 100.0)
    noted.add("c", CRASH, 101.0)
    assert not noted.are_too_many({"b", "c"}, 101.0), "the third of those that are left has just come"
    assert noted.are_too_many({"b", "c"}, 101.0 + LOST_NODE_S)


def test_deaths_of_workers_whose_node_is_not_known_count() -> None:
    assert deaths(("", 0.0), ("", 1.0), ("", 2.0)).are_too_many({"a", "b"}, 2.0 + LOST_NODE_S)


def test_equal_causes_are_told_once() -> None:
    noted = deaths(("a", 0.0), ("b", 1.0))
    noted.add("b", "it made no progress for 2 s", 2.0)
    assert noted.texts == f"{CRASH}; it made no progress for 2 s"
