"""Small real videos, each described by its content and its cuts."""

import functools
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def write_video(
    path: Path,
    pictures: list[Picture],
    *,
    rate: int = 25,
    codec: str = "libx264",
    pts: list[int] | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
) -> Path:
    """Encode uint8 ``[H, W, 3]`` RGB pictures; `pts` in units of 1/rate makes the frame rate vary."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = Fraction(1, rate)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts[index] if pts else index
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def noise_shot(seed: int, num_frames: int, *, width: int = 96, height: int = 64, speed: int = 1) -> list[Picture]:
    """A textured picture that slides by `speed` pixels per frame: one shot with motion, its colour by `seed`."""
    random = np.random.default_rng(seed)
    tint = random.integers(40, 200, 3)
    small = random.integers(0, 56, (height // 8, width // 8, 3))
    texture = np.clip(np.kron(small, np.ones((8, 8, 1))) + tint, 0, 255).astype(np.uint8)
    return [np.roll(texture, index * speed, axis=1) for index in range(num_frames)]


def noisy_video(path: Path, num_frames: int, *, seed: int = 1, width: int = 128, height: int = 96) -> Path:
    """Frames of noise, which no codec compresses well: about 20 kB each."""
    random = np.random.default_rng(seed)
    pictures = [random.integers(0, 256, (height, width, 3)).astype(np.uint8) for _ in range(num_frames)]
    return write_video(path, pictures, options={"preset": "ultrafast", "qp": "8"})


def three_shots(path: Path, *, rate: int = 25) -> Path:
    """Three sliding shots of 75 frames: cuts at frames 75 and 150, 9 seconds at 25 fps."""
    path.write_bytes(_three_shots(path.suffix, rate))
    return path


@functools.cache
def _three_shots(suffix: str, rate: int) -> bytes:
    """Encoded once a process: many tests begin with it."""
    pictures = [picture for seed in (1, 2, 6) for picture in noise_shot(seed, 75)]
    with tempfile.TemporaryDirectory() as folder:
        return write_video(Path(folder, f"three{suffix}"), pictures, rate=rate, options={"g": "50"}).read_bytes()


def remux(source: Path, path: Path, *, rotation: int = 0, pixel_aspect: Fraction | None = None) -> Path:
    """The same stream in a container with a rotation (counter-clockwise) or a pixel aspect ratio."""
    with av.open(str(source)) as reader, av.open(str(path), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        if rotation:
            track.set_display_rotation(rotation)
        if pixel_aspect:
            track.codec_context.sample_aspect_ratio = pixel_aspect
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = track
                writer.mux(packet)
    return path


def beeping_video(path: Path, *, audio_codec: str = "aac", beep_s: float = 1.4, seconds: int = 3) -> Path:
    """25 fps, a keyframe each second; silent and dark until `beep_s`, from then on white with a tone."""
    rate, hertz = 25, 48000
    with av.open(str(path), "w") as container:
        options = {"g": "25", "keyint_min": "25", "bf": "2"}
        video = cast(VideoStream, container.add_stream("libx264", rate=rate, options=options))
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = cast(AudioStream, container.add_stream(audio_codec, rate=hertz, layout="mono"))
        for second in range(seconds):
            for index in range(second * rate, (second + 1) * rate):
                grey = 235 if index >= beep_s * rate else 20
                frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), grey, np.uint8), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, rate)
                container.mux(video.encode(frame))
            times = np.arange(second * hertz, (second + 1) * hertz) / hertz
            wave = np.where(times >= beep_s, np.sin(times * 880 * np.pi) * 0.5, 0)[None].astype(np.float32)
            sound = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            sound.pts, sound.sample_rate, sound.time_base = second * hertz, hertz, Fraction(1, hertz)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def truncated(source: Path, path: Path, *, share: float) -> Path:
    """The first part of a file with its header at the beginning, as an interrupted download leaves it."""
    whole = path.with_name(f"whole_{path.name}")
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(source)) as reader, av.open(str(whole), "w", options=options) as writer:
        track = writer.add_stream_from_template(reader.streams.video[0], opaque=True)
        for packet in reader.demux(video=0):
            if packet.size:
                packet.stream = track
                writer.mux(packet)
    data = whole.read_bytes()
    whole.unlink()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def slides(path: Path, *, seconds: int = 3, changes: int = 2) -> Path:
    """Still pictures, `seconds` each at 25 fps, that differ by a grey box: too little for a shot detection network."""
    pictures: list[Picture] = []
    for number in range(changes + 1):
        slide = np.full((64, 96, 3), 230, np.uint8)
        slide[8:20, 8 + 24 * number : 28 + 24 * number] = 180
        pictures += [slide] * (25 * seconds)
    return write_video(path, pictures)


def song_with_cover(path: Path) -> Path:
    """One second of audio, and cover art as an attached picture."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(noise_shot(1, 1)[0], format="rgb24")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 48000
        container.mux([*audio.encode(sound), *audio.encode(None)])
    return path
