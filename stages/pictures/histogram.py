"""Draws a histogram of kept and rejected rows as a very small SVG, since Dagster shows only short Markdown inline.

All colours have medium brightness: the background of the page may be light or dark.

    61 kept  23 rejected  ≥ 0.0005     counts and thresholds
    ┊▇▇                                bins: kept below, rejected on top
    ┊▇▇▇▇▁▁▁   ▁                       dashed lines: thresholds within the axis
    0.0005                    0.21     axis: logarithmic where all values are positive and far apart
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

KEPT_COLOUR, REJECTED_COLOUR, LIMIT_COLOUR, TEXT_COLOUR = "#48f", "#e83", "#c4a", "#78a"
NUM_BINS = 20
BIN_PX = 13
TOP_PX, BOTTOM_PX = 16, 66
CHAR_PX = 7
"""Width of a digit of the axis labels in the widest of the usual fonts; in a narrower one they end further left."""
LOG_MIN_RATIO = 50.0
"""Ratio of the largest to the smallest value above which the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A lower bound (min) or an upper bound (max) on values."""

    value: float
    bound: Literal["min", "max"]

    @property
    def label(self) -> str:
        """The text in the picture."""
        return f"{'≥' if self.bound == 'min' else '≤'} {self.value:g}"


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values of kept and rejected rows.

    Attributes:
        name: in the form of a column name.
        kept: values of kept rows; values that are not finite are left out.
        rejected: values of rejected rows, likewise.
        thresholds: bounds on the values.
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

    def positions(self, values: Values) -> Values:
        """Positions of values on the axis, from 0 at the left end to 1 at the right."""
        low, high = self.low, self.high
        if self.is_log:
            values, low, high = np.log(values), math.log(low), math.log(high)
        return (values - low) / (high - low)


def draw_svg(histogram: Histogram) -> bytes:
    """The histogram as SVG of about 700 bytes; empty where no row has a value."""
    kept, rejected = (values[np.isfinite(values)] for values in (histogram.kept, histogram.rejected))
    if not len(kept) + len(rejected):
        return b""
    axis = _axis(np.concatenate([kept, rejected]), [limit.value for limit in histogram.thresholds])
    bins = [np.histogram(np.clip(axis.positions(values), 0, 1), NUM_BINS, (0, 1))[0] for values in (kept, rejected)]
    highest = max(1, int((bins[0] + bins[1]).max()))
    high = _format_number(axis.high)
    parts = [
        _text(0, 11, f"{len(kept)} kept", KEPT_COLOUR),
        _bars(REJECTED_COLOUR, (bins[0] + bins[1]) / highest) if len(rejected) else "",
        _bars(KEPT_COLOUR, bins[0] / highest),
        _text(75, 11, f"{len(rejected)} rejected", REJECTED_COLOUR) if len(rejected) else "",
        _threshold_lines(axis, histogram.thresholds),
        _text(0, BOTTOM_PX + 12, _format_number(axis.low)),
        _text(105, BOTTOM_PX + 12, "log") if axis.is_log else "",
        _text(NUM_BINS * BIN_PX + 8 - CHAR_PX * len(high), BOTTOM_PX + 12, high),
    ]
    size = f'width="{NUM_BINS * BIN_PX + 10}" height="{BOTTOM_PX + 15}"'
    style = f'style="font:11px sans-serif" fill="{TEXT_COLOUR}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>'.encode()


def _text(x: int, y: int, text: str, fill: str = "") -> str:
    attributes = (f' x="{x}"' if x else "") + (f' fill="{fill}"' if fill else "")
    return f'<text y="{y}"{attributes}>{text}</text>'


def _bars(fill: str, heights: Values) -> str:
    """One path over all bins, with heights from 0 to 1. A bin with any row is at least one pixel high."""
    height_px = BOTTOM_PX - TOP_PX
    tops = [BOTTOM_PX - max(1, round(height * height_px)) if height else BOTTOM_PX for height in heights]
    steps = "".join(f"V{top}h{len(list(bins)) * BIN_PX}" for top, bins in groupby(tops))
    return f'<path fill="{fill}" d="M0 {BOTTOM_PX}{steps}V{BOTTOM_PX}z"/>'


def _threshold_lines(axis: _Axis, thresholds: Sequence[Threshold]) -> str:
    """The labels of the thresholds, and a dashed line at each threshold within the axis."""
    if not thresholds:
        return ""
    positions = [axis.positions(np.array(limit.value)) for limit in thresholds if axis.low <= limit.value <= axis.high]
    lines = "".join(
        f"M{1 + float(position) * (NUM_BINS * BIN_PX - 2):.0f} {TOP_PX - 2}V{BOTTOM_PX}" for position in positions
    )
    drawn = f'<path stroke="{LIMIT_COLOUR}" stroke-dasharray="4" d="{lines}"/>' if lines else ""
    return _text(160, 11, " ".join(limit.label for limit in thresholds), LIMIT_COLOUR) + drawn


def _format_number(value: float) -> str:
    """Three significant digits, or the whole integer part from 1000 to a million."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _axis(values: Values, limits: list[float]) -> _Axis:
    """An axis from the smallest to the largest value, extended to thresholds that are near."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > LOG_MIN_RATIO:
        near = [value for value in limits if low / LOG_MIN_RATIO <= value <= high * LOG_MIN_RATIO]
        return _Axis(min([low, *near]), max([high, *near]), is_log=True)
    margin = max(high - low, abs(high) / 2) or 1.0
    near = [value for value in limits if low - margin <= value <= high + margin]
    low, high = min([low, *near]), max([high, *near])
    return _Axis(low, high if high > low else low + (abs(low) or 1.0), is_log=False)
