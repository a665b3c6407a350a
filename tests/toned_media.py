"""Videos whose pictures tell their number, and whose sound tells its time by its pitch, in shapes that go wrong."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

RATE = 25
START_HERTZ, HERTZ_A_SECOND = 400, 300


def numbered_picture(number: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A picture whose halves tell a number below 256, 16 levels each."""
    picture = np.full((height, width, 3), number // 16 * 14 + 20, np.uint8)
    picture[:, width // 2 :] = number % 16 * 14 + 20
    return picture


def number_of(frame: av.VideoFrame) -> int:
    """The number in a decoded picture of any size."""
    picture = frame.to_ndarray(format="rgb24").astype(float)
    width = picture.shape[1]
    high, low = picture[:, : width // 2 - 4].mean(), picture[:, width // 2 + 4 :].mean()
    return round((high - 20) / 14) * 16 + round((low - 20) / 14)


def tone(start_s: float, seconds: float, hertz: int) -> NDArray[np.float32]:
    """Float32 ``[1, N]``: 400 Hz at second 0, rising by 300 Hz a second."""
    times = start_s + np.arange(round(seconds * hertz)) / hertz
    wave = 0.5 * np.sin(2 * np.pi * (START_HERTZ * times + HERTZ_A_SECOND / 2 * times**2))
    return wave.astype(np.float32)[None]


def toned_video(
    path: Path,
    num_frames: int,
    *,
    first: int = 0,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    audio_codec: str | None = "aac",
    hertz: int = 48000,
    layout: str = "mono",
    missing_s: tuple[float, float] | None = None,
    starts_s: float = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Frames `first` on at 25 fps, with the sound of their time; `missing_s` is cut out of the sound."""
    options = {"g": "25", "bf": "0"} if options is None else options
    with av.open(str(path), "w") as container:
        video = cast(VideoStream, container.add_stream(codec, rate=RATE, options=options))
        (video.width, video.height), video.pix_fmt = size, "yuv420p"
        audio = None
        if audio_codec:
            audio = cast(AudioStream, container.add_stream(audio_codec, rate=hertz, layout=layout))
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(first + index, *size), format="rgb24")
            frame.pts, frame.time_base = index + round(starts_s * RATE), Fraction(1, RATE)
            container.mux(video.encode(frame))
            if audio is not None:
                _encode_tone(container, audio, first / RATE, index / RATE, starts_s, missing_s)
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def _encode_tone(
    container: Any,
    audio: AudioStream,
    offset_s: float,
    at_s: float,
    starts_s: float,
    missing_s: tuple[float, float] | None,
) -> None:
    """Encode the sound of one frame's time."""
    if missing_s and missing_s[0] <= at_s < missing_s[1]:
        return
    hertz = audio.rate
    wave = tone(offset_s + at_s, 1 / RATE, hertz)
    samples = np.repeat(wave, audio.layout.nb_channels, axis=0)
    sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout=audio.layout.name)
    sound.sample_rate, sound.time_base = hertz, Fraction(1, hertz)
    sound.pts = round((at_s + starts_s) * hertz)
    container.mux(audio.encode(sound))


def joined(path: Path, pieces: Sequence[Path]) -> Path:
    """The pieces one after another, byte by byte."""
    path.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    return path


TS_PACKET_BYTES = 188


def with_pes_time(source: Path, path: Path, index: int, pts: int) -> Path:
    """A transport stream without B-frames whose video packet of this index has this PTS."""
    data = bytearray(source.read_bytes())
    starts = [
        place
        for packet in range(0, len(data), TS_PACKET_BYTES)
        if (place := data.find(b"\0\0\1\xe0", packet, packet + TS_PACKET_BYTES)) >= 0
    ]
    place = starts[index] + 9
    data[place : place + 5] = bytes(
        [0x21 | pts >> 29 & 14, pts >> 22 & 255, pts >> 14 & 254 | 1, pts >> 7 & 255, pts << 1 & 254 | 1]
    )
    path.write_bytes(data)
    return path


def remuxed(source: Path, path: Path, *, shift_s: float = 0, options: dict[str, str] | None = None) -> Path:
    """The same packets, moved in time, in another container that is written with these options."""
    with av.open(str(source)) as reader, av.open(str(path), "w", container_options=options or {}) as writer:
        tracks = {stream.index: writer.add_stream_from_template(stream, opaque=True) for stream in reader.streams}
        for packet in reader.demux():
            if packet.size:
                shift = round(Fraction(shift_s) / packet.time_base)
                packet.pts = packet.pts + shift if packet.pts is not None else None
                packet.dts = packet.dts + shift if packet.dts is not None else None
                packet.stream = tracks[packet.stream_index]
                writer.mux(packet)
    return path


def numbers_and_times(path: Path) -> tuple[list[int], list[float]]:
    """The number and time of each picture of a written clip."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        return [number_of(frame) for frame in frames], [float(frame.pts * stream.time_base) for frame in frames]  # type: ignore[operator]


def sound_lag_ms(path: Path, first: int = 0, *, every_s: float = 0.25) -> list[int]:
    """By how much the sound of a clip lags behind its own clock, in milliseconds, at points of its time.

    Args:
        path: of the clip.
        first: number of its first picture.
        every_s: distance of the points.
    """
    hertz, samples = decoded_sound(path)
    lags: list[int] = []
    for start in np.arange(0.08, len(samples) / hertz - 0.05, every_s):
        part = samples[int(start * hertz) : int((start + 0.04) * hertz)]
        if np.abs(part).max() < 0.02:
            continue
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 17))
        heard_s = (power.argmax() * hertz / (1 << 17) - START_HERTZ) / HERTZ_A_SECOND - first / RATE
        lags.append(round(1000 * (start + 0.02 - heard_s)))
    return lags


def decoded_sound(path: Path) -> tuple[int, NDArray[np.float32]]:
    """Rate and samples of the first channel, each at its time from second 0 on; silence elsewhere."""
    with av.open(str(path)) as container:
        return _placed_samples(container)


def _placed_samples(container: InputContainer) -> tuple[int, NDArray[np.float32]]:
    stream = container.streams.audio[0]
    hertz = stream.rate
    samples = np.zeros(0, np.float32)
    for frame in container.decode(stream):
        channel = frame.to_ndarray().astype(np.float32)
        channel = channel[0] if frame.format.is_planar else channel.reshape(-1, frame.layout.nb_channels)[:, 0]
        channel = channel / 32768 if frame.format.name.startswith("s16") else channel
        start = round(float((frame.pts or 0) * (stream.time_base or 1)) * hertz)
        if abs(start - len(samples)) < hertz // 200:  # times rounded to a millisecond would break the wave
            start = len(samples)
        end = start + len(channel)
        samples = np.concatenate([samples, np.zeros(max(0, end - len(samples)), np.float32)])
        samples[max(0, start) : end] = channel[max(0, -start) :]
    return hertz, samples
