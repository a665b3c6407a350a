"""Finds captions of different clips that say nearly the same: their words are compared as sets.

Equal texts are one. Others are compared where their minhashes agree in a band: of pairs with a
similarity of 0.8, 9,998 of 10,000 are. The result depends on the texts alone, in whatever order they come.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

SIMILAR = 0.8
"""Words in common, as a share of those of both, from which on two captions are near-duplicates. A word that stands
twice counts twice."""
BANDS, ROWS = 16, 4
MAX_COMPARED = 200
"""Texts of a band with equal minhashes that each text is compared with at most; the count is then a lower bound."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W_]+")


def near_duplicates(texts: Sequence[str], clips: Sequence[str]) -> list[int]:
    """For each text, the number of other clips that have nearly the same.

    Args:
        texts: captions.
        clips: the clip of each.
    """
    normal = [" ".join(_WORD.findall(text.casefold())) for text in texts]
    unique = sorted(set(normal))
    place_of = {text: place for place, text in enumerate(unique)}
    clips_of: list[set[str]] = [set() for _ in unique]
    for text, clip in zip(normal, clips, strict=True):
        clips_of[place_of[text]].add(clip)
    neighbours: list[set[int]] = [{place} for place in range(len(unique))]
    for first, second in _similar_pairs([_words(text) for text in unique]):
        neighbours[first].add(second)
        neighbours[second].add(first)
    around = [set[str]().union(*(clips_of[each] for each in places)) for places in neighbours]
    return [len(around[place_of[text]] - {clip}) for text, clip in zip(normal, clips, strict=True)]


def _words(text: str) -> frozenset[tuple[str, int]]:
    """Each word with its number among equal ones."""
    seen: Counter[str] = Counter()
    words: list[tuple[str, int]] = []
    for word in text.split():
        words.append((word, seen[word]))
        seen[word] += 1
    return frozenset(words)


def _similar_pairs(sets: Sequence[frozenset[tuple[str, int]]]) -> set[tuple[int, int]]:
    hashes = [_minhashes(each) for each in sets]
    compared: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for place, each in enumerate(hashes):
            if each is not None:
                buckets[each[band * ROWS : (band + 1) * ROWS].tobytes()].append(place)
        for places in buckets.values():
            for rank, first in enumerate(places):
                compared.update((first, second) for second in places[rank + 1 : rank + 1 + MAX_COMPARED])
    return {(first, second) for first, second in compared if _similarity(sets[first], sets[second]) >= SIMILAR}


def _minhashes(words: frozenset[tuple[str, int]]) -> NDArray[np.uint64] | None:
    """Least value of each of several hashes, uint64 ``[BANDS * ROWS]``; None of no words."""
    if not words:
        return None
    codes = np.array([zlib.crc32(f"{word} {number}".encode()) for word, number in words], np.uint64)
    return _mixed(codes ^ _seeds()).min(axis=1)


@cache
def _seeds() -> NDArray[np.uint64]:
    """One a hash, uint64 ``[BANDS * ROWS, 1]``."""
    return _mixed(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64) << np.uint64(32))[:, None]


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of numbers: the mixing of SplitMix64, whose products are meant to overflow."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def _similarity(first: frozenset[tuple[str, int]], second: frozenset[tuple[str, int]]) -> float:
    common = len(first & second)
    return common / (len(first) + len(second) - common)
