"""Searches: the expensive parts of a step's work, which any worker can do a part of.

A step is a generator. It yields a search whenever it needs one, is sent what was found, and returns its decisions in
the end. So its own code reads from top to bottom, and knows nothing of workers: small searches are done where the step
runs, large ones are divided among workers.
"""

from collections.abc import Generator, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import pyarrow as pa

R = TypeVar("R")

SearchedIn = Literal["vectors", "pictures"]
VECTORS: SearchedIn = "vectors"
PICTURES: SearchedIn = "pictures"


class Search(Protocol):
    """A search over all clips. Cheap to pickle: it names clips by position.

    Attributes:
        searched_in: what `source` is: the vectors of all clips, or what was recorded of their pictures.
    """

    searched_in: ClassVar[SearchedIn]

    def cost(self, source: Any, /) -> float:
        """About how many numbers are multiplied, or as many as take the time that it takes."""
        ...

    def parts(self, count: int) -> Sequence[Self]:
        """At most `count` searches that together find what this one finds; what they find is combined in order."""
        ...

    def run(self, source: Any, /) -> pa.Table:
        """What it finds."""
        ...

    def combine(self, found: Sequence[pa.Table]) -> pa.Table:
        """What this search finds, from what its parts found."""
        ...


Deciding = Generator[Search, pa.Table, R]
"""Work that yields searches, is sent what they find, and returns its result."""


def run_here(work: Deciding[R], vectors: Any, pictures: Any = None) -> R:
    """The result of the work; every search is done here, in vectors or in pictures."""
    found: Any = None
    while True:
        try:
            search = work.send(found)
        except StopIteration as end:
            return end.value
        found = search.run(vectors if search.searched_in == VECTORS else pictures)
