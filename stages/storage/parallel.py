"""Makes calls of a store concurrently, so that their waits for an answer overlap."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_CONCURRENT = 8
"""Calls made at the same time: on an object store each takes a round trip."""


def map_concurrently(call: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """The results of `call` for all items, in their order; `MAX_CONCURRENT` calls at a time."""
    with ThreadPoolExecutor(MAX_CONCURRENT, "row-files") as pool:
        return list(pool.map(call, items))
