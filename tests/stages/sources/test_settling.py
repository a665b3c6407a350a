import pytest

from stages.sources.registering import Settling, Source, settle
from stages.sources.settling import MAX_SEEN

NOW = 1_000_000.0


def source(name: str, modified: float | None, etag: str = "1") -> Source:
    return Source(name, etag, 1, modified)


def look(*sources: Source, after: float = 0, seen: dict[str, float] | None = None) -> Settling:
    return settle(sources, now=NOW + after, settle_s=60, seen=seen or {})


@pytest.mark.parametrize(("age", "ready"), [(0, False), (59, False), (60, True), (1e6, True)])
def test_settle_takes_what_changed_long_enough_ago(age: float, ready: bool) -> None:
    video = source("a", NOW - age)
    assert look(video) == Settling([video] if ready else [], {})


@pytest.mark.parametrize("modified", [None, NOW + 3600])
def test_settle_waits_for_what_has_no_usable_time_until_it_was_seen_for_long_enough(modified: float | None) -> None:
    video = source("a", modified)
    first = look(video)
    assert first == Settling([], {video.video_id: NOW})
    assert look(video, after=59, seen=first.seen) == first
    assert look(after=59, seen=first.seen) == first
    assert look(video, after=60, seen=first.seen) == Settling([video], {})


def test_settle_waits_again_for_what_was_overwritten() -> None:
    newer = source("a", None, "2")
    seen = look(source("a", None)).seen
    found = look(newer, after=60, seen=seen)
    assert found.ready == []
    assert look(newer, after=120, seen=found.seen).ready == [newer]


def test_settle_lets_go_of_a_time_that_became_usable() -> None:
    video = source("a", NOW + 10)
    assert look(video, after=20, seen=look(video).seen) == Settling([], {})


def test_settle_remembers_so_many_and_forgets_what_is_gone() -> None:
    many = [source(str(number), None) for number in range(MAX_SEEN + 5)]
    seen = look(*many).seen
    assert len(seen) == MAX_SEEN
    found = look(*many, after=60, seen=seen)
    assert found.ready == many[:MAX_SEEN]
    assert set(found.seen) == {video.video_id for video in many[MAX_SEEN:]}
    assert look(after=86_400 + 60, seen=seen).seen == {}
