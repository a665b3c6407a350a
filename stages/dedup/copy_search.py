"""The search for copies among the clips of a root."""

from collections.abc import Iterator

import numpy as np

from stages import heartbeat
from stages.dedup.arrays import Positions
from stages.dedup.copies import CopyPair, compare_clips, landmarks_of
from stages.dedup.copy_candidates import HASH_BYTES, WINDOWS, Landmarks, View, candidates
from stages.dedup.copy_store import CopyStore

WINDOWED_CLIPS = 100_000
"""New clips up to which parts of their pictures are looked for too; of more, whole pictures only."""
CLIPS_AT_ONCE = 8_000
"""New clips whose hashes are held through all windows."""


def search_copies(store: CopyStore, new: Positions, known: Positions, *, overlap_min: float) -> Iterator[CopyPair]:
    """Copies among the new clips, and between these and the known ones, by position.

    Args:
        store: of all clips.
        new: positions.
        known: other positions.
        overlap_min: least share of the shorter clip that two must have in common.
    """
    stored = store.landmarks(np.sort(np.concatenate([new, known])))
    views = WINDOWS if len(new) <= WINDOWED_CLIPS else WINDOWS[:1]
    found = {}
    for start in range(0, len(new), CLIPS_AT_ONCE):
        for pair, places in candidates(_looked_for(store, new[start : start + CLIPS_AT_ONCE], views), stored).items():
            found.setdefault(pair, places)
    heartbeat.count("dedup_copy_candidates", len(found))
    for (left, right), places in sorted(found.items()):
        clips = store.clip(left), store.clip(right)
        if clips[0] is not None and clips[1] is not None:
            pair = compare_clips(clips[0], clips[1], places, overlap_min=overlap_min)
            if pair is not None:
                yield pair._replace(left=left, right=right)
        heartbeat.beat()


def _looked_for(store: CopyStore, positions: Positions, views: tuple[View, ...]) -> Landmarks:
    """Hashes of clips in views."""
    numbers, hashes = [np.empty(0, np.int64)], [np.empty((0, len(views), HASH_BYTES), np.uint8)]
    for position in store.by_video(positions):
        clip = store.clip(position)
        if clip is not None:
            found = landmarks_of({position: clip}, views)
            numbers.append(found.clip)
            hashes.append(found.hashes)
        heartbeat.beat()
    return Landmarks(np.concatenate(numbers), np.concatenate(hashes))
