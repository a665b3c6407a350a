"""Draws title cards, titles over footage, and logos, on real shots; what is drawn and where is known.

Two halves, each with footage, fonts and shapes of its own: one for tuning, one kept apart.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stages.media import Box
from stages.tasks import Size

Picture = NDArray[np.uint8]
"""uint8 ``[H, W, 3]``, RGB."""
Half = Literal["tuned", "kept"]
SIZE = Size(640, 360)
RATE = 25
WORDS = (
    *("the", "long", "way", "home", "part", "one", "of", "four", "chapter", "directed", "by", "anna", "smith", "music"),
    *("summer", "night", "presents", "river", "a", "film", "north", "light", "edited", "in", "1987", "production"),
    *("pictures", "based", "on", "true", "story", "end"),
)

Start = tuple[str, float]
"""A shared video without text there, and a second of it."""
FOOTAGE: dict[Half, tuple[Start, ...]] = {
    "tuned": (
        *(("sintel_trailer_52s.mp4", second) for second in (6.0, 23.9, 29.5, 37.0)),
        *(("bikes_10s.mp4", second) for second in (3.4, 5.8)),
        *(("gutter_water_av1.webm", second) for second in (1, 12)),
        *(("asl_book.mkv", 0.3), ("carphone_pristine.mp4", 0.5), ("door_pan_4s.mp4", 0.5)),
        *(("flower_5s.mp4", 1), ("pattern_portrait_hd.mp4", 2)),
    ),
    "kept": (
        *(("globe_30s.mp4", second) for second in (2, 14, 22)),
        *(("pour_coffee_10s.mp4", second) for second in (1, 5)),
        *(("dog_eating_14s.mp4", second) for second in (2, 9)),
        *(("nasa_jwst_13s.mp4", second) for second in (1, 8)),
        *(("city_night_cc0.mpg", second) for second in (0.5, 4.8)),
        *(("bottles_static_40s.mp4", second) for second in (5, 20)),
        ("webcam_sheet_vfr.mov", 1),
    ),
}
FONTS: dict[Half, tuple[int | None, ...]] = {
    "tuned": (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX),
    "kept": (None, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX | cv2.FONT_ITALIC),
}
"""Those that OpenCV carries; None is the one of Pillow."""


def read_shot(path: Path, second: float, num_frames: int, *, slowed: int = 1, size: Size = SIZE) -> list[Picture]:
    """Upright pictures from a time on, cropped to a shape, each shown `slowed` times; the last one stays."""
    found: list[Picture] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or RATE)
        for frame in container.decode(video=0):
            due = 0 if frame.time is None else int((frame.time - second) * RATE * slowed) + 1
            if due > len(found):
                picture = _cropped(frame.to_ndarray(format="rgb24"), size)
                found += [picture] * (due - len(found))
            if len(found) >= num_frames:
                break
    if len(found) < num_frames - slowed * RATE / rate - 1:
        raise ValueError(f"{path} must have {num_frames} frames from {second} s on, has {len(found)}.")
    return [*found, *[found[-1]] * num_frames][:num_frames]


def _cropped(picture: NDArray[Any], size: Size) -> Picture:
    height, width = picture.shape[:2]
    side = min(width, height * size.width // size.height)
    rows = side * size.height // size.width
    top, left = (height - rows) // 2, (width - side) // 2
    part = picture[top : top + rows, left : left + side]
    kind = cv2.INTER_AREA if side > size.width else cv2.INTER_CUBIC
    return cv2.resize(part, (size.width, size.height), interpolation=kind).astype(np.uint8)


def write(path: Path, pictures: Sequence[Picture], crf: int) -> Path:
    """Encode as H.264 at 25 frames/s."""
    with av.open(str(path), "w") as container:
        options = {"crf": str(crf), "preset": "veryfast"}
        stream = cast(VideoStream, container.add_stream("libx264", rate=RATE, options=options))
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def draw_lines(
    canvas: Picture, lines: Sequence[str], font: int | None, *, px: int, top: int, ink: Sequence[int]
) -> None:
    """Lines of text of so many pixels, centred, from a height on downward."""
    for number, line in enumerate(lines):
        place = top + int(number * px * 1.5)
        if font is None:
            drawn = Image.fromarray(canvas)
            shape = ImageFont.load_default(px)
            left = (canvas.shape[1] - shape.getlength(line)) / 2
            ImageDraw.Draw(drawn).text((left, place), line, tuple(ink), shape)
            canvas[:] = np.asarray(drawn)
            continue
        scale, thick = px / 30, max(1, round(px / 16))
        (width, height), _ = cv2.getTextSize(line, font, scale, thick)
        left = (canvas.shape[1] - width) // 2
        cv2.putText(canvas, line, (left, place + height), font, scale, tuple(ink), thick, cv2.LINE_AA)


def title(random: np.random.Generator, *, px: tuple[int, int], lines: int) -> tuple[list[str], int]:
    """Words in some lines that fit the picture, and their size."""
    size = int(random.integers(*px))
    style = [str.upper, str.title, str.capitalize][int(random.integers(3))]
    texts = [style(" ".join(random.choice(WORDS, int(random.integers(2, 6))))) for _ in range(lines)]
    longest = max(len(text) for text in texts)
    return texts, max(10, min(size, int(1.5 * SIZE.width / longest)))


CARDS = ("flat", "gradient", "framed", "small", "fading", "credits", "blurred", "dimmed", "emblem")
"""Kinds of cards; ``blurred`` and ``dimmed`` stand over footage that is barely to be seen."""
OVER = "over"
"""A title over footage as it is."""


def card(kind: str, footage: Sequence[Picture], font: int | None, random: np.random.Generator) -> list[Picture]:
    """As many pictures of a title card, or of a title over footage, as of the footage."""
    number, dark = len(footage), random.random() < 0.6
    ink = random.integers(190, 256, 3).tolist() if dark else random.integers(0, 60, 3).tolist()
    paper = random.integers(0, 50, 3) if dark else random.integers(200, 256, 3)
    ground = np.broadcast_to(paper, (SIZE.height, SIZE.width, 3)).astype(np.uint8)
    if kind == "gradient":
        ramp = np.linspace(0, 50, SIZE.height)[:, None, None] * (1 if dark else -1)
        ground = np.clip(ground + ramp, 0, 255).astype(np.uint8)
    grounds = [ground] * number
    if kind in ("blurred", "dimmed", OVER):
        grounds, ink = _over(kind, footage), [245, 245, 240]
    count = 9 if kind == "credits" else int(random.integers(1, 4))
    lines, px = title(random, px=(12, 16) if kind == "small" else (22, 52), lines=count)
    px = min(px, 24) if kind == "credits" else px
    top = int((SIZE.height - 1.5 * px * len(lines)) / 2)
    made = []
    for at in range(number):
        picture = grounds[at].copy()
        if kind == "framed":
            cv2.rectangle(picture, (40, 30), (SIZE.width - 41, SIZE.height - 31), ink, 2)
        if kind == "emblem":
            draw_shape("ring", picture, (SIZE.width // 2 - 45, 40, SIZE.width // 2 + 45, 130), ink)
            top = 170
        draw_lines(picture, lines, font, px=px, top=top - at if kind == "credits" else top, ink=ink)
        made.append(_faded(picture, at / number) if kind == "fading" else picture)
    return made


def _over(kind: str, footage: Sequence[Picture]) -> list[Picture]:
    if kind == OVER:
        return list(footage)
    soft = footage if kind == "dimmed" else [cv2.GaussianBlur(each, (0, 0), 12) for each in footage]
    return [(np.asarray(each) * 0.25).astype(np.uint8) for each in soft]


def _faded(picture: Picture, part: float) -> Picture:
    """In over the first fifth, out over the last."""
    return (picture * min(1.0, 5 * part + 0.1, 5 * (1 - part) + 0.1)).astype(np.uint8)


OPACITIES = (0.4, 0.6, 0.8, 1.0)
PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom."""
SHAPES: dict[Half, tuple[str, ...]] = {
    "tuned": ("ring", "star", "bars"),
    "kept": ("triangles", "cross", "leaf", "grid"),
}


