"""Many small files at once: a store answers each after a while, and that while is the same for all."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

READERS = 8
"""Row files that are read at once: on an object store each costs a round trip."""


def read_at_once(read: Callable[[T], R], files: Sequence[T]) -> list[R]:
    """What `read` returns for each file, in their order; `READERS` at a time."""
    with ThreadPoolExecutor(READERS, "row-files") as pool:
        return list(pool.map(read, files))
