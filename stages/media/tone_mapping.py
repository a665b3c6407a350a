"""Pictures of HDR and wide gamut as SDR pictures of BT.709: 203 nits become white, brighter parts are rolled off.

Light is linear, in nits; 203 of them are the reference white of BT.2408. A picture that is nowhere brighter keeps every
tone; of one that is, tones below a knee are kept, and those above are compressed below white by the curve of BT.2390.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

from stages.media.colour import Colour

SDR_WHITE_NITS = 203.0
PQ_PEAK_NITS = 10_000.0
HLG_PEAK_NITS = 1000.0
"""Of the display that HLG is meant for."""
HLG_SYSTEM_GAMMA = 1.2
"""From light of the scene to light of that display."""
USUAL_PEAK_NITS = 1000.0
"""Peak of a video of which nothing is known."""
PEAK_QUANTILE = 0.999
"""A picture's peak: so much of it is darker. Single brilliant pixels may clip."""
SDR_GAMMA = 2.4
"""Of BT.1886, the display that BT.709 is meant for."""
TABLE_STEPS = 4096
"""Of the table of factors by the square root of light."""

_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # ARIB STD-B67
_TO_BT709 = {
    int(ColorPrimaries.BT2020): np.array(
        [[1.660491, -0.587641, -0.07285], [-0.12455, 1.1329, -0.008349], [-0.018151, -0.100579, 1.11873]], np.float32
    ),
    int(ColorPrimaries.SMPTE432): np.array(
        [[1.22494, -0.22494, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], np.float32
    ),
}
"""Linear RGB of these primaries to linear RGB of BT.709, both with white D65."""
_LUMINANCE = np.array([[0.2126, 0.7152, 0.0722]], np.float32)
"""Of linear RGB of BT.709."""

Light = NDArray[np.float32]


def pq_to_nits(signal: NDArray[np.floating]) -> NDArray[np.floating]:
    """The light of a PQ signal, 0 to 1."""
    power = np.maximum(signal, 0) ** (1 / _M2)
    return PQ_PEAK_NITS * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def nits_to_pq(nits: NDArray[np.floating]) -> NDArray[np.floating]:
    """The PQ signal, 0 to 1, of light."""
    power = (np.maximum(nits, 0) / PQ_PEAK_NITS) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg_to_nits(signal: NDArray[np.floating]) -> NDArray[np.floating]:
    """The light of an HLG signal, 0 to 1.

    The system gamma is applied to each component, as FFmpeg's zscale does. BT.2100 itself applies it to the luminance,
    which gives paler colours.
    """
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    return HLG_PEAK_NITS * scene**HLG_SYSTEM_GAMMA


def roll_off(nits: NDArray[np.floating], peak_nits: float) -> NDArray[np.floating]:
    """Light of up to `peak_nits` brought below `SDR_WHITE_NITS`, by the curve of ITU-R BT.2390 (EETF, black 0)."""
    if peak_nits <= SDR_WHITE_NITS:
        return np.minimum(nits, SDR_WHITE_NITS)
    scale = float(nits_to_pq(np.array(peak_nits)))
    white = float(nits_to_pq(np.array(SDR_WHITE_NITS))) / scale
    knee = 1.5 * white - 0.5
    signal = np.minimum(nits_to_pq(nits) / scale, 1)
    t = np.maximum(signal - knee, 0) / (1 - knee)
    curve = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * white
    return np.where(signal < knee, nits, pq_to_nits(curve * scale))


@dataclass(frozen=True, slots=True)
class ToneMapping:
    """From RGB of one kind of source to RGB of an SDR display of BT.709.

    Attributes:
        transfer: of the source, as `ColorTrc`.
        primaries: of the source, as `ColorPrimaries`; unspecified means BT.2020.
    """

    transfer: int
    primaries: int

    @classmethod
    def of(cls, colour: Colour) -> "ToneMapping":
        """For pictures with this meaning."""
        return cls(colour.transfer, colour.primaries)

    def light(self, picture: NDArray[np.uint16]) -> Light:
        """Linear light of BT.709 in nits, float32 ``[H, W, 3]``; colours outside of BT.709 are clipped at 0.

        Args:
            picture: uint16 ``[H, W, 3]``, RGB, full range.
        """
        light = np.take(_nits_table(self.transfer), picture)
        primaries = ColorPrimaries.BT2020 if self.primaries == ColorPrimaries.UNSPECIFIED else self.primaries
        if primaries in _TO_BT709:
            light = cv2.transform(light, _TO_BT709[int(primaries)])
        return cast(Light, np.maximum(light, 0))

    def to_sdr(self, picture: NDArray[np.uint16], *, peak_nits: float | None = None) -> NDArray[np.uint8]:
        """The picture as an SDR display of BT.709 shows it, uint8 ``[H, W, 3]``.

        Args:
            picture: uint16 ``[H, W, 3]``, RGB, full range.
            peak_nits: of the video; None for the picture's own.
        """
        light = self.light(picture)
        light = below_white(light, peak_of(light) if peak_nits is None else peak_nits)
        # cv2.pow takes nine times as long for zeros.
        signal = cv2.pow(np.maximum(light, np.float32(1e-9)), 1 / SDR_GAMMA)
        return cast(NDArray[np.uint8], cv2.convertScaleAbs(signal, alpha=255))


def sdr_luma(luma: NDArray[np.uint8], colour: Colour) -> NDArray[np.uint8]:
    """Luma as it is coded, of full range, as that of SDR: of greys exactly, of colours about."""
    if not colour.is_hdr:
        return luma
    return cast(NDArray[np.uint8], cv2.LUT(luma, _sdr_luma_table(ToneMapping.of(colour))))


def peak_of(light: Light) -> float:
    """The largest luminance of a picture in nits, single pixels apart.

    Not the largest component, which the chroma noise of a codec doubles in saturated colours.
    """
    luminance = cv2.transform(light, _LUMINANCE).ravel()
    rank = min(len(luminance) - 1, int(PEAK_QUANTILE * len(luminance)))
    return float(np.partition(luminance, rank)[rank])


def _brightest(light: Light) -> Light:
    # Some ten times as fast as max(axis=-1).
    return np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])


