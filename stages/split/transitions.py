"""What lies between shots: a cut, or frames of both. Pure: no codec, no arrays."""

from dataclasses import dataclass
from typing import Literal, get_args

TransitionKind = Literal["cut", "dissolve", "fade", "wipe", "other"]
TRANSITION_KINDS: tuple[TransitionKind, ...] = get_args(TransitionKind)


@dataclass(frozen=True, slots=True)
class Transition:
    """Frames [start, end) between two shots, which belong to neither; those of a cut are none, start == end.

        frames        7 8 | 9 10        7 8 9 10 11 12 13
                      a a | b b         a a x  x  x  b  b
        transition    cut at 9          dissolve [9, 12)

    Attributes:
        start: first frame that changes; of a cut the first of the new shot.
        end: first frame of the new shot alone.
        kind: a fade passes through a picture of one colour, or comes from it at the start of a stream or goes to it at
            the end; other is what lasts several frames and is none of the rest.
        probability: that there is one, 0 to 1.

    Raises:
        ValueError: a cut has frames, another kind has none, or the kind is unknown.
    """

    start: int
    end: int
    kind: TransitionKind
    probability: float

    def __post_init__(self) -> None:
        if self.kind not in TRANSITION_KINDS:
            raise ValueError(f"kind must be one of {', '.join(TRANSITION_KINDS)}, got {self.kind!r}.")
        if (self.kind == "cut") != (self.start == self.end) or self.start > self.end:
            raise ValueError(
                f"A cut must have start == end and any other transition start < end, got a {self.kind} from "
                f"{self.start} to {self.end}."
            )


def cut_at(frame: int, probability: float) -> Transition:
    """A cut before this frame."""
    return Transition(frame, frame, "cut", probability)
