import re
import xml.etree.ElementTree as ElementTree

from stages.pictures.bar_chart import BarChart, draw_bars
from tests.stages.pictures.svg_texts import texts


def bar_lengths(svg: bytes) -> list[list[int]]:
    """Pixels of the bars, of each colour."""
    return [[int(px) for px in re.findall(r"h(\d+)v", path)] for path in re.findall(r' d="([^"]*)"', svg.decode())]


def test_bars_show_what_was_there_and_what_is_kept() -> None:
    svg = draw_bars(BarChart("camera_motion", {"pan": (50, 0), "static": (40, 60)}))
    assert texts(svg) == ["static 40/100", "pan 50/50"]
    assert bar_lengths(svg) == [[130, 65], [52, 65]]


def test_many_classes_share_the_last_bar() -> None:
    svg = draw_bars(BarChart("cluster", {str(number): (number, 100) for number in range(64)}))
    assert texts(svg)[0] == "63 63/163"
    assert texts(svg)[-1] == f"58 others {sum(range(58))}/{5800 + sum(range(58))}"
    assert len(texts(svg)) == 7


def test_names_of_any_kind_are_shown() -> None:
    svg = draw_bars(BarChart("uri", {"<b>&\x00": (3, 0), "/home/a/videos/b.mp4": (2, 0), "x" * 40: (1, 0)}))
    assert texts(svg) == ["<b>& 3/3", "b.mp4 2/2", "xxxxxxxxx… 1/1"]


def test_chart_is_small_enough_to_be_shown_at_once() -> None:
    svg = draw_bars(BarChart("camera_motion", {f"motion {number}": (1000 * number, 90_000) for number in range(50)}))
    assert len(svg) * 4 / 3 < 930
    ElementTree.fromstring(svg)


def test_chart_without_rows_is_empty() -> None:
    assert draw_bars(BarChart("cluster", {})) == b""
