"""Decoded sound as one channel of one rate, in pieces that go on without a gap."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

MAX_DRIFT_S = Fraction(1, 10)
"""Sound whose time differs by more from what the sound before it makes expect begins a new piece. Containers round
times, and some count whole packets."""


@dataclass(frozen=True, slots=True)
class SoundPiece:
    """Sound that goes on from the piece before it, or begins.

    Attributes:
        samples: float32 ``[S]``, -1 to 1.
        begins_s: time of the first one where sound begins, after a gap too; None where it goes on.
    """

    samples: NDArray[np.float32]
    begins_s: float | None


class MonoSound:
    """Mixes the channels of decoded frames, and resamples them.

    Args:
        rate_hz: samples a second of the result.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._resampler: AudioResampler | None = None
        self._format: tuple[int, str, str] | None = None
        self._expected_s = Fraction(0)

    def push(self, frame: AudioFrame) -> Iterator[SoundPiece]:
        """Add the next frame, whose PTS is lost by it. One without a time goes on from the frame before."""
        format_ = (frame.sample_rate, frame.layout.name, frame.format.name)
        pts, unit = frame.pts, frame.time_base
        begins_s = self._expected_s if pts is None or unit is None else pts * unit
        if format_ != self._format or abs(begins_s - self._expected_s) > MAX_DRIFT_S:
            yield from self.finish()
            self._format, self._expected_s = format_, begins_s
            self._resampler = AudioResampler("flt", "mono", self._rate_hz)
            yield SoundPiece(np.zeros(0, np.float32), float(begins_s))
        self._expected_s += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler would fill gaps by rules of its own
        yield from self._resampled(frame)

    def finish(self) -> Iterator[SoundPiece]:
        """What the resampler still holds."""
        yield from self._resampled(None)
        self._resampler = self._format = None

    def _resampled(self, frame: AudioFrame | None) -> Iterator[SoundPiece]:
        for each in self._resampler.resample(frame) if self._resampler is not None else ():
            yield SoundPiece(each.to_ndarray().reshape(-1).astype(np.float32, copy=False), None)
