"""Caption: a text for each window of a clip, from its stored pictures."""

from stages.caption.phase import CaptionPhase

__all__ = ["CaptionPhase"]
