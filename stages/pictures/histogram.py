"""A histogram of kept and rejected rows as a very small SVG, since Dagster shows only short Markdown at once.

All colours are of middle brightness: the page behind may be light or dark, and an embedded picture cannot know.

    61 kept  23 rejected  ≥ 0.0005     thresholds in words
    ┊▇▇                                each bin: kept below, rejected on top
    ┊▇▇▇▇▁▁▁   ▁                       dashed: the thresholds that lie on the axis
    0.0005                    0.21     the axis; logarithmic where all values are positive and far apart
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

KEPT, REJECTED, LIMIT, TEXT = "#48f", "#e83", "#c4a", "#78a"
BINS = 20
BIN_PX = 13
TOP_PX, BOTTOM_PX = 16, 66
DIGIT_PX = 6
"""Width of a letter of an axis's number, about."""
LOG_FROM = 50.0
"""Largest over smallest value from which on the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit that values are held to: at least (min) or at most (max) this."""

    value: float
    bound: Literal["min", "max"]

    @property
    def label(self) -> str:
        """As it stands in the picture."""
        return f"{'≥' if self.bound == 'min' else '≤'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Histogram:
    """One figure of many rows.

    Attributes:
        name: of the figure, as a column would be named.
        kept: values of the rows that were kept; what is not finite is left out.
        rejected: of those that were not.
        thresholds: what they were held to.
    """

    name: str
    kept: Values
    rejected: Values
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    is_log: bool

    def places(self, values: Values) -> Values:
        """Where values lie, 0 at the left end and 1 at the right."""
        low, high = self.low, self.high
        if self.is_log:
            values, low, high = np.log(values), math.log(low), math.log(high)
        return (values - low) / (high - low)


def draw(histogram: Histogram) -> bytes:
    """The histogram as SVG, some 700 bytes; empty where no row has a value."""
    kept, rejected = (values[np.isfinite(values)] for values in (histogram.kept, histogram.rejected))
    if not len(kept) + len(rejected):
        return b""
    axis = _axis(np.concatenate([kept, rejected]), [limit.value for limit in histogram.thresholds])
    bins = [np.histogram(np.clip(axis.places(values), 0, 1), BINS, (0, 1))[0] for values in (kept, rejected)]
    highest = max(1, int((bins[0] + bins[1]).max()))
    high = _number(axis.high)
    parts = [
        _text(0, 11, f"{len(kept)} kept", KEPT),
        _area(REJECTED, (bins[0] + bins[1]) / highest) if len(rejected) else "",
        _area(KEPT, bins[0] / highest),
        _text(75, 11, f"{len(rejected)} rejected", REJECTED) if len(rejected) else "",
        _limits(axis, histogram.thresholds),
        _text(0, BOTTOM_PX + 12, _number(axis.low)),
        _text(105, BOTTOM_PX + 12, "log") if axis.is_log else "",
        _text(BINS * BIN_PX + 8 - DIGIT_PX * len(high), BOTTOM_PX + 12, high),
    ]
    size = f'width="{BINS * BIN_PX + 10}" height="{BOTTOM_PX + 15}"'
    style = f'style="font:11px sans-serif" fill="{TEXT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'.encode()


def _text(x: int, y: int, text: str, fill: str = "") -> str:
    attributes = (f' x="{x}"' if x else "") + (f' fill="{fill}"' if fill else "")
    return f'<text y="{y}"{attributes}>{text}</text>'


def _area(fill: str, heights: Values) -> str:
    """One path over all bins, 0 to 1 high; what has a row is seen."""
    tall = BOTTOM_PX - TOP_PX
    tops = [BOTTOM_PX - max(1, round(height * tall)) if height else BOTTOM_PX for height in heights]
    steps = "".join(f"V{top}h{len(list(bins)) * BIN_PX}" for top, bins in groupby(tops))
    return f'<path fill="{fill}" d="M0 {BOTTOM_PX}{steps}V{BOTTOM_PX}z"/>'


def _limits(axis: _Axis, thresholds: Sequence[Threshold]) -> str:
    """The thresholds in words, and a line at each that the axis holds."""
    if not thresholds:
        return ""
    places = [axis.places(np.array(limit.value)) for limit in thresholds if axis.low <= limit.value <= axis.high]
    lines = "".join(f"M{1 + float(place) * (BINS * BIN_PX - 2):.0f} {TOP_PX - 2}V{BOTTOM_PX}" for place in places)
    drawn = f'<path stroke="{LIMIT}" stroke-dasharray="4" d="{lines}"/>' if lines else ""
    return _text(160, 11, " ".join(limit.label for limit in thresholds), LIMIT) + drawn


def _number(value: float) -> str:
    """Three digits, or all of an integer part that is not too long."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _axis(values: Values, limits: list[float]) -> _Axis:
    """From the smallest to the largest value, and out to the thresholds that lie near."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > LOG_FROM:
        near = [value for value in limits if low / LOG_FROM <= value <= high * LOG_FROM]
        return _Axis(min([low, *near]), max([high, *near]), is_log=True)
    reach = max(high - low, abs(high) / 2) or 1.0
    near = [value for value in limits if low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    return _Axis(low, high if high > low else low + (abs(low) or 1.0), is_log=False)
