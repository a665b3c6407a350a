"""Makes calls of a store concurrently, so that their waits for an answer overlap."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_CONCURRENT = 8
"""Calls made at the same time: on an object store each takes a round trip."""
_MAX_PARTS = 256
"""Very many items are handed to threads part by part: of a small local file that takes as long as its reading."""


def map_concurrently(call: Callable[[T], R], items: Sequence[T], num_threads: int = MAX_CONCURRENT) -> list[R]:
    """The results of `call` for all items, in their order; `num_threads` calls at a time."""
    size = 1 + len(items) // _MAX_PARTS
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPoolExecutor(num_threads, "row-files") as pool:
        return [result for results in pool.map(lambda part: [*map(call, part)], parts) for result in results]
