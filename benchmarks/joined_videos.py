"""Joins recordings at random, cuts clips of them, and tells how many pictures and how much of the sound is right.

    PYTHONPATH=. python benchmarks/joined_videos.py FIRST_SEED NUM_VIDEOS

Each video is of two to four pieces, joined byte by byte: transport stream, FLV or MPEG programme stream, with or
without B-frames, several sound codecs; each piece begins its times at 0, goes on, overlaps, leaves a gap or sets its
clock ahead.
"""

import random
import sys
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from stages.media.container import open_video, video_stream
from stages.media.cut import CutJob, cut_clip
from stages.media.decode import DecodedFrame, decode_frames
from stages.media.encode import Encoding
from stages.tasks import Span
from tests.toned_media import HERTZ_A_SECOND, RATE, START_HERTZ, decoded_sound, number_of, remuxed, toned_video

MAX_LAG_S = 0.03
CLIP_FRAMES = 50
MAX_CLIP_S = 10
FLV_HEADER_BYTES = 13


@dataclass
class Counts:
    """What is right, of how much."""

    frames: int = 0
    frames_in_order: int = 0
    clips: int = 0
    clips_with_their_pictures: int = 0
    sounds: int = 0
    sounds_in_step: int = 0
    faults: list[str] = field(default_factory=list)


def make_video(folder: Path, seed: int) -> tuple[Path, int]:
    """A joined video, and the number of its frames."""
    choose = random.Random(seed)
    suffix = choose.choice(["ts", "ts", "flv", "mpg"])
    codec = {"ts": "libx264", "flv": "libx264", "mpg": "mpeg2video"}[suffix]
    audio_codec = choose.choice(
        {"ts": ["aac", "mp2", "ac3"], "flv": ["aac", "libmp3lame"], "mpg": ["mp2", "ac3"]}[suffix]
    )
    options = {"g": "12", "bf": choose.choice(["0", "2"]), **({"qmin": "1", "qmax": "2"} if suffix == "mpg" else {})}
    parts: list[bytes] = []
    first, ends_s = 0, 0.0
    for piece in range(choose.randint(2, 4)):
        length = choose.randint(35, 60)
        kind = choose.choice(["restart", "on", "overlap", "gap", "ahead"]) if piece else "restart"
        starts_s = {
            "restart": 0.0,
            "on": ends_s,
            "overlap": ends_s - choose.choice([0.04, 0.2, 0.6]),
            "gap": ends_s + choose.choice([0.4, 2.0]),
            "ahead": ends_s + choose.choice([40, 4000]),
        }[kind]
        starts_s = max(0.0, round(starts_s * RATE) / RATE)
        name = folder / f"{seed}-{piece}.{'mp4' if suffix == 'flv' else suffix}"
        toned_video(name, length, first=first, codec=codec, audio_codec=audio_codec, starts_s=starts_s, options=options)
        data = (remuxed(name, name.with_suffix(".flv")) if suffix == "flv" else name).read_bytes()
        parts.append(data[FLV_HEADER_BYTES if suffix == "flv" and piece else 0 :])
        first, ends_s = first + length, starts_s + length / RATE
    path = folder / f"{seed}.{suffix}"
    path.write_bytes(b"".join(parts))
    return path, first


def measure(path: Path, num_frames: int, counts: Counts) -> None:
    """Decode the video as split does, and cut it into clips as write does."""
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        frames = list(decode_frames(container))
    numbers = [number_of(decoded.frame) for decoded in frames]
    counts.frames += num_frames
    counts.frames_in_order += sum(number == index for index, number in enumerate(numbers))
    ends = [*(decoded.pts for decoded in frames), frames[-1].pts + round(1 / (RATE * time_base))]
    for start in range(0, len(frames) - CLIP_FRAMES + 1, CLIP_FRAMES):
        if (ends[start + CLIP_FRAMES] - ends[start]) * time_base > MAX_CLIP_S:  # of a container whose gaps are kept
            continue
        counts.clips += 1
        job = _job(path, frames, start, Span(ends[start], ends[start + CLIP_FRAMES], time_base))
        clip = path.with_suffix(".clip.mp4")
        cut_clip(job, str(clip))
        counts.clips_with_their_pictures += _clip_numbers(clip)[0] == numbers[start : start + CLIP_FRAMES]
        lags = _lags_s(clip)
        counts.sounds += len(lags)
        counts.sounds_in_step += sum(abs(lag) <= MAX_LAG_S for lag in lags)


def _job(path: Path, frames: list[DecodedFrame], start: int, span: Span) -> CutJob:
    end = start + CLIP_FRAMES
    at_keyframes = frames[start].is_keyframe and (end == len(frames) or frames[end].is_keyframe)
    may_seek = not frames[-1].num_restarts
    return CutJob(str(path), span, CLIP_FRAMES, at_keyframes, "auto", Encoding("h264", 16), may_seek)


def _clip_numbers(clip: Path) -> tuple[list[int], list[float]]:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [float((frame.pts or 0) * (stream.time_base or 1)) for frame in frames]
        return [number_of(frame) for frame in frames], times


def _lags_s(clip: Path) -> list[float]:
    """By how much the sound lags behind the picture that is shown with it, ten times a second; nothing in silence."""
    numbers, times = _clip_numbers(clip)
    with av.open(str(clip)) as container:
        if not container.streams.audio:  # lost, in all of the clip
            return [np.inf] * (len(numbers) * 10 // RATE)
    hertz, samples = decoded_sound(clip)
    lags: list[float] = []
    for start in np.arange(0.05, len(samples) / hertz - 0.05, 0.1):
        part = samples[int(start * hertz) : int((start + 0.04) * hertz)]
        shown = int(np.searchsorted(times, start + 0.02, side="right")) - 1
        if np.abs(part).min() == 0 or np.sqrt((part**2).mean()) < 0.2:  # silence begins or ends
            continue
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 17))
        heard_s = (power.argmax() * hertz / (1 << 17) - START_HERTZ) / HERTZ_A_SECOND
        lags.append(numbers[shown] / RATE + min(1 / RATE, start + 0.02 - times[shown]) - heard_s)
    return lags


def main(first_seed: int, num_videos: int) -> None:
    """Print the counts."""
    counts = Counts()
    for seed in range(first_seed, first_seed + num_videos):
        with tempfile.TemporaryDirectory() as folder:
            path, num_frames = make_video(Path(folder), seed)
            before = (counts.frames_in_order, counts.sounds_in_step - counts.sounds)
            measure(path, num_frames, counts)
            if counts.frames_in_order - before[0] < num_frames or counts.sounds_in_step - counts.sounds < before[1]:
                counts.faults.append(path.name)
    print(counts)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
