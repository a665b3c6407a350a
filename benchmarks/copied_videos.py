"""Makes clips of real videos, and copies of them, by the ffmpeg command."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.copied_changes import Change
from benchmarks.copied_sources import Source

LONG_SIDE_PX = 480
_ENCODER = ["-c:v", "libx264", "-preset", "ultrafast", "-an"]
ORIGINAL = [*_ENCODER, "-crf", "17", "-pix_fmt", "yuv420p"]
TITLES = ("The Long Way Home", "Chapter One", "Chapter Two", "directed by A. Smith", "music by B. Jones", "The End")
_EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2,setsar=1"


@dataclass(frozen=True)
class Video:
    """One file of the benchmark.

    Attributes:
        path: the file.
        original: name of the clip that it shows, for each clip and its copies the same.
        change: what was done to it; None for the clip itself.
        source: where the clip is from; None for a made one.
        start_s, end_s: what it shows of its source.
    """

    path: Path
    original: str
    change: Change | None
    source: Source | None
    start_s: float = 0.0
    end_s: float = 0.0


ChangesOf = Callable[[str], Sequence[Change]]
"""Of a clip by name, the changes that its copies have."""


def make_videos(media: Path, folder: Path, sources: tuple[Source, ...], changes_of: ChangesOf) -> list[Video]:
    """The clips of the sources and their copies; files that are there already are taken as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = [(source, start, length) for source in sources for start, length in source.clips]
    made = [_videos(folder, *clip, changes_of) for clip in clips]
    for (source, start, length), wanted in zip(clips, made, strict=True):
        missing = [each for each in wanted if not each[0].path.exists()]
        if missing:
            longest = max(video.end_s for video, _, _ in wanted) - start
            _make(["-ss", f"{start}", "-t", f"{max(longest, length):.3f}", "-i", str(media / source.video)], missing)
    return [video for wanted in made for video, _, _ in wanted]


Output = tuple["Video", str, list[str]]
"""A file, the filters that make its pictures of the source's, and the options of its encoder."""


def _videos(folder: Path, source: Source, start: float, length: float, changes_of: ChangesOf) -> list[Output]:
    """The clip and its copies."""
    name = f"{Path(source.video).stem}_{start:g}"
    end_of_shot = next(end for first, end in source.shots if first <= start < end)
    plain = f"trim=duration={length}"
    outputs: list[Output] = [
        (Video(folder / f"{name}.mp4", name, None, source, start, start + length), plain, ORIGINAL)
    ]
    for change in changes_of(name):
        first, seconds = change.start * length, change.length * length
        if start + first + seconds > end_of_shot + 0.05:
            continue
        x, y = np.random.default_rng([ord(letter) for letter in name + change.name]).uniform(0, 1, 2)
        cut = f"trim=start={first:.3f}:duration={seconds:.3f},setpts=PTS-STARTPTS"
        filters = f"{cut},{change.filters.format(x=x, y=y)},{_EVEN}"
        options = [*_ENCODER, "-crf", str(change.crf), "-pix_fmt", "yuv420p", *change.options]
        path = folder / f"{name}.{change.name}.mp4"
        outputs.append((Video(path, name, change, source, start + first, start + first + seconds), filters, options))
    return outputs


def make_cards(folder: Path) -> list[Video]:
    """Black, still and title frames, no two of which are copies."""
    folder.mkdir(parents=True, exist_ok=True)
    plate = ",drawbox=y=60:h=70:color=teal:t=fill,drawbox=y=250:h=40:color=orange:t=fill"
    graphs = {
        "black": "color=c=black:s=480x270:r=25:d=3",
        "black_noise": "color=c=0x080808:s=480x270:r=25:d=3,noise=alls=8:allf=t",
        "white": "color=c=white:s=480x270:r=25:d=3",
        "fade": "color=c=white:s=480x270:r=25:d=3,fade=in:0:60",
        "grey_noise": "color=c=gray:s=480x270:r=25:d=3,noise=alls=30:allf=t",
    }
    for number, text in enumerate(TITLES):
        words = f"drawtext=text='{text}':fontsize=40:fontcolor=white:x=(w-tw)/2:y=(h-th)/2"
        graphs[f"card_black{number}"] = f"color=c=black:s=480x270:r=25:d=3,{words}"
        graphs[f"card_plate{number}"] = f"color=c=navy:s=480x360:r=25:d=3{plate},{words}"
    videos = [Video(folder / f"{name}.mp4", name, None, None) for name in graphs]
    for video in videos:
        if not video.path.exists():
            _make(["-f", "lavfi", "-i", graphs[video.original]], [(video, "null", ORIGINAL)])
    return videos


def _make(inputs: list[str], outputs: list[Output]) -> None:
    """Decode once, and encode all outputs."""
    fitted = f"scale='if(gt(iw,ih),min({LONG_SIDE_PX},iw),-2)':'if(gt(iw,ih),-2,min({LONG_SIDE_PX},ih))',{_EVEN}"
    branches = "".join(f"[in{number}]" for number in range(len(outputs)))
    chains = [f"[0:v]{fitted},split={len(outputs)}{branches}"]
    arguments: list[str] = []
    for number, (video, filters, options) in enumerate(outputs):
        chains.append(f"[in{number}]{filters}[out{number}]")
        part = video.path.with_suffix(".part.mp4")
        arguments += ["-map", f"[out{number}]", *options, "-threads", "1", str(part)]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1", *inputs]
    command += ["-filter_complex", ";".join(chains), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        names = ", ".join(video.path.name for video, _, _ in outputs)
        raise RuntimeError(f"ffmpeg failed for {names}: {done.stderr.strip()[-500:]}")
    for video, _, _ in outputs:
        video.path.with_suffix(".part.mp4").rename(video.path)
