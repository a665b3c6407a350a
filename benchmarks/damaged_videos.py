"""Makes short videos of several codecs and containers, and damages copies at random, for `benchmarks/damage.py`."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from stages.media.realtime_priority import no_realtime_priority

Picture = NDArray[np.uint8]
SECONDS = 6
SOUND_HZ = 48000
TS_PACKET = 188

Pieces = tuple[tuple[str, float, int, int], ...]
"""File of the test media, start in seconds, width, height."""

PIECES: dict[str, Pieces] = {
    "tune": (
        ("bikes_10s.mp4", 0, 640, 272),
        ("dog_eating_14s.mp4", 2, 320, 180),
        ("leaf_deer_24s.mp4", 1, 320, 180),
        ("pour_coffee_10s.mp4", 1, 480, 270),
        ("flower_5s.mp4", 0, 320, 180),
        ("hands_blocks_10s.mp4", 2, 320, 180),
        ("sintel_trailer_52s.mp4", 12, 426, 240),
        ("chrome_morph_34s.mp4", 5, 320, 160),
        ("city_night_cc0.mpg", 0, 320, 180),
        ("asl_book.mkv", 0, 320, 240),
        ("globe_30s.mp4", 3, 320, 180),
        ("pattern_portrait_hd.mp4", 0, 180, 320),
        ("screen_editor_60fps.mp4", 0, 512, 400),
        ("chromeicon_30s.mp4", 3, 320, 180),
    ),
    "held": (
        ("tractor_vp9.webm", 1, 640, 360),
        ("carphone_pristine.mp4", 0, 352, 288),
        ("bottles_static_40s.mp4", 6, 320, 180),
        ("sintel_trailer_52s.mp4", 30, 426, 240),
        ("door_pan_4s.mp4", 0, 320, 180),
        ("asl_sister.mkv", 0, 320, 240),
        ("nasa_jwst_13s.mp4", 5, 320, 180),
        ("webcam_sheet_wide.mov", 0, 320, 180),
        ("gutter_water_av1.webm", 0, 320, 180),
        ("chromeicon_30s.mp4", 20, 480, 270),
    ),
    "report": (
        ("asl_walk.mkv", 0, 320, 240),
        ("slides_122s_1080p.mp4", 10, 480, 270),
        ("tractor_vp9.webm", 3.8, 640, 360),
        ("webcam_sheet_vfr.mov", 0, 320, 180),
        ("leaf_deer_24s.mp4", 14, 320, 180),
        ("sintel_trailer_52s.mp4", 40, 426, 240),
        ("chromeicon_30s.mp4", 11, 320, 180),
        ("bottles_static_40s.mp4", 20, 320, 180),
        ("nasa_jwst_13s.mp4", 0, 320, 180),
    ),
}
"""What is measured was tuned on the first part alone. Figures are those of the last, which was looked at once."""
SYNTHETIC = {"tune": range(6), "held": range(6, 12), "report": range(12, 19)}

CODECS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "24"}, ("mp4", "mkv", "ts")),
    "mpeg4": ("mpeg4", {"qmin": "3", "qmax": "8", "bf": "0"}, ("mp4", "mkv", "ts")),
    "hevc": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "log-level=none:pools=1:frame-threads=1"},
        ("mp4", "mkv", "ts"),
    ),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "7", "crf": "32", "b": "0"}, ("webm", "mp4", "mkv")),
    "av1": ("libsvtav1", {"preset": "11", "crf": "35", "svtav1-params": "lp=1"}, ("mp4", "mkv", "webm")),
}
GOPS = (24, 48, 150)
"""Longest distances of keyframes, taken in turn."""

KINDS = ("overwritten", "burst", "zeroed", "dropped", "cut_off")


@dataclass(frozen=True)
class Source:
    """Pictures of one source, as displayed, at a constant rate."""

    name: str
    rate: int
    pictures: list[Picture]


def sources(media: Path | None, part: str) -> Iterator[Source]:
    """Pieces of the test media where there are some, and synthesised videos."""
    if media is not None:
        for name, start_s, width, height in PIECES[part]:
            yield _piece(media / name, start_s, width, height)
    for seed in SYNTHETIC[part]:
        yield Source(f"synthetic{seed}", 25, list(synthetic(seed, 25 * SECONDS)))


def _piece(path: Path, start_s: float, width: int, height: int) -> Source:
    pictures: list[Picture] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = round(stream.average_rate or 25)
        step = 2 if rate > 45 else 1
        first = round(start_s * rate)
        for frame in itertools.islice(container.decode(stream), first, first + SECONDS * rate, step):
            picture = frame.to_ndarray(width=width, height=height, format="rgb24")
            pictures.append(picture.astype(np.uint8, copy=False))
    return Source(path.stem, rate // step, pictures)


def synthetic(seed: int, num_frames: int, *, width: int = 320, height: int = 180) -> Iterator[Picture]:
    """A textured background that pans, objects that move over it, sensor noise, and by seed a hard cut or a fade."""
    chance = np.random.default_rng(seed)
    backgrounds = [_texture(chance, width * 2, height * 2) for _ in range(2)]
    speed = chance.uniform(-1.5, 1.5, 2)
    places, moves = chance.uniform(0, 1, (4, 2)), chance.uniform(-0.015, 0.015, (4, 2))
    colours, sizes = chance.integers(0, 255, (4, 3)), chance.integers(12, 50, 4)
    for index in range(num_frames):
        background = backgrounds[int(seed % 3 == 0 and index >= num_frames // 2)]
        x, y = ((speed * index).astype(int)) % (width, height)
        picture = background[y : y + height, x : x + width].copy()
        for place, move, colour, size in zip(places, moves, colours, sizes, strict=True):
            column, row = (np.abs((place + move * index) % 2 - 1) * (width - size, height - size)).astype(int)
            picture[row : row + size, column : column + size] = colour
        if seed % 3 == 1:
            picture *= min(1.0, index / 30, (num_frames - index) / 30)
        picture += chance.normal(0, seed % 6, picture.shape).astype(np.float32)
        yield picture.clip(0, 255).astype(np.uint8)


def _texture(chance: np.random.Generator, width: int, height: int) -> NDArray[np.float32]:
    """Noise of all scales, as natural pictures have."""
    total = np.zeros((height, width, 3), np.float32)
    for scale in (4, 8, 16, 32, 64):
        cells = chance.normal(0, scale / 2, (-(-height // scale), -(-width // scale), 3))
        total += np.kron(cells, np.ones((scale, scale, 1)))[:height, :width].astype(np.float32)
    return total + chance.integers(70, 180, 3)


def encode(source: Source, codec: str, path: Path, *, gop: int, with_sound: bool) -> Path:
    """The source as a video file with an MP4's index in front, so that a part of it can be read."""
    encoder, options, _ = CODECS[codec]
    options = {**options, "g": str(gop)}
    if codec == "hevc":
        options["x265-params"] += f":keyint={gop}"
    height, width = (side // 2 * 2 for side in source.pictures[0].shape[:2])
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as output:
        stream = cast(VideoStream, output.add_stream(encoder, rate=source.rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, source.rate)
        stream.codec_context.thread_count = 1
        sound = _add_sound(output, path.suffix) if with_sound else None
        for index, picture in enumerate(source.pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, source.rate)
            with no_realtime_priority():
                output.mux(stream.encode(frame))
            if sound is not None:
                output.mux(sound.encode(_tone(index, source.rate)))
        output.mux(stream.encode(None))
        if sound is not None:
            output.mux(sound.encode(None))
    return path


def _add_sound(output: OutputContainer, suffix: str) -> AudioStream:
    codec = "libopus" if suffix == ".webm" else "aac"
    return cast(AudioStream, output.add_stream(codec, rate=SOUND_HZ, layout="mono"))


def _tone(index: int, rate: int) -> av.AudioFrame:
    """Sound of one frame's length: a chord that swells."""
    first, last = index * SOUND_HZ // rate, (index + 1) * SOUND_HZ // rate
    times = np.arange(first, last) / SOUND_HZ
    wave = (np.sin(times * 2765) + np.sin(times * 4147)) * (0.2 + 0.1 * np.sin(times * 5))
    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
    frame.pts, frame.sample_rate, frame.time_base = first, SOUND_HZ, Fraction(1, SOUND_HZ)
    return frame


def damage(original: Path, target: Path, kind: str, seed: int) -> Path:
    """A copy of the file with damage of one kind, at places that the seed decides."""
    chance = random.Random(seed)
    damages: dict[str, Callable[[Path, Path, random.Random], None]] = {
        "overwritten": _overwrite,
        "burst": _burst,
        "zeroed": _zero,
        "dropped": _drop,
        "cut_off": _cut_off,
    }
    damages[kind](original, target, chance)
    return target


def media_ranges(path: Path) -> list[tuple[int, int]]:
    """Offsets and sizes of the video packets in the file, the first keyframe left out (nothing would open)."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size and packet.pos]
    return packets[2:]


def _overwrite(original: Path, target: Path, chance: random.Random) -> None:
    """One to six hits of 12 random bytes inside packets."""
    data = bytearray(original.read_bytes())
    start = media_ranges(original)[0][0]
    for _ in range(chance.randint(1, 6)):
        offset = chance.randrange(start, len(data) - 1000)
        data[offset : offset + 12] = chance.randbytes(12)
    target.write_bytes(data)


def _burst(original: Path, target: Path, chance: random.Random) -> None:
    """One to five per cent of the file in one piece are noise."""
    data = bytearray(original.read_bytes())
    start = media_ranges(original)[0][0]
    length = int(len(data) * chance.uniform(0.01, 0.05))
    offset = chance.randrange(start, len(data) - length - 1000)
    data[offset : offset + length] = chance.randbytes(length)
    target.write_bytes(data)


def _zero(original: Path, target: Path, chance: random.Random) -> None:
    """One to three packets are zeros."""
    data = bytearray(original.read_bytes())
    ranges = media_ranges(original)
    for offset, size in chance.sample(ranges, chance.randint(1, 3)):
        if original.suffix == ".ts":
            first = offset // TS_PACKET * TS_PACKET
            for number in range(chance.randint(1, 8)):
                data[first + number * TS_PACKET : first + (number + 1) * TS_PACKET] = bytes(TS_PACKET)
        else:
            data[offset : offset + size] = bytes(size)
    target.write_bytes(data)


def _drop(original: Path, target: Path, chance: random.Random) -> None:
    """One to three video packets are missing: of a transport stream its own short packets, else whole ones."""
    if original.suffix == ".ts":
        data = original.read_bytes()
        short = [data[start : start + TS_PACKET] for start in range(0, len(data), TS_PACKET)]
        first = media_ranges(original)[0][0] // TS_PACKET
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(first, len(short) - 20)
            del short[place : place + chance.randint(1, 8)]
        target.write_bytes(b"".join(short))
        return
    lost = set(chance.sample(range(2, len(media_ranges(original)) - 2), chance.randint(1, 3)))
    with av.open(str(original)) as source, av.open(str(target), "w") as output:
        streams = [stream for stream in source.streams if stream.type in ("video", "audio")]
        tracks = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in streams}
        number = 0
        for packet in source.demux(streams):
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                number += 1
                if number - 1 in lost:
                    continue
            packet.stream = tracks[packet.stream_index]
            output.mux(packet)


def _cut_off(original: Path, target: Path, chance: random.Random) -> None:
    """The last part of the file is missing."""
    data = original.read_bytes()
    start = media_ranges(original)[0][0]
    target.write_bytes(data[: chance.randrange(max(start, len(data) // 4), int(len(data) * 0.95))])
