"""Peak of HDR: how bright sampled frames are."""

from array import array
from fractions import Fraction

import numpy as np

from stages.media import Colour, NearestSampler, UprightScaler, fit, peak_of
from stages.signals.frame_pictures import FramePictures
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.tasks import Row

SAMPLES_PER_S = 2.0
LONG_SIDE_PX = 448


class PeakLightRecorder(Recorder):
    """Measures the largest luminance of two frames a second, single pixels apart. Frames of SDR have no peak.

    Args:
        time_base: seconds per unit of PTS.
    """

    name = "peak_light"
    clip_columns = ("hdr_peak_nits",)

    def __init__(self, time_base: Fraction) -> None:
        self._sampler = NearestSampler(SAMPLES_PER_S, time_base)
        self._scaler: UprightScaler | None = None
        self._frames, self._peaks = array("q"), array("d")

    def push(self, pictures: FramePictures) -> None:
        """Add the next frame."""
        frame = pictures.decoded.frame
        if not self._sampler.push(pictures.decoded.pts).current or not Colour.of(frame).is_hdr:
            return
        if self._scaler is None:
            self._scaler = UprightScaler(fit(pictures.displayed_size, LONG_SIDE_PX))
        self._frames.append(pictures.decoded.index)
        self._peaks.append(peak_of(self._scaler.light(frame)))

    def skip(self, pts: int) -> None:
        """Count its time."""
        self._sampler.push(pts)

    def samples(self) -> Samples:
        """``peak_nits`` ``[N]``."""
        return Samples(np.array(self._frames, np.int64), {"peak_nits": np.array(self._peaks, np.float64)})

    @classmethod
    def reduce(cls, samples: Samples, start: int, end: int) -> Row:
        """The largest; None for SDR."""
        peaks = samples.within(start, end)["peak_nits"]
        return {"hdr_peak_nits": float(peaks.max()) if len(peaks) else None}
