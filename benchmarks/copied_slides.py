"""Draws slides: decks of one style each, whose slides differ in words and figures, as those of a talk do.

Any two slides are different content, also those of one layout. Every deck has a style of its own: colours, a bar or a
margin, sizes of letters, a footer. Words, figures and styles follow from the number of the deck alone.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.copied_sources import Source

SIZE = (960, 540)
SLIDE_S = 3.0
RATE = 12
TUNED_DECKS, KEPT_DECKS, FRESH_DECKS, UNSEEN_DECKS, BLIND_DECKS = (range(first, first + 4) for first in range(0, 20, 4))
_VOCABULARY = (
    "alpha budget carbon data early field growth house index journey kernel local market number older planet quality "
    "river signal table under value water yield across better common during every first global higher inside jointly "
    "known large measured never other people reason small through until various within young zero model training "
    "error rate curve sample vector camera picture motion energy storage network server cost time plan result method"
)
WORDS = _VOCABULARY.split()
Draw = ImageDraw.ImageDraw
Colour = tuple[int, int, int]


class Deck:
    """The style of one deck.

    Args:
        number: from which everything follows.
    """

    def __init__(self, number: int) -> None:
        random = np.random.default_rng([7, number])
        is_dark = number % 3 == 2
        self.number = number
        self.paper = _colour(random, 10, 60) if is_dark else _colour(random, 225, 256)
        self.ink = _colour(random, 215, 256) if is_dark else _colour(random, 0, 60)
        self.accent = _colour(random, 40, 200)
        self.layout = ("bar above", "bar at the left", "line", "plain")[number % 4]
        self.letter_px = int(random.integers(22, 38))
        self.has_footer = bool(random.integers(0, 2))
        self.left = 150 if self.layout == "bar at the left" else 60

    def slide(self, number: int) -> Image.Image:
        """A slide; kinds take turns, so that every seventh has the same layout."""
        random = np.random.default_rng([11, self.number, number])
        image = Image.new("RGB", SIZE, self.paper)
        draw = ImageDraw.Draw(image)
        self._plate(draw, number)
        kinds: tuple[Callable[[Image.Image, Draw, np.random.Generator], None], ...] = (
            self._bullets, self._title, self._bullets, self._code, self._chart, self._table, self._picture,
        )  # fmt: skip
        kinds[number % len(kinds)](image, draw, random)
        return image

    def _plate(self, draw: Draw, number: int) -> None:
        if self.layout == "bar above":
            draw.rectangle((0, 0, SIZE[0], 84), self.accent)
        elif self.layout == "bar at the left":
            draw.rectangle((0, 0, 110, SIZE[1]), self.accent)
        elif self.layout == "line":
            draw.rectangle((60, 92, SIZE[0] - 60, 97), self.accent)
        if self.has_footer:
            draw.text((self.left, 505), f"Talk {self.number}, an institute", self.ink, _font(16))
            draw.text((900, 505), f"{number + 1}", self.ink, _font(16))

    def _heading(self, draw: Draw, random: np.random.Generator) -> None:
        colour = self.paper if self.layout == "bar above" else self.ink
        draw.text((self.left, 28), _words(random, 2, 5).capitalize(), colour, _font(40))

    def _bullets(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        self._heading(draw, random)
        step = int(self.letter_px * 1.7)
        for line in range(int(random.integers(4, 7))):
            y = 125 + line * step
            draw.ellipse((self.left, y + 10, self.left + 12, y + 22), self.accent)
            draw.text((self.left + 30, y), _words(random, 2, 6).capitalize(), self.ink, _font(self.letter_px))

    def _title(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        draw.text((self.left, 190), _words(random, 2, 3).title(), self.ink, _font(64))
        draw.text((self.left, 300), _words(random, 3, 5), self.accent, _font(30))

    def _code(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        self._heading(draw, random)
        draw.rectangle((self.left, 115, 900, 490), tuple(int(0.9 * value + 10) for value in self.paper))
        indent = 0
        for line in range(13):
            indent = int(np.clip(indent + random.integers(-1, 2), 0, 3))
            text = "_".join(random.choice(WORDS, 2)) + " = " + _words(random, 1, 4).replace(" ", ", ")
            draw.text((self.left + 16 + 36 * indent, 124 + 27 * line), text, self.ink, _font(20))

    def _chart(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        self._heading(draw, random)
        left, count = self.left + 40, int(random.integers(5, 10))
        draw.line((left, 120, left, 460, 880, 460), self.ink, 3)
        width = (860 - left) / count
        for place, height in enumerate(random.uniform(40, 320, count)):
            start = left + 12 + place * width
            draw.rectangle((start, 460 - height, start + 0.6 * width, 460), self.accent)
            draw.text((start, 465), str(random.choice(WORDS))[:5], self.ink, _font(18))

    def _table(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        self._heading(draw, random)
        columns = int(random.integers(3, 6))
        width = (900 - self.left) / columns
        for row in range(8):
            y = 120 + row * 44
            draw.line((self.left, y + 38, 900, y + 38), self.accent, 2)
            for column in range(columns):
                text = str(random.choice(WORDS)) if column == 0 or row == 0 else f"{random.uniform(0, 100):.1f}"
                draw.text((self.left + column * width, y), text, self.ink, _font(26))

    def _picture(self, image: Image.Image, draw: Draw, random: np.random.Generator) -> None:
        self._heading(draw, random)
        rough = Image.fromarray(random.integers(0, 256, (9, 14, 3)).astype(np.uint8))
        image.paste(rough.resize((520, 330), Image.Resampling.BICUBIC), (self.left, 120))
        for line in range(5):
            draw.text((self.left + 550, 130 + 50 * line), _words(random, 1, 2), self.ink, _font(24))


def deck_source(number: int) -> Source:
    """A deck as a video whose every slide is a shot."""
    shots = tuple((SLIDE_S * place, SLIDE_S * (place + 1)) for place in range(len(_slides(number))))
    clips = tuple((start + 0.1, SLIDE_S - 0.2) for start, _ in shots)
    return Source(f"deck{number}", f"deck{number}.mp4", clips, shots, is_still=True)


def make_deck(number: int, folder: Path) -> None:
    """Write the video of a deck, unless it is there."""
    path = folder / f"deck{number}.mp4"
    if path.exists():
        return
    deck = Deck(number)
    for place, slide in enumerate(_slides(number)):
        deck.slide(slide).save(folder / f"deck{number}_{place}.png")
    pattern, part = folder / f"deck{number}_%d.png", path.with_suffix(".part.mp4")
    options = ["-r", str(RATE), "-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-framerate", f"1/{SLIDE_S:g}", "-i", str(pattern), *options]
    subprocess.run([*command, "-threads", "1", str(part)], check=True)
    part.rename(path)


def _slides(deck: int) -> tuple[int, ...]:
    """Pairs of slides of one layout."""
    return ((0, 2, 3, 10), (0, 2, 5, 12), (0, 2, 1, 8), (4, 11, 2, 6))[deck % 4]


def _colour(random: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = random.integers(low, high, 3).tolist()
    return red, green, blue


def _words(random: np.random.Generator, least: int, most: int) -> str:
    return " ".join(random.choice(WORDS, int(random.integers(least, most + 1))))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
