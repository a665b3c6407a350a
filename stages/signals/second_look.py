"""Looks at the suspected frames of a damaged video once more, and acquits those whose pictures prove them whole."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
from av.container import InputContainer

from stages.errors import CorruptStream
from stages.media import decode_frames
from stages.signals.damage import DamageRecorder
from stages.signals.frame_pictures import FrameScaler
from stages.signals.pair_motion import SHORT_SIDE_PX
from stages.signals.picture_proof import LONG_SIDE_PX, Flags, Step, StepMeter, Suspects, proven_frames
from stages.signals.samples import Samples
from stages.signals.stored_signals import Signals


def acquit(
    signals: Signals, suspects: Suspects, open_again: Callable[[], AbstractContextManager[InputContainer]]
) -> Signals:
    """The signals with the suspected frames acquitted that headers or their pictures prove whole.

    The video is decoded a second time, from the first of these frames to the last; not at all without any.

    Args:
        signals: of the decode.
        suspects: of the same decode.
        open_again: opens the video.
    """
    keyframes: Sequence[int] = signals.keyframes.tolist()
    wanted = suspects.wanted_steps(keyframes)
    whole = suspects.sound
    if wanted.any():
        with open_again() as container:
            steps = _steps(container, signals, wanted)
        whole = whole | proven_frames(suspects, keyframes, steps)
    if not whole.any():
        return signals
    damage = signals.samples[DamageRecorder.name]
    values = {**damage.values, "is_damaged": damage["is_damaged"] & ~whole}
    return replace(signals, samples={**signals.samples, DamageRecorder.name: Samples(damage.frame, values)})


def _steps(container: InputContainer, signals: Signals, wanted: Flags) -> dict[int, Step]:
    """The wanted steps, by their second frame. Frames that decode otherwise than at first prove nothing."""
    places = np.flatnonzero(wanted)
    first, last = int(places[0]) - 1, int(places[-1])
    needed = wanted | np.append(wanted[1:], False)
    meter, scaler = StepMeter(), FrameScaler()
    steps: dict[int, Step] = {}
    before: tuple[int, np.ndarray] | None = None
    try:
        for decoded in decode_frames(container, decoded_from=int(signals.pts[first])):
            index = int(np.searchsorted(signals.pts, decoded.pts))
            if index > last:
                break
            if signals.pts[index] != decoded.pts or not needed[index]:
                before = None
                continue
            picture = scaler(decoded).luma(LONG_SIDE_PX, min_px=SHORT_SIDE_PX)
            if before is not None and before[0] == index - 1 and before[1].shape == picture.shape:
                steps[index] = meter.measure(before[1], picture)
            before = (index, picture)
    except CorruptStream:
        pass  # the first decode has told
    return steps
