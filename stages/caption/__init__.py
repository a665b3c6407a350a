"""The caption phase: one text for each window of a clip, from its sampled frames.

In: kept rows of `filtered_clips`, and frames of the frame store. Out: rows of `captions`, one per window.
"""

from stages.caption.phase import CaptionPhase

__all__ = ["CaptionPhase"]
