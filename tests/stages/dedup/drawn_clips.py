"""Clips that are drawn: where something happens, and what, from which second on, how fast, and how it is changed."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.dedup.copy_hashes import ClipHashes

SIZE = 192
"""Sides of the pictures that are drawn."""
SIDE = 24
RATE = 8
Picture = NDArray[np.float32]
Change = Callable[[Picture], Picture]


def place(seed: int) -> Picture:
    """Where something happens, float32, 0 to 255."""
    rough = np.random.default_rng(seed).uniform(40, 216, (14, 14)).astype(np.float32)
    return cv2.resize(rough, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def at(second: float, background: Picture, action: int) -> Picture:
    """The picture of a time: three discs that go their ways through a place."""
    picture = background.copy()
    random = np.random.default_rng(1000 + action)
    for _ in range(3):
        phase, speed, level = random.uniform(0, 6.3, 2), random.uniform(0.7, 1.6, 2), random.uniform(0, 255)
        x, y = (int(SIZE * (0.5 + 0.4 * value)) for value in np.sin(phase + speed * second))
        cv2.circle(picture, (x, y), 16, float(level), -1)
    return picture


def clip(
    start: float = 0.0,
    length: float = 4.0,
    *,
    seed: int = 1,
    action: int = 1,
    speed: float = 1.0,
    change: Change = lambda picture: picture,
    video: int = 0,
) -> ClipHashes:
    """A clip of what happens at a place, from a second on, at a speed."""
    seconds = np.arange(0, length / speed, 1 / RATE)
    background = place(seed)
    pictures = [change(at(start + speed * second, background, action)) for second in seconds]
    small = [cv2.resize(each, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for each in pictures]
    thumbnails = np.clip(np.stack(small), 0, 255).astype(np.uint8).reshape(len(small), -1)
    quality = np.full(len(seconds), 80, np.uint8)
    none = np.empty(0), np.empty((0, 0), np.uint8)
    return ClipHashes(seconds, thumbnails, quality, *none, video, video, start, start + length)


def crop(share: float, x: float, y: float) -> Change:
    def apply(picture: Picture) -> Picture:
        size = round(SIZE * share)
        left, top = round((SIZE - size) * x), round((SIZE - size) * y)
        return cv2.resize(picture[top : top + size, left : left + size], (SIZE, SIZE)).astype(np.float32)

    return apply


def written(picture: Picture, text: str, where: tuple[int, int]) -> Picture:
    marked = picture.clip(0, 255).astype(np.uint8)
    cv2.putText(marked, text, where, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255,), 4)
    return marked.astype(np.float32)


def mark(picture: Picture) -> Picture:
    return written(picture, "TV", (8, 40))


def noise(picture: Picture) -> Picture:
    return picture + np.random.default_rng(int(picture.sum()) % 1000).normal(0, 20, picture.shape).astype(np.float32)


def water(
    first: int, count: int, *, seed: int = 1, video: int = 0, change: Change = lambda picture: picture
) -> ClipHashes:
    """Frames of water, 30 a second: of its ripples each shows others. One of four is hashed, all are recorded."""
    pictures = []
    for frame in range(first, first + count):
        ripples = np.random.default_rng([seed, frame]).normal(0, 20, (12, 12)).astype(np.float32)
        shown = change(place(seed) + cv2.resize(ripples, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))
        pictures.append(cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA).clip(0, 255).astype(np.uint8))
    seconds, thumbnails = np.arange(count) / 30, np.stack(pictures).reshape(count, -1)
    is_hashed = np.arange(count) % 4 == 0
    none = np.empty(0), np.empty((0, 0), np.uint8)
    return ClipHashes(
        seconds[is_hashed], thumbnails[is_hashed], np.full(int(is_hashed.sum()), 80, np.uint8), *none, video, video,
        first / 30, (first + count) / 30, seconds[~is_hashed], thumbnails[~is_hashed],
    )  # fmt: skip
