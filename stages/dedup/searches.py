"""Searches: the expensive parts of a step's work, which any worker can do a part of.

A step is a generator. It yields a search whenever it needs one, is sent what was found, and returns its decisions in
the end. So its own code reads from top to bottom, and knows nothing of workers: small searches are done where the step
runs, large ones are divided among workers.
"""

from collections.abc import Generator, Sequence
from typing import Any, Protocol, Self, TypeVar

import pyarrow as pa

from stages.dedup.arrays import VectorSource

R = TypeVar("R")


class Search(Protocol):
    """A search over the vectors of all clips. Cheap to pickle: it names clips by position."""

    def cost(self, vectors: VectorSource) -> float:
        """About how many pairs of vectors are multiplied."""
        ...

    def parts(self, count: int) -> Sequence[Self]:
        """At most `count` searches that together find what this one finds; what they find is combined in order."""
        ...

    def run(self, vectors: VectorSource) -> pa.Table:
        """What it finds."""
        ...

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """What this search finds, from what its parts found."""
        ...


Deciding = Generator[Search, pa.Table, R]
"""Work that yields searches, is sent what they find, and returns its result."""


def run_here(work: Deciding[R], vectors: VectorSource) -> R:
    """The result of the work; every search is done here."""
    found: Any = None
    while True:
        try:
            search = work.send(found)
        except StopIteration as end:
            return end.value
        found = search.run(vectors)
