"""Clips of real videos, and copies made of them by the ffmpeg command: twelve kinds of change, in two strengths."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Source:
    """Single shots of one video.

    Attributes:
        family: of videos that show the same.
        video: name of the file.
        shots: (start, end) of each shot, in seconds; clips are cut inside of one.
        clips: (start, length) of each clip, in seconds.
        is_still: nothing moves, so that pieces of one shot are copies as much as not; their pairs are not judged.
    """

    family: str
    video: str
    clips: tuple[tuple[float, float], ...]
    shots: tuple[tuple[float, float], ...]
    is_still: bool = False


TUNED = (
    Source(
        "sintel",
        "sintel_trailer_52s.mp4",
        ((0.8, 4.0), (29.2, 2.3), (36.2, 3.0), (42.2, 3.0)),
        ((0.0, 4.9), (29.2, 31.5), (36.2, 39.2), (42.2, 45.2)),
    ),
    Source("chromeicon", "chromeicon_30s.mp4", ((21.6, 3.0), (24.6, 3.0), (27.6, 2.6)), ((21.5, 30.2),)),
    Source("nasa", "nasa_jwst_13s.mp4", ((0.1, 3.2), (8.2, 3.2)), ((0.0, 5.0), (8.1, 12.9))),
    Source(
        "leaf",
        "leaf_deer_24s.mp4",
        ((1.1, 3.3), (8.1, 2.8), (14.2, 3.0), (18.7, 3.5)),
        ((1.0, 6.0), (8.0, 11.0), (14.1, 17.7), (18.6, 24.0)),
    ),
    Source("hands", "hands_blocks_10s.mp4", ((0.1, 3.2), (3.3, 3.2)), ((0.0, 9.7),)),
    Source("gutter", "gutter_water_av1.webm", ((0.5, 4.0), (4.5, 4.0), (8.5, 4.0)), ((0.0, 20.0),)),
    Source("bottles", "bottles_static_40s.mp4", ((1.0, 4.0), (5.0, 4.0)), ((0.0, 39.8),), is_still=True),
    Source("asl", "asl_book.mkv", ((0.0, 3.6),), ((0.0, 3.6),)),
    Source("asl", "asl_walk.mkv", ((0.0, 2.9),), ((0.0, 2.9),)),
    Source("asl", "asl_sister.mkv", ((0.0, 2.9),), ((0.0, 2.9),)),
    Source("globe", "globe_30s.mp4", ((1.0, 4.0), (5.0, 4.0), (9.0, 4.0)), ((0.0, 30.0),)),
    Source("flower", "flower_5s.mp4", ((0.2, 3.5),), ((0.0, 5.0),)),
)
KEPT = (
    Source("bikes", "bikes_10s.mp4", ((3.1, 2.4), (7.5, 2.1)), ((3.0, 5.5), (7.5, 9.7))),
    Source("city", "city_night_cc0.mpg", ((0.1, 3.2), (4.7, 2.8)), ((0.0, 4.5), (4.6, 7.6))),
    Source("morph", "chrome_morph_34s.mp4", ((2.0, 4.0), (6.0, 4.0), (14.0, 4.0), (22.0, 4.0)), ((0.0, 31.1),)),
    Source("pattern", "pattern_portrait_hd.mp4", ((0.5, 4.0),), ((0.0, 6.8),)),
    Source("door", "door_pan_4s.mp4", ((0.0, 2.8),), ((0.0, 4.0),)),
    Source("pour", "pour_coffee_10s.mp4", ((0.1, 3.1), (3.2, 3.1)), ((0.0, 9.5),)),
    Source("dog", "dog_eating_14s.mp4", ((0.1, 3.5), (3.6, 3.5), (7.1, 3.5)), ((0.0, 13.7),)),
    Source("screen", "screen_editor_60fps.mp4", ((0.5, 4.0),), ((0.0, 8.9),)),
    Source("webcam", "webcam_sheet_vfr.mov", ((0.3, 3.5),), ((0.0, 7.3),)),
    Source("tractor", "tractor_vp9.webm", ((0.1, 3.5), (3.6, 3.5)), ((0.0, 9.9),)),
    Source("carphone", "carphone_pristine.mp4", ((0.0, 3.0),), ((0.0, 4.0),)),
    Source(
        "slides",
        "slides_122s_1080p.mp4",
        ((1.0, 4.0), (52.0, 4.0), (72.0, 4.0), (93.5, 4.0), (102.0, 4.0)),
        ((0.0, 7.0), (50.9, 69.8), (70.0, 89.8), (92.9, 100.4), (100.6, 113.6)),
        is_still=True,
    ),
)
"""No threshold was chosen on these."""

LONG_SIDE_PX = 480
_ENCODER = ["-c:v", "libx264", "-preset", "ultrafast", "-an"]
ORIGINAL = [*_ENCODER, "-crf", "17", "-pix_fmt", "yuv420p"]
TITLES = ("The Long Way Home", "Chapter One", "Chapter Two", "directed by A. Smith", "music by B. Jones", "The End")
_EVEN = "scale=trunc(iw/2)*2:trunc(ih/2)*2,setsar=1"
_TAGGED = "format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,"
_TO_PQ = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=smpte2084:m=bt2020nc:r=tv"
_TO_HLG = _TAGGED + "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020:t=arib-std-b67:m=bt2020nc:r=tv"
_HDR = ["-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc"]


@dataclass(frozen=True)
class Change:
    """What a copy differs in.

    Attributes:
        kind: one of twelve, and "mixed".
        strength: 1, or 2 for more.
        filters: of the ffmpeg command; ``{x}``, ``{y}`` are random shares of the room for a crop.
        crf: of the copy.
        options: further ones of the encoder.
        start, length: shares of the clip that are kept; a start above 0 with length 1 reaches beyond its end.
    """

    kind: str
    strength: int
    filters: str = "null"
    crf: int = 24
    options: tuple[str, ...] = ()
    start: float = 0.0
    length: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.kind}{self.strength}"


def _mark(text: str, share: float, alpha: float, place: str) -> str:
    return (
        f"drawtext=text='{text}':fontsize=h*{share}:fontcolor=white@{alpha}:borderw=2:bordercolor=black@{alpha}:{place}"
    )


CHANGES = (
    Change("encode", 1, crf=32),
    Change("encode", 2, crf=40),
    Change("scale", 1, "scale=trunc(iw/4)*2:-2"),
    Change("scale", 2, "scale=trunc(iw/8)*2:-2"),
    Change("crop", 1, "crop=iw*0.9:ih*0.9:iw*0.1*{x}:ih*0.1*{y}"),
    Change("crop", 2, "crop=iw*0.8:ih*0.8:iw*0.2*{x}:ih*0.2*{y}"),
    Change("letterbox", 1, "pad=iw:ih*1.33:0:(oh-ih)/2"),
    Change("letterbox", 2, "scale=trunc(iw*0.35)*2:-2,pad=iw*1.8:ih:(ow-iw)/2:0"),
    Change("mark", 1, _mark("Channel 5", 0.09, 0.7, "x=w*0.75-tw/2:y=h*0.06")),
    Change(
        "mark",
        2,
        "drawbox=x=iw*0.05:y=ih*0.72:w=iw*0.9:h=ih*0.2:color=navy@0.85:t=fill,"
        + _mark("Breaking news of today", 0.1, 1, "x=(w-tw)/2:y=h*0.77"),
    ),
    Change("colour", 1, "eq=gamma=1.4:saturation=1.5:contrast=1.1"),
    Change("colour", 2, "hue=h=90:s=0.4,eq=gamma=0.6:contrast=1.4:brightness=0.05"),
    Change("speed", 1, "setpts=PTS/1.1"),
    Change("speed", 2, "setpts=PTS/1.5"),
    Change("rate", 1, "fps=15"),
    Change("rate", 2, "fps=10"),
    Change("hdr", 1, _TO_PQ, options=(*_HDR, "smpte2084")),
    Change("hdr", 2, _TO_HLG, options=(*_HDR, "arib-std-b67")),
    Change("trim", 1, start=0.13, length=0.75),
    Change("trim", 2, start=0.4, length=0.5),
    Change("overlap", 1, start=0.3),
    Change("overlap", 2, start=0.45),
    Change("noise", 1, "gblur=sigma=2"),
    Change("noise", 2, "noise=alls=36:allf=t", crf=30),
    Change("border", 1, "pad=iw*1.1:ih*1.1:(ow-iw)/2:(oh-ih)/2:white"),
    Change("border", 2, "pad=iw*1.25:ih*1.25:(ow-iw)/2:(oh-ih)/2:0x406080"),
    Change(
        "mixed", 1, "crop=iw*0.94:ih*0.94,scale=trunc(iw*0.3)*2:-2," + _mark("myTV", 0.08, 0.8, "x=w*0.06:y=h*0.06"), 32
    ),
    Change(
        "mixed",
        2,
        "setpts=PTS/1.25,crop=iw*0.88:ih*0.88,eq=gamma=1.3,scale=trunc(iw*0.25)*2:-2,pad=iw:ih*1.25:0:(oh-ih)/2",
        34,
    ),
)


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


def make_videos(media: Path, folder: Path, sources: tuple[Source, ...]) -> list[Video]:
    """The clips of the sources and their copies; files that are there already are taken as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = [(source, start, length) for source in sources for start, length in source.clips]
    made = [_videos(folder, *clip) for clip in clips]
    for (source, start, length), wanted in zip(clips, made, strict=True):
        missing = [each for each in wanted if not each[0].path.exists()]
        if missing:
            longest = max(video.end_s for video, _, _ in wanted) - start
            _make(["-ss", f"{start}", "-t", f"{max(longest, length):.3f}", "-i", str(media / source.video)], missing)
    return [video for wanted in made for video, _, _ in wanted]


Output = tuple["Video", str, list[str]]
"""A file, the filters that make its pictures of the source's, and the options of its encoder."""


def _videos(folder: Path, source: Source, start: float, length: float) -> list[Output]:
    """The clip and its copies."""
    name = f"{Path(source.video).stem}_{start:g}"
    end_of_shot = next(end for first, end in source.shots if first <= start < end)
    plain = f"trim=duration={length}"
    outputs: list[Output] = [
        (Video(folder / f"{name}.mp4", name, None, source, start, start + length), plain, ORIGINAL)
    ]
    for change in CHANGES:
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
