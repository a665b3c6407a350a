"""Videos whose motion is known: a camera that moves over a still, with subjects cut from other stills.

Speeds are in picture diagonals a second; of zoom and roll, at a quarter of a diagonal from the centre.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.params import CAMERA_MOTIONS
from stages.tasks import Size

Luma = NDArray[np.uint8]
View = tuple[float, float, float, float]
"""Centre in diagonals from the still's, right and down; zoom; angle in radians."""
CameraPath = Callable[[float], View]
DEFAULT_SIZE = Size(640, 360)

TUNED = (
    *(("leaf_deer_24s.mp4", second) for second in (2, 8, 16, 19)),
    *(("sintel_trailer_52s.mp4", second) for second in (20, 33)),
    ("hands_blocks_10s.mp4", 3),
    ("flower_5s.mp4", 1),
    ("bikes_10s.mp4", 3),
)
"""Stills of the shared test videos that thresholds were chosen on: file, second."""
KEPT = (
    ("pour_coffee_10s.mp4", 2),
    ("tractor_vp9.webm", 3),
    ("city_night_cc0.mpg", 2),
    ("dog_eating_14s.mp4", 3),
    ("pattern_portrait_hd.mp4", 3),
    ("iphone_horizontal_hevc.mov", 0.3),
    ("gutter_water_av1.webm", 4),
    ("carphone_pristine.mp4", 1),
    ("bottles_static_40s.mp4", 10),
)
"""Stills kept apart from that choice."""
UNSEEN = (
    ("webcam_sheet_wide.mov", 4),
    ("asl_walk.mkv", 1),
    ("globe_30s.mp4", 17),
    ("chromeicon_30s.mp4", 25),
    ("nasa_jwst_13s.mp4", 9),
    ("slides_122s_1080p.mp4", 70),
    ("screen_editor_60fps.mp4", 4),
    ("chrome_morph_34s.mp4", 22),
)
"""Stills for noise alone, at times of their videos that were not looked at before."""


def read_still(path: Path, second: float) -> Luma:
    """The first frame at or after a time, as luma."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if (frame.time or 0) >= second:
                return frame.to_ndarray(format="gray").astype(np.uint8)
    raise ValueError(f"{path} must be longer than {second} s.")


@dataclass(frozen=True)
class Subject:
    """An oval cut from a still, that goes to and fro over the picture, or stands."""

    picture: Luma
    height: float
    centre: tuple[float, float]
    angle: float
    speed: float
    hertz: float
    phase: float

    def draw(self, picture: Luma, seconds: float) -> Luma:
        """The picture with the subject in it."""
        height, width = picture.shape
        side = max(4, round(self.height * height))
        crop = self.picture[:, : self.picture.shape[0]]
        patch = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        ys, xs = np.mgrid[0:side, 0:side] - (side - 1) / 2
        oval = cv2.GaussianBlur((np.hypot(xs, ys) < side / 2 - 1).astype(np.float32), (0, 0), 1)
        way = math.sin(2 * math.pi * self.hertz * seconds + self.phase) * self.speed / (4 * self.hertz)
        way *= math.hypot(width, height)
        left = self.centre[0] * width + way * math.cos(self.angle) - side / 2
        top = self.centre[1] * height + way * math.sin(self.angle) - side / 2
        place = np.array([[1, 0, left], [0, 1, top]])
        mask = cv2.warpAffine(oval, place, (width, height))
        layer = cv2.warpAffine(patch, place, (width, height))
        return (picture * (1 - mask) + layer * mask).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """A camera over a still, and subjects.

    Attributes:
        still: the background.
        path: where the camera is, by seconds.
        subjects: drawn in this order.
        room: the still's width and height, in pictures.
    """

    still: Luma
    path: CameraPath
    subjects: Sequence[Subject] = ()
    room: float = 1.5
    _grounds: dict[Size, Luma] = field(default_factory=lambda: {}, init=False, repr=False)

    def picture(self, seconds: float, size: Size) -> Luma:
        """The picture at a time, without noise."""
        if size not in self._grounds:
            scale = max(size.width * self.room / self.still.shape[1], size.height * self.room / self.still.shape[0])
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            self._grounds[size] = cv2.resize(self.still, None, fx=scale, fy=scale, interpolation=method).astype(
                np.uint8
            )
        ground = self._grounds[size]
        right, down, zoom, angle = self.path(seconds)
        diagonal = math.hypot(size.width, size.height)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) / zoom
        centre = np.array([ground.shape[1] / 2 + right * diagonal, ground.shape[0] / 2 + down * diagonal]) - 0.5
        offset = centre - turn @ np.array([size.width / 2 - 0.5, size.height / 2 - 0.5])
        view = cv2.warpAffine(
            ground,
            np.column_stack([turn, offset]),
            (size.width, size.height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        ).astype(np.uint8)
        for subject in self.subjects:
            view = subject.draw(view, seconds)
        return view


def random_subject(stills: Sequence[Luma], random: np.random.Generator) -> Subject:
    """A subject of a fifth to half of the picture's height."""
    return Subject(
        stills[int(random.integers(len(stills)))],
        random.uniform(0.2, 0.5),
        (random.uniform(0.35, 0.65), random.uniform(0.4, 0.6)),
        random.uniform(0, 2 * math.pi),
        random.uniform(0.03, 0.3),
        random.uniform(0.2, 0.8),
        random.uniform(0, 2 * math.pi),
    )


