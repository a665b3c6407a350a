"""Copies are found however they were changed; what merely looks alike is not taken for one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stages.dedup.copies import compare_clips, find_copies
from stages.dedup.copy_candidates import viewed_indices
from stages.dedup.copy_hashes import ClipHashes
from stages.dedup.copy_views import WINDOWS, view_hashes, window_hashes
from stages.dedup.copy_windows import WHOLE, Placement
from stages.signals.pdq import pdq_hash
from tests.stages.dedup.drawn_clips import SIDE, Change, clip, crop, mark, noise, place, water, written

CHANGES: dict[str, Change] = {
    "none": lambda picture: picture,
    "gamma": lambda picture: (255 * (picture / 255) ** 0.6).astype(np.float32),
    "contrast": lambda picture: 0.5 * picture + 70,
    "crop": crop(0.9, 0.3, 0.8),
    "large crop": crop(0.78, 0.7, 0.1),
    "mark": mark,
    "noise": noise,
    "blur": lambda picture: cv2.GaussianBlur(picture, (0, 0), 4).astype(np.float32),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found(name: str) -> None:
    pairs = find_copies({3: clip(), 5: clip(change=CHANGES[name], video=1), 7: clip(seed=2, action=3, video=2)}, {})
    assert [(pair.left, pair.right) for pair in pairs] == [(3, 5)]


@pytest.mark.parametrize(
    ("start", "length", "speed"), [(0.0, 4.0, 1.3), (0.0, 4.0, 0.7), (0.7, 2.6, 1.0), (1.5, 4.0, 1.0), (0.5, 3.0, 1.5)]
)
def test_rate_and_offset_of_a_copy_are_told(start: float, length: float, speed: float) -> None:
    (pair,) = find_copies({0: clip(start, length, speed=speed)}, {1: clip(video=1)})
    # second of the original = start + speed * second of the copy
    assert (pair.left, pair.right) == (0, 1)
    assert pair.rate == pytest.approx(speed, rel=0.04)
    assert pair.offset_s == pytest.approx(start, abs=0.1)


def test_pieces_of_one_shot_are_no_copies() -> None:
    pieces = {number: clip(4.0 * number, video=number) for number in range(4)}
    assert find_copies(pieces, {}) == []


def test_another_action_at_the_same_place_is_no_copy() -> None:
    assert find_copies({number: clip(action=number, video=number) for number in range(4)}, {}) == []


@pytest.mark.parametrize("later", [1, 2, 3, 5])
@pytest.mark.parametrize("change", ["none", "crop", "noise"])
def test_a_copy_of_fast_motion_may_begin_some_frames_later(later: int, change: str) -> None:
    """Its hashed pictures lie between those of the original; without the frames there, one is not like the other."""
    original, copy = water(0, 100), water(later, 90, video=1, change=CHANGES[change])
    for pair in ({0: original, 1: copy}, {0: copy, 1: original}):
        (found,) = find_copies(pair, {})
        assert abs(found.offset_s) == pytest.approx(later / 30, abs=0.017)
        assert found.rate == pytest.approx(1, abs=0.02)
    none = {"fast_seconds": np.empty(0), "fast_thumbnails": np.empty((0, 0), np.uint8)}
    assert find_copies({0: replace(original, **none), 1: replace(copy, **none)}, {}) == []


def test_a_copy_of_fast_motion_at_fewer_frames_a_second_is_found() -> None:
    original, copy = water(0, 100), water(2, 90, video=1)
    seconds = np.concatenate([copy.seconds, copy.fast_seconds])
    pictures = np.concatenate([copy.thumbnails, copy.fast_thumbnails])
    chosen = np.argsort(seconds)[::3]
    none = {"fast_seconds": np.empty(0), "fast_thumbnails": np.empty((0, 0), np.uint8)}
    quality = np.full(len(chosen), 80, np.uint8)
    slower = replace(copy, seconds=seconds[chosen], thumbnails=pictures[chosen], quality=quality, **none)
    assert len(find_copies({0: original, 1: slower}, {})) == 1
    assert len(find_copies({0: slower, 1: original}, {})) == 1


def test_pieces_of_one_stretch_of_water_are_no_copies() -> None:
    assert find_copies({number: water(100 * number, 90, video=number) for number in range(4)}, {}) == []


def card(text: str, video: int, *, blur: float = 0) -> ClipHashes:
    picture = written(place(7), text, (30, 110))
    picture = cv2.GaussianBlur(picture, (0, 0), blur).astype(np.float32) if blur else picture
    still = clip(video=video)
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).clip(0, 255).astype(np.uint8)
    return replace(still, thumbnails=np.repeat(small.reshape(1, -1), len(still.seconds), axis=0))


def test_a_still_clip_is_a_copy_of_the_same_picture_only() -> None:
    cards = {0: card("one", 0), 1: card("two", 1), 2: card("one", 2, blur=1.5)}
    assert [(pair.left, pair.right) for pair in find_copies(cards, {})] == [(0, 2)]


def test_black_clips_are_no_copies() -> None:
    shown = clip()
    black = replace(shown, thumbnails=np.full_like(shown.thumbnails, 16), quality=np.zeros_like(shown.quality))
    assert find_copies({0: black, 1: replace(black, video=1)}, {}) == []


@pytest.mark.parametrize(("start", "expected"), [(1.0, True), (1.9, True), (2.1, False), (4.0, False)])
def test_spans_of_one_video_are_compared_by_their_times(start: float, expected: bool) -> None:
    found = compare_clips(clip(), clip(start), [Placement()], overlap_min=0.5)
    assert (found is not None) == expected
    if found is not None:
        assert found.offset_s == pytest.approx(-start)


def test_hashes_through_windows_are_those_of_the_parts() -> None:
    picture = place(4)
    small = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    enlarged = np.asarray(cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR), np.float32)
    bits = np.unpackbits(window_hashes(small[None], (WHOLE,))[0, 0] ^ pdq_hash(enlarged)[0]).sum()
    assert bits <= 4


def test_pictures_are_hashed_alike_one_by_one_and_together() -> None:
    """What is found must not depend on which clips a worker has."""
    luma = clip().pictures().luma
    together = view_hashes(luma, WINDOWS)
    assert together.shape == (len(luma), len(WINDOWS), 32)
    for number in range(0, len(luma), 5):
        assert np.array_equal(view_hashes(luma[number : number + 1], WINDOWS)[0], together[number])


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, [0]), (3, [0, 1, 2]), (5, [0, 1, 3]), (12, [0, 3, 6, 9])])
def test_one_picture_of_three_is_looked_for_in_all_views(count: int, expected: list[int]) -> None:
    assert viewed_indices(count).tolist() == expected
