"""Videos of real shots, joined by dissolves, fades, wipes, pushes and cuts whose extents are known.

A half of the sources is for tuning, the other is kept apart. Pictures are small, since the network's are smaller still.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.tasks import Size

Pictures = NDArray[np.uint8]
"""uint8 ``[N, H, W, 3]``, RGB."""
Kind = Literal["cut", "dissolve", "fade", "wipe", "push"]
SIZE = Size(256, 144)
GRADUAL: tuple[Kind, ...] = ("dissolve", "fade", "wipe", "push")
SHARES = (0.35, 0.35, 0.25, 0.05)
RATES = (12, 15, 24, 25, 30, 50, 60, 120)
MARGIN_FRAMES = 3
"""Left out of a shot at both ends: labels are exact to a frame or two."""
MAX_SHOT_FRAMES = 400
MIN_SHOT_S = 1.6

TUNED = (
    *("asl_book.mkv", "bikes_10s.mp4", "carphone_pristine.mp4", "chrome_morph_34s.mp4", "door_pan_4s.mp4"),
    *("flower_5s.mp4", "gutter_water_av1.webm", "leaf_deer_24s.mp4", "pattern_portrait_hd.mp4"),
    *("sintel_trailer_52s.mp4", "tractor_vp9.webm"),
)
"""Sources among the shared test videos, every other one of the alphabet; with other files of the same footage."""
KEPT = (
    *("bottles_static_40s.mp4", "chromeicon_30s.mp4", "city_night_cc0.mpg", "dog_eating_14s.mp4", "globe_30s.mp4"),
    *("hands_blocks_10s.mp4", "nasa_jwst_13s.mp4", "pour_coffee_10s.mp4", "slides_122s_1080p.mp4"),
    "webcam_sheet_vfr.mov",
)
"""Sources kept apart."""


@dataclass(frozen=True)
class SourceShot:
    """Pictures of one shot of a source, at its frame rate."""

    source: str
    rate: float
    pictures: Pictures


@dataclass
class Truth:
    """What a synthesised video holds, as the labels of real videos have it, and the kind of each change.

    Attributes:
        rate: frames a second.
        num_frames: of the video.
        changes: kind, first changed frame, first frame of the new shot alone.
        sources: of its shots.
    """

    rate: int
    num_frames: int = 0
    changes: list[tuple[str, int, int]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """The entry of a file of labels."""
        return {
            "fps": self.rate,
            "n_frames": self.num_frames,
            "cuts": [start for kind, start, _ in self.changes if kind == "cut"],
            "gradual": [[start, end] for kind, start, end in self.changes if kind != "cut"],
            "kinds": [kind for kind, _, _ in self.changes],
            "sources": self.sources,
        }


def source_shots(media: Path, names: Sequence[str]) -> list[SourceShot]:
    """Shots of these sources that last long enough, by their labels."""
    labels = json.loads((media / "shots.json").read_text())
    return [shot for name in names for shot in _shots_of(media / name, labels[name])]


def _shots_of(path: Path, label: dict[str, Any]) -> Iterator[SourceShot]:
    spoilt = [(entry, entry) if isinstance(entry, int) else tuple(entry) for entry in _spoilt_frames(label)]
    edges = [(0, 0), *sorted(spoilt), (label["n_frames"], label["n_frames"])]
    wanted: list[tuple[int, int]] = []
    for (_, start), (end, _) in itertools.pairwise(edges):
        first, last = start + MARGIN_FRAMES, end - MARGIN_FRAMES
        wanted.append((first, min(last, first + MAX_SHOT_FRAMES)))
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate or 25)
    wanted = [span for span in wanted if span[1] - span[0] >= MIN_SHOT_S * rate]
    pictures = _pictures(path, wanted)
    for start, end in wanted:
        shot = np.stack([pictures[index] for index in range(start, end)])
        if shot.std(axis=(1, 2, 3)).min() > 8:  # a black shot makes no transition that anyone sees
            yield SourceShot(path.name, rate, shot)


def _spoilt_frames(label: dict[str, Any]) -> list[Any]:
    """Frames and ranges of frames that belong to no shot alone."""
    return [*label["cuts"], *label["gradual"], *label["ambiguous"]]


def _pictures(path: Path, spans: Sequence[tuple[int, int]]) -> dict[int, NDArray[np.uint8]]:
    """The frames of these spans, cropped to the shape of `SIZE`."""
    found: dict[int, NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if any(start <= index < end for start, end in spans):
                found[index] = _cropped(frame.to_ndarray(format="rgb24"))
            if index >= max((end for _, end in spans), default=0):
                break
    return found


def _cropped(picture: NDArray[Any]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    side = min(width, height * SIZE.width // SIZE.height)
    rows = side * SIZE.height // SIZE.width
    top, left = (height - rows) // 2, (width - side) // 2
    part = picture[top : top + rows, left : left + side]
    return cv2.resize(part, (SIZE.width, SIZE.height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def retimed(shot: SourceShot, num_frames: int, rate: int, random: np.random.Generator) -> Pictures:
    """So many frames of the shot at another rate: frames are left out; repeated, or blended, where it is higher.

    What is too short goes back and forth.
    """
    times = np.arange(num_frames) * shot.rate / rate
    length = len(shot.pictures)
    first = random.uniform(0, max(0.0, length - 1 - times[-1]))
    places = np.abs((times + first + length - 1) % (2 * length - 2) - (length - 1))
    below = places.astype(int)
    if rate < 1.5 * shot.rate or random.random() < 0.5:
        return shot.pictures[below]
    part = (places - below).astype(np.float32)[:, None, None, None]
    above = shot.pictures[np.minimum(below + 1, length - 1)].astype(np.float32)
    return np.rint(shot.pictures[below] * (1 - part) + above * part).astype(np.uint8)


def joined_by(kind: Kind, before: Pictures, after: Pictures, random: np.random.Generator) -> Pictures:
    """The frames of a transition, of which the first has begun it and the last is not yet the new shot alone."""
    number = len(before)
    progress = (np.arange(number) + 1) / (number + 1)
    if random.random() < 0.4:
        progress = progress**2 * (3 - 2 * progress)
    if kind == "fade":
        return _fade(before, after, progress, random)
    if kind == "push":
        return _push(before, after, progress, random)
    if kind == "wipe":
        share = _wipe_shares(progress, random)
    else:
        share = np.broadcast_to(progress[:, None, None], (number, SIZE.height, SIZE.width))
    return _blend(before, after, share[..., None])


def _blend(before: NDArray[Any], after: NDArray[Any], share: NDArray[Any]) -> Pictures:
    share = share.astype(np.float32)
    return np.rint(before * (1 - share) + after * share).astype(np.uint8)


def _fade(before: Pictures, after: Pictures, progress: NDArray[Any], random: np.random.Generator) -> Pictures:
    """Out to black, white or grey, some frames of it, and in; of unequal lengths."""
    grey = float(random.integers(60, 200))
    colour = float(random.choice([0.0, 0.0, 255.0, grey]))
    turn, hold = random.uniform(0.3, 0.7), random.uniform(0, 0.2)
    out = np.clip(progress / (turn - hold / 2), 0, 1)[:, None, None, None]
    back = np.clip((progress - turn - hold / 2) / (1 - turn - hold / 2), 0, 1)[:, None, None, None]
    flat = np.full_like(before, round(colour))
    return _blend(_blend(before, flat, out), after, back)


def _push(before: Pictures, after: Pictures, progress: NDArray[Any], random: np.random.Generator) -> Pictures:
    """The new shot pushes the old one out, to the left or up."""
    axis = int(random.integers(1, 3))
    both = np.concatenate([before, after], axis=axis)
    side = before.shape[axis]
    offsets = np.rint(progress * side).astype(int)
    return np.stack(
        [frame.take(range(offset, offset + side), axis=axis - 1) for frame, offset in zip(both, offsets, strict=True)]
    )


def _wipe_shares(progress: NDArray[Any], random: np.random.Generator) -> NDArray[np.float32]:
    """Share of the new shot by frame and pixel: an edge, hard or soft, that goes straight, opens, or turns."""
    ys, xs = np.mgrid[0 : SIZE.height, 0 : SIZE.width]
    across, down = xs / (SIZE.width - 1), ys / (SIZE.height - 1)
    shape = random.choice(["straight", "straight", "iris", "clock"])
    if shape == "straight":
        angle = random.choice([0, 0.5, 1, 1.5, random.uniform(0, 2)]) * math.pi
        order = math.cos(angle) * (across - 0.5) + math.sin(angle) * (down - 0.5)
    elif shape == "iris":
        order = np.hypot(across - 0.5, (down - 0.5) * SIZE.height / SIZE.width) * random.choice([-1, 1])
    else:
        order = np.arctan2(down - 0.5, across - 0.5)
    order = (order - order.min()) / (order.max() - order.min())
    soft = random.choice([0.002, 0.05, 0.15])
    edge = progress[:, None, None] * (1 + soft)
    return np.clip((edge - order) / soft, 0, 1).astype(np.float32)


def disturbed(pictures: Pictures, rate: int, random: np.random.Generator) -> Pictures:
    """Some shots with what is no change of shot: flashes of one to three frames, or a title that fades in and out."""
    number = len(pictures)
    if number < 1.5 * rate or random.random() > 0.3:
        return pictures
    pictures = pictures.copy()
    if random.random() < 0.5:
        for _ in range(int(random.integers(1, 4))):
            first = int(random.integers(rate // 4, number - rate // 4))
            flash = pictures[first : first + max(1, round(random.uniform(0.02, 0.1) * rate))]
            flash[:] = np.clip(flash * 0.4 + random.uniform(100, 160), 0, 255).astype(np.uint8)
        return pictures
    title = np.zeros((SIZE.height, SIZE.width), np.uint8)
    height = random.choice([0.2, 0.55, 0.9])
    text = "A TITLE THAT SAYS IT"[: int(random.integers(8, 20))]
    cv2.putText(title, text, (20, round(height * SIZE.height)), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255,), 2)
    shown = np.clip(np.minimum(np.arange(number), np.arange(number)[::-1]) / (0.4 * rate) - 0.5, 0, 1)
    return _blend(pictures, np.full_like(pictures, 240), title[None, ..., None] / 255 * shown[:, None, None, None])


def make_video(path: Path, shots: Sequence[SourceShot], seed: int) -> Truth:
    """Write a video of five or six shots, joined by one cut and otherwise gradual transitions."""
    random = np.random.default_rng(seed)
    truth = Truth(RATES[seed % len(RATES)])
    kinds: list[Kind] = [*random.choice(GRADUAL, int(random.integers(4, 6)), p=SHARES)]
    kinds[int(random.integers(len(kinds)))] = "cut"
    chosen = [shots[index] for index in random.choice(len(shots), len(kinds) + 1, replace=len(shots) <= len(kinds))]
    lengths = [0 if kind == "cut" else int(random.integers(6, 61)) for kind in kinds]
    parts: list[Pictures] = []
    tail, overlap = np.zeros(0, np.uint8), 0
    for index, shot in enumerate(chosen):
        alone = round(random.uniform(2.2, 3.4) * truth.rate)
        following = lengths[index] if index < len(lengths) else 0
        pictures = retimed(shot, overlap + alone + following, truth.rate, random)
        pictures[overlap : overlap + alone] = disturbed(pictures[overlap : overlap + alone], truth.rate, random)
        if index:
            kind, start = kinds[index - 1], truth.num_frames
            if overlap:
                parts.append(joined_by(kind, tail, pictures[:overlap], random))
            truth.changes.append((str(kind), start, start + overlap))
            truth.num_frames += overlap
        parts.append(pictures[overlap : overlap + alone])
        truth.num_frames += alone
        truth.sources.append(shot.source)
        tail, overlap = pictures[overlap + alone :], following
    _write(path, parts, truth.rate, crf=int(random.integers(18, 33)))
    return truth


def _write(path: Path, parts: Sequence[Pictures], rate: int, *, crf: int) -> None:
    with av.open(str(path), "w") as container:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream = cast(VideoStream, container.add_stream("libx264", rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        for index, picture in enumerate(picture for part in parts for picture in part):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_videos(folder: Path, media: Path, *, is_kept: bool, number: int) -> None:
    """Write so many videos of one half of the sources, and `truth.json`; those that are there stay."""
    if not (folder / "truth.json").exists():
        shots = source_shots(media, KEPT if is_kept else TUNED)
        write_videos(folder, {seed: shots for seed in _seeds(is_kept, number)})


def write_videos(folder: Path, shots: Mapping[int, Sequence[SourceShot]]) -> None:
    """Write a video of each seed's shots, and `truth.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    truths = {f"{seed:04}.mp4": make_video(folder / f"{seed:04}.mp4", each, seed) for seed, each in shots.items()}
    labels = {name: truth.entry() for name, truth in truths.items()}
    (folder / "truth.json").write_text(json.dumps(labels, indent=1))


def _seeds(is_kept: bool, number: int) -> range:
    first = 1000 if is_kept else 0
    return range(first, first + number)
