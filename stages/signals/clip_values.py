"""Values of a clip among its video's signals, of which a score is reduced. Light to import."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.models import SPEECH_BLOCK_S
from stages.signals.samples import Samples


def whole_pairs(flow: Samples, start: int, end: int) -> Samples:
    """The pairs of pictures that lie within frames [start, end), of the measure ``flow``."""
    inside = flow.within(start, end)
    is_whole = inside.frame + inside["flow_gap"] < end
    return Samples(inside.frame[is_whole], {name: values[is_whole] for name, values in inside.values.items()})


def motion_values(flow: Samples, start: int, end: int) -> NDArray[np.floating[Any]]:
    """The motion of each pair, in picture diagonals a second; its mean is ``flow_mean``."""
    return whole_pairs(flow, start, end)["flow"]


def speech_share(speech: Samples, start: int, end: int, *, duration_s: float, threshold: float) -> float | None:
    """The share of a clip's time with a probability of speech of at least `threshold`, of the measure ``speech``.

    None where the video has no sound that decodes.

    Args:
        speech: of the video.
        start: first frame of the clip.
        end: one past its last.
        duration_s: of the clip.
        threshold: 0 to 1.
    """
    if not len(speech) or duration_s <= 0:
        return None
    num_spoken = int(np.count_nonzero(speech.within(start, end)["speech"] >= threshold))
    return min(1.0, num_spoken * SPEECH_BLOCK_S / duration_s)


def sharpness_values(sharpness: Samples, start: int, end: int) -> NDArray[np.floating[Any]]:
    """The sharpness of each sampled frame; the mean of their upper half is ``sharpness``."""
    return sharpness.within(start, end)["sharpness"]
