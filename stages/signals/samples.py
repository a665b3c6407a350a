"""Values that one measure took of a video's frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Samples:
    """Values of one measure, at every frame or at some.

    Attributes:
        frame: int64 ``[N]``, the frames that have values, by index in presentation order from 0; rises. A measure of
            several values a frame, such as one of its sound, has the same frame again for each.
        values: by column, ``[N]`` or, for several values a sample, ``[N, K]``.
    """

    frame: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.values[column]

    def within(self, start: int, end: int) -> "Samples":
        """The samples of frames [start, end)."""
        first, last = np.searchsorted(self.frame, [start, end])
        return Samples(self.frame[first:last], {name: column[first:last] for name, column in self.values.items()})


def concatenated(parts: Sequence[Samples]) -> Samples:
    """The samples of all parts, in their order; frames must rise from part to part."""
    filled = [each for each in parts if len(each)] or list(parts[:1])
    values = {name: np.concatenate([each[name] for each in filled]) for name in filled[0].values}
    return Samples(np.concatenate([each.frame for each in filled]), values)
