import pytest

from stages.sources import Source, settle
from stages.sources.settling import MAX_WAITING, SettleResult

NOW = 1_000_000.0


def source(name: str, modified: float | None, etag: str = "1") -> Source:
    return Source(name, etag, 1, modified)


def settle_at(*sources: Source, after: float = 0, first_seen: dict[str, float] | None = None) -> SettleResult:
    return settle(sources, now=NOW + after, settle_s=60, first_seen=first_seen or {})


@pytest.mark.parametrize(("age", "ready"), [(0, False), (59, False), (60, True), (1e6, True)])
def test_settle_takes_what_changed_long_enough_ago(age: float, ready: bool) -> None:
    video = source("a", NOW - age)
    assert settle_at(video) == SettleResult([video] if ready else [], {})


@pytest.mark.parametrize("modified", [None, NOW + 3600])
def test_settle_waits_for_what_has_no_usable_time_until_it_was_seen_for_long_enough(modified: float | None) -> None:
    video = source("a", modified)
    first = settle_at(video)
    assert first == SettleResult([], {video.video_id: NOW})
    assert settle_at(video, after=59, first_seen=first.first_seen) == first
    assert settle_at(after=59, first_seen=first.first_seen) == first
    assert settle_at(video, after=60, first_seen=first.first_seen) == SettleResult([video], {})


def test_settle_waits_again_for_what_was_overwritten() -> None:
    newer = source("a", None, "2")
    seen = settle_at(source("a", None)).first_seen
    found = settle_at(newer, after=60, first_seen=seen)
    assert found.ready == []
    assert settle_at(newer, after=120, first_seen=found.first_seen).ready == [newer]


def test_settle_lets_go_of_a_time_that_became_usable() -> None:
    video = source("a", NOW + 10)
    assert settle_at(video, after=20, first_seen=settle_at(video).first_seen) == SettleResult([], {})


def test_settle_remembers_so_many_and_forgets_what_is_gone() -> None:
    many = [source(str(number), None) for number in range(MAX_WAITING + 5)]
    seen = settle_at(*many).first_seen
    assert len(seen) == MAX_WAITING
    found = settle_at(*many, after=60, first_seen=seen)
    assert found.ready == many[:MAX_WAITING]
    assert set(found.first_seen) == {video.video_id for video in many[MAX_WAITING:]}
    assert settle_at(after=86_400 + 60, first_seen=seen).first_seen == {}