def below_white(light: Light, peak_nits: float) -> Light:
    """The light as a share of SDR white, 0 to 1. The brightest component is rolled off, the others in proportion."""
    if peak_nits > SDR_WHITE_NITS:
        brightest = _brightest(light)
        steps = (np.sqrt(np.minimum(brightest / peak_nits, 1)) * (TABLE_STEPS - 1) + 0.5).astype(np.uint16)
        factor = np.take(_roll_off_table(peak_nits), steps)
        light = np.dstack([light[..., channel] * factor for channel in range(3)])
    return np.minimum(light * np.float32(1 / SDR_WHITE_NITS), 1)


@lru_cache(maxsize=8)
def _sdr_luma_table(mapping: ToneMapping) -> NDArray[np.uint8]:
    greys = np.repeat(np.arange(256, dtype=np.uint16)[None, :, None] * np.uint16(257), 3, axis=2)
    return mapping.to_sdr(greys, peak_nits=USUAL_PEAK_NITS)[0, :, 0].copy()


@lru_cache(maxsize=8)
def _nits_table(transfer: int) -> Light:
    """Light in nits by 16-bit signal."""
    signal = np.arange(1 << 16) / ((1 << 16) - 1)
    if transfer == ColorTrc.SMPTE2084:
        light = pq_to_nits(signal)
    elif transfer == ColorTrc.ARIB_STD_B67:
        light = hlg_to_nits(signal)
    else:
        light = SDR_WHITE_NITS * signal**SDR_GAMMA
    return light.astype(np.float32)


@lru_cache(maxsize=64)
def _roll_off_table(peak_nits: float) -> Light:
    """The factor of `roll_off` by the square root of light over peak."""
    nits = peak_nits * np.linspace(0, 1, TABLE_STEPS) ** 2
    return (roll_off(nits, peak_nits) / np.maximum(nits, 1e-6)).astype(np.float32)