def random_path(motion: str, speed: float, seconds: float, random: np.random.Generator) -> CameraPath:
    """A path of one of `CAMERA_MOTIONS` with this mean speed; some begin and end slowly, some do two things in turn."""
    if motion == "static":
        return lambda _: (0, 0, 1, 0)
    if motion == "shake":
        return _shake(speed, seconds, random)
    first, second = random.choice(4, 2, replace=False)
    if motion != "mixed":
        first = CAMERA_MOTIONS.index(motion) - 1
    speeds = np.zeros((2, 4))
    speeds[0, first] = speed * random.choice([-1, 1])
    if motion == "mixed":
        speeds[1, second] = speed * random.choice([-1, 1]) * random.uniform(0.75, 1.33)
    is_eased, is_in_turn = random.random() < 0.3, motion == "mixed" and random.random() < 0.3

    def way(now: float) -> float:
        return seconds * (1 - math.cos(math.pi * now / seconds)) / 2 if is_eased else now

    def path(now: float) -> View:
        ways = (2 * min(now, seconds / 2), 2 * max(0, now - seconds / 2)) if is_in_turn else (way(now), way(now))
        right, down, growth, turn = (np.array(ways) - seconds / 2) @ speeds
        return right, down, math.exp(4 * growth), 4 * turn

    return path


def _shake(speed: float, seconds: float, random: np.random.Generator) -> CameraPath:
    """Five swings of 0.8 to 6 Hz in each direction, with some roll or none."""
    hertz = random.uniform(0.8, 6, (2, 5))
    phases = random.uniform(0, 2 * math.pi, (2, 5))
    roll = random.choice([0, 0.3])

    def place(now: float) -> NDArray[np.float64]:
        return (np.sin(2 * math.pi * hertz * now + phases) / hertz).sum(axis=1)

    places = np.array([place(now) for now in np.linspace(0, seconds, 400)])
    scale = speed / (np.linalg.norm(np.diff(places, axis=0), axis=1).mean() * 399 / seconds)

    def path(now: float) -> View:
        right, down = place(now) * scale
        return right, down, 1, roll * 4 * float(place(now + 1)[0]) * scale

    return path


def room_for(path: CameraPath, seconds: float) -> float:
    """Room that a path needs, so that the view stays on the still; bounded, beyond it is mirrored."""
    views = [path(now) for now in np.linspace(0, seconds, 50)]
    farthest = max(abs(view[axis]) for view in views for axis in (0, 1))
    turned = 1.15 if any(view[3] for view in views) else 1.0
    return min(2.6, max(1.15, (1 + 2.3 * farthest) / min(1, *(view[2] for view in views)) * turned))


@dataclass(frozen=True)
class Encoding:
    """How a scene becomes a file.

    Attributes:
        size: of the picture.
        rate: frames a second.
        crf: quality of x264; lower is better.
        noise: standard deviation, in grey levels.
        drawn_rate: pictures a second, of which some are repeated to reach `rate`; None for `rate`.
    """

    size: Size = DEFAULT_SIZE
    rate: int = 24
    crf: int = 23
    noise: float = 1.0
    drawn_rate: int | None = None


def encode(path: Path, scene: Scene, seconds: float, encoding: Encoding, *, seed: int = 1) -> Path:
    """Write the scene as H.264."""
    random = np.random.default_rng(seed)
    drawn_rate = encoding.drawn_rate or encoding.rate
    drawn, picture = -1, np.zeros(0, np.uint8)
    with av.open(str(path), "w") as container:
        options = {"crf": str(encoding.crf), "preset": "veryfast", "threads": "1"}
        stream = cast(VideoStream, container.add_stream("libx264", rate=encoding.rate, options=options))
        stream.width, stream.height, stream.pix_fmt = encoding.size.width, encoding.size.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, encoding.rate)
        for index in range(round(seconds * encoding.rate)):
            number = index * drawn_rate // encoding.rate
            if number != drawn:
                drawn, picture = number, scene.picture(number / drawn_rate, encoding.size)
                noise = random.normal(0, encoding.noise, picture.shape).astype(np.float32) if encoding.noise else 0
                picture = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, encoding.rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
