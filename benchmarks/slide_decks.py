"""Slides of a talk, drawn: they share a background, and differ in lines of text and a figure."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.transition_videos import SIZE, SourceShot, write_videos

NUM_SLIDES = 6
SHOWN_FRAMES = 100
RATE = 25.0
DRAWN = (1280, 720)
WORDS = [
    "a",
    "few",
    "of",
    "these",
    "words",
    "stand",
    "in",
    "each",
    "line",
    "and",
    "differ",
    "from",
    "others",
    "by",
    "length",
]
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


class _Template:
    """What the slides of one deck share."""

    def __init__(self, random: np.random.Generator) -> None:
        is_dark = random.random() < 0.4
        low, high = ((0, 60), (170, 256)) if is_dark else ((200, 256), (0, 90))
        self.paper, self.ink = (random.integers(*levels, 3).tolist() for levels in (low, high))
        self.accent = random.integers(0, 256, 3).tolist()
        self.font, self.scale = FONTS[int(random.integers(len(FONTS)))], random.uniform(0.8, 1.5)
        self.banner = int(random.choice([0, 0, 90, 140]))
        self.left, self.leading = int(random.integers(40, 160)), random.uniform(1.5, 2.3)
        self.has_numbers = random.random() < 0.5


def deck_shots(seed: int) -> list[SourceShot]:
    """Slides of one deck, each a shot that stands still but for noise."""
    random = np.random.default_rng([7, seed])
    template = _Template(random)
    return [_shot(f"deck {seed}, slide {number}", _slide(template, number, random)) for number in range(NUM_SLIDES)]


def make_deck_videos(folder: Path, *, first: int, number: int) -> None:
    """Write videos of so many decks, one each, and `truth.json`; those that are there stay."""
    if not (folder / "truth.json").exists():
        write_videos(folder, {seed: deck_shots(seed) for seed in range(first, first + number)})


def _shot(name: str, slide: NDArray[np.uint8]) -> SourceShot:
    small = cv2.resize(slide, (SIZE.width, SIZE.height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return SourceShot(name, RATE, np.repeat(small[None], SHOWN_FRAMES, axis=0))


def _slide(template: _Template, number: int, random: np.random.Generator) -> NDArray[np.uint8]:
    width, height = DRAWN
    slide = np.full((height, width, 3), template.paper, np.uint8)
    if template.banner:
        slide[: template.banner] = template.accent
    _write(slide, template, _line(random, 2, 6), (template.left, 75), 1.5)
    has_figure = random.random() < 0.5
    step = int(30 * template.scale * template.leading)
    for row in range(200, 200 + step * int(random.integers(2, 9)), step):
        if row < height - 40:
            _write(slide, template, "- " + _line(random, 2, 5 if has_figure else 9), (template.left + 20, row), 1.0)
    if has_figure:
        _draw_bars(slide, template, random)
    if template.has_numbers:
        _write(slide, template, str(number + 1), (width - 70, height - 25), 0.8)
    return slide


def _line(random: np.random.Generator, fewest: int, most: int) -> str:
    return " ".join(random.choice(WORDS, int(random.integers(fewest, most + 1))))


def _write(slide: NDArray[np.uint8], template: _Template, text: str, place: tuple[int, int], size: float) -> None:
    scale = size * template.scale
    cv2.putText(slide, text, place, template.font, scale, template.ink, max(1, round(2 * scale)), cv2.LINE_AA)


def _draw_bars(slide: NDArray[np.uint8], template: _Template, random: np.random.Generator) -> None:
    left, base = int(random.integers(700, 800)), int(random.integers(560, 680))
    for bar in range(int(random.integers(3, 8))):
        top = base - int(random.integers(40, 360))
        cv2.rectangle(slide, (left + 60 * bar, top), (left + 60 * bar + 40, base), template.accent, -1)