def draw_shape(shape: str, canvas: Picture, box: PixelBox, ink: Sequence[int]) -> None:
    """A mark without letters that fills the box."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    middle, thick = (left + width // 2, top + height // 2), max(2, height // 8)
    colour = tuple(int(each) for each in ink)

    def fill(*points: tuple[float, float]) -> None:
        places = np.array([(left + x * (width - 1), top + y * (height - 1)) for x, y in points], np.int32)
        cv2.fillPoly(canvas, [places], colour, cv2.LINE_AA)

    def fill_box(x: float, y: float, right: float, bottom: float) -> None:
        fill((x, y), (right, y), (right, bottom), (x, bottom))

    def oval(across: int, down: int, *, angle: float = 0, line: int = -1) -> None:
        cv2.ellipse(canvas, middle, (across, down), angle, 0, 360, colour, line, cv2.LINE_AA)

    def letters() -> None:
        place = (left, bottom - height // 4)
        cv2.putText(canvas, "NTV", place, cv2.FONT_HERSHEY_DUPLEX, width / 66, colour, 2, cv2.LINE_AA)

    turns = [(math.pi * number / 5, 0.5 if number % 2 == 0 else 0.2) for number in range(10)]
    thirds = (0.0, 0.37, 0.75)
    drawers: dict[str, Callable[[], Any]] = {
        "ring": lambda: (
            oval(width // 2 - thick, height // 2 - thick, line=thick),
            oval(width // 6, height // 6),
        ),
        "star": lambda: fill(*((0.5 + far * math.sin(turn), 0.5 - far * math.cos(turn)) for turn, far in turns)),
        "bars": lambda: [fill_box(x, 1 - high, x + 0.2, 1) for x, high in ((0, 0.4), (0.4, 1), (0.8, 0.7))],
        "triangles": lambda: (fill((0, 1), (0.33, 0), (0.6, 1)), fill((0.45, 0.3), (1, 0.3), (0.75, 1))),
        "cross": lambda: (fill_box(0.38, 0, 0.62, 1), fill_box(0, 0.38, 1, 0.62)),
        "leaf": lambda: [oval(width // 2, height // 5, angle=angle, line=thick // 2) for angle in (0, 60, 120)],
        "grid": lambda: [fill_box(x, y, x + 0.25, y + 0.25) for x in thirds for y in thirds],
        "letters": letters,
    }
    drawers[shape]()


def panned(pictures: Sequence[Picture]) -> list[Picture]:
    """A window of `SIZE` that goes over larger pictures from a corner to the opposite one: a camera that moves."""
    height, width = pictures[0].shape[:2]
    found = []
    for number, picture in enumerate(pictures):
        part = number / (len(pictures) - 1)
        left, top = round((width - SIZE.width) * part), round((height - SIZE.height) * part)
        found.append(np.ascontiguousarray(picture[top : top + SIZE.height, left : left + SIZE.width]))
    return found


@dataclass(frozen=True)
class Logo:
    """A mark that stands in all pictures.

    Attributes:
        shape: of `SHAPES`, or letters.
        box: that it is drawn in, in pixels of `SIZE`.
        opacity: 1 hides what is behind it.
    """

    shape: str
    box: PixelBox
    opacity: float
    ink: tuple[int, int, int]

    def mask(self) -> NDArray[np.float32]:
        """How much of each pixel it hides, 0 to 1, ``[H, W, 3]``."""
        drawn = np.zeros((SIZE.height, SIZE.width, 3), np.uint8)
        draw_shape(self.shape, drawn, self.box, (255, 255, 255))
        return (drawn * (self.opacity / 255)).astype(np.float32)

    def share(self) -> Box:
        """The rectangle around what is drawn, in shares of the picture."""
        rows, columns = np.nonzero(self.mask()[..., 0])
        left, right = columns.min() / SIZE.width, (columns.max() + 1) / SIZE.width
        return Box(left, rows.min() / SIZE.height, right, (rows.max() + 1) / SIZE.height)


def random_logo(shape: str, random: np.random.Generator) -> Logo:
    """In a corner, 5 to 13 % of the picture's width."""
    side = int(random.uniform(0.05, 0.13) * SIZE.width)
    across, down = (int(each) for each in random.integers(12, 30, 2))
    left = across if random.random() < 0.5 else SIZE.width - across - side
    top = down if random.random() < 0.5 else SIZE.height - down - side
    opacity = float(random.choice(OPACITIES))
    colours = [(255, 255, 255), (240, 200, 30), (220, 30, 40), (20, 20, 20)]
    ink = colours[int(random.choice(4, p=[0.6, 0.15, 0.15, 0.1]))]
    return Logo(shape, (left, top, left + side, top + side), opacity, ink)


def with_logo(pictures: Sequence[Picture], logo: Logo) -> list[Picture]:
    """The logo over each picture."""
    share = logo.mask()
    ink = np.array(logo.ink, np.float32)
    return [np.rint(each * (1 - share) + ink * share).astype(np.uint8) for each in pictures]
