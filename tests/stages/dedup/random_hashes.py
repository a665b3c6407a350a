"""Random hashes, and landmarks that have some in common."""

import numpy as np

from stages.dedup.copy_landmarks import Landmarks

RANDOM = np.random.default_rng(12)


def random_hashes(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 32), np.uint8)


def with_changed_bits(hashes: np.ndarray, share: float) -> np.ndarray:
    changed: np.ndarray = np.packbits(RANDOM.random((len(hashes), 256)) < share, axis=1)
    return np.bitwise_xor(hashes, changed)


def landmarks(count: int, num_windows: int, stored: np.ndarray) -> Landmarks:
    clips = np.repeat(np.arange(count), 5)
    near = with_changed_bits(stored[RANDOM.integers(0, len(stored), len(clips) * num_windows)], 0.2)
    return Landmarks(clips, near.reshape(len(clips), num_windows, 32))
