import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from stages.pictures.histogram import LIMIT_COLOUR, REJECTED_COLOUR, Histogram, Threshold, draw_svg
from tests.stages.pictures.svg_texts import texts

NONE = np.array([])


def lines_at(svg: bytes) -> list[int]:
    """Where thresholds are drawn, in pixels."""
    (path,) = re.findall(rf'stroke="{LIMIT_COLOUR}"[^>]* d="([^"]*)"', svg.decode()) or [""]
    return [int(x) for x in re.findall(r"M(\d+) ", path)]


def test_histogram_shows_counts_axis_and_thresholds() -> None:
    kept, rejected = np.array([0.2, 0.9, 1.0]), np.array([0.0])
    svg = draw_svg(Histogram("s", kept, rejected, (Threshold(0.1, "min"), Threshold(50.0, "max"))))
    assert texts(svg) == ["3 kept", "1 rejected", "≥ 0.1 ≤ 50", "0", "1"]
    assert lines_at(svg) == [27]  # a tenth of 260 px; 50 is far off the axis


def test_histogram_reaches_out_to_a_threshold_that_is_near() -> None:
    svg = draw_svg(Histogram("s", np.array([6.0, 8.0]), NONE, (Threshold(5.0, "min"),)))
    assert texts(svg)[-2:] == ["5", "8"]
    assert lines_at(svg) == [1]


@pytest.mark.parametrize("highest", [10.0, 1280.0, 0.000942, 2.79e-05])
def test_histogram_ends_its_axis_inside_the_picture(highest: float) -> None:
    svg = ElementTree.fromstring(draw_svg(Histogram("s", np.array([0.0, highest]), NONE)))
    *_, last = svg.iter("{http://www.w3.org/2000/svg}text")
    assert float(last.attrib["x"]) + 7 * len(last.text or "") <= float(svg.attrib["width"])


def test_histogram_of_values_far_apart_is_logarithmic() -> None:
    svg = draw_svg(Histogram("s", np.array([1.0, 10.0, 10_000.0]), NONE, (Threshold(100.0, "min"),)))
    assert "log" in texts(svg)
    assert lines_at(svg) == [130]


def test_histogram_leaves_out_what_is_not_finite() -> None:
    svg = draw_svg(Histogram("s", np.array([1.0, np.nan, np.inf]), np.array([np.nan])))
    assert texts(svg)[0] == "1 kept"
    assert REJECTED_COLOUR not in svg.decode()
    assert draw_svg(Histogram("s", np.array([np.nan]), NONE)) == b""


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300, 1e300])
def test_histogram_of_one_value_has_an_axis(value: float) -> None:
    assert texts(draw_svg(Histogram("s", np.array([value]), NONE)))[0] == "1 kept"


def test_histogram_is_small_enough_to_be_shown_at_once() -> None:
    random = np.random.default_rng(0)
    limits = (Threshold(0.000123456, "min"), Threshold(98765.4, "max"))
    svg = draw_svg(Histogram("s", random.random(90_000) * 1e5, random.random(90_000) * 1e5, limits))
    assert len(svg) <= 726  # as base64 in Markdown less than 1000 characters
