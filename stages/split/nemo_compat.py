"""NeMo Curator's rules from shot predictions to clips, in whole frames, quirks included, for ``split.compat=nemo``.

Differences from ours: a scene ends where a transition begins, the video's last frame is left out, every piece is
cropped at both ends, and a transition at the start of the video is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Scene = tuple[int, int]
"""Frames [start, end)."""


@dataclass(frozen=True, slots=True)
class FrameLengthRules:
    """Lengths in frames; 0 disables a rule.

    Attributes:
        min_length: shorter scenes are dropped, after cropping.
        max_length: longer scenes are strided or truncated.
        crop: frames removed at both ends of every piece.
        mode: ``"stride"`` or ``"truncate"``.
    """

    min_length: int = 0
    max_length: int = 0
    crop: int = 0
    mode: str = "stride"


def scenes(predictions: Sequence[bool]) -> list[Scene]:
    """Scenes between transitions; none where there is no transition.

    The last scene ends one frame early, and may be empty. A transition at frame 0 ends no scene.
    """
    found: list[Scene] = []
    start = 0
    previous = False
    for frame, current in enumerate(predictions):
        if previous and not current:
            start = frame
        if current and not previous and frame:
            found.append((start, frame))
        previous = current
    if found and not previous:
        found.append((start, len(predictions) - 1))
    return found


def scenes_or_whole(predictions: Sequence[bool]) -> list[Scene]:
    """Scenes between transitions; the whole video as one scene where there is none."""
    return scenes(predictions) or [(0, len(predictions))]


def filter_scenes(found: Sequence[Scene], rules: FrameLengthRules) -> list[Scene]:
    """Shorten scenes to the maximum length, crop every piece, then drop those below the minimum length.

    Raises:
        ValueError: the mode is unknown.
    """
    if rules.max_length:
        found = [piece for scene in found for piece in _limit_length(scene, rules)]
    cropped = [(start + rules.crop, end - rules.crop) for start, end in found]
    if rules.crop:
        cropped = [(start, end) for start, end in cropped if end > start]
    return [(start, end) for start, end in cropped if end - start >= rules.min_length]


def _limit_length(scene: Scene, rules: FrameLengthRules) -> Iterator[Scene]:
    if rules.mode == "stride":
        yield from consecutive_spans(*scene, max_length=rules.max_length, min_length=rules.min_length)
    elif rules.mode == "truncate":
        yield scene[0], min(scene[1], scene[0] + rules.max_length)
    else:
        raise ValueError(f"mode must be 'stride' or 'truncate', got {rules.mode!r}.")


def consecutive_spans(start: int, end: int, *, max_length: int, min_length: int = 0) -> Iterator[Scene]:
    """Consecutive spans of the maximum length; a last one below the minimum length is dropped."""
    for first in range(start, end, max_length):
        last = min(first + max_length, end)
        if last - first >= min_length:
            yield first, last
