"""Measure this project beside its peers: the same videos, from files to written clips.

    PYTHONPATH=. python benchmarks/peers.py MEDIA WORK --peer-python PYTHON [--videos eight|long] [--only NAME...]

`eight` are eight of MEDIA's videos, 217 s; `long` is one file of twenty minutes at 720p, made of them. PYTHON is the
interpreter of an environment in which NeMo Curator is installed:

    pip install nemo-curator av==17.1.0 opencv-python-headless einops easydict scenedetect torch==2.13.0

Each command runs in a control group of its own, which counts the processor time and the memory of all its processes,
Ray's too; who runs this must be allowed to make control groups. NeMo Curator wants no other Ray on the machine. Runs
take turns, and the least of each is told.

NeMo Curator reads, cuts at a fixed stride of 10 s, encodes VP9, scores motion and writes. This project does all that,
and its other phases with their defaults: every filter, embeddings, captions, the dataset. It does not look for
duplicates, so that both write the same clips. PySceneDetect only detects shots, for reference.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cgroups import Cost, measure

EIGHT = (
    "sintel_trailer_52s.mp4",
    "chromeicon_30s.mp4",
    "globe_30s.mp4",
    "bottles_static_40s.mp4",
    "leaf_deer_24s.mp4",
    "nasa_jwst_13s.mp4",
    "dog_eating_14s.mp4",
    "pour_coffee_10s.mp4",
)
LONG_S = 1200
SETTINGS = ("split.method=fixed_stride", "filter.score_only=[all]", "dedup.copies=false", "dedup.eps=0")
ENCODING_VP9 = ("write.mode=encode", "write.encoder=vp9")
CLIP_SUFFIXES = (".mp4", ".mkv", ".webm")


@dataclass(frozen=True)
class Written:
    """Clips that a run wrote, and bytes of all its files."""

    clips: int
    bytes: int


def commands(videos: Path, peer_python: Path) -> dict[str, Callable[[Path], list[str]]]:
    """By name, the command that curates the videos into a folder."""

    def ours(*settings: str) -> Callable[[Path], list[str]]:
        def command(output: Path) -> list[str]:
            chosen = [part for each in (*SETTINGS, *settings) for part in ("--set", each)]
            curator = Path(sys.executable).with_name("curator")
            return [str(curator), "run", str(videos), "--root", str(output), "--yes", *chosen]

        return command

    pipeline = Path(__file__).with_name("peer_pipeline.py")
    detect = (
        "import sys, scenedetect; [scenedetect.detect(path, scenedetect.ContentDetector()) for path in sys.argv[1:]]"
    )
    files = [str(path) for path in sorted(videos.iterdir())]
    return {
        "ours, VP9": ours(*ENCODING_VP9),
        "NeMo Curator, VP9": lambda output: [str(peer_python), str(pipeline), str(videos), str(output)],
        "ours, default": ours(),
        "PySceneDetect, shots only": lambda output: [str(peer_python), "-c", detect, *files],
    }


def videos_of(media: Path, work: Path, name: str) -> Path:
    """The folder with the videos of a set, made where it is not there yet."""
    folder = work / name
    if folder.is_dir():
        return folder
    unfinished = Path(tempfile.mkdtemp(dir=work))
    if name == "eight":
        for video in EIGHT:
            shutil.copy(media / video, unfinished)
    else:
        _write_long(media, unfinished / "long.mp4")
    return unfinished.rename(folder)


def _write_long(media: Path, path: Path) -> None:
    """Twenty minutes of H.264 at 1280x720 and 25 frames a second with sound: the eight, one after another, again."""
    fit = "scale=1280:720:force_original_aspect_ratio=decrease,pad=1280:720:-1:-1,setsar=1,fps=25,format=yuv420p"
    parts: list[Path] = []
    for video in EIGHT:
        part = path.with_name(f"part-{len(parts)}.mp4")
        silence = ["-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo", "-map", "0:v:0", "-map", "1:a:0", "-shortest"]
        coded = ["-c:v", "libx264", "-crf", "21", "-c:a", "aac"]
        _ffmpeg(["-i", str(media / video), *silence, "-vf", fit, *coded, str(part)])
        parts.append(part)
    listing = path.with_suffix(".txt")
    listing.write_text("".join(f"file '{part}'\n" for part in parts))
    again = ["-stream_loop", "-1", "-f", "concat", "-safe", "0", "-i", str(listing), "-t", str(LONG_S)]
    _ffmpeg([*again, "-c", "copy", str(path)])
    for each in (*parts, listing):
        each.unlink()


def _ffmpeg(arguments: Iterable[str]) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def written_in(output: Path) -> Written:
    """What lies in the folder of a run."""
    files = [path for path in output.rglob("*") if path.is_file()]
    clips = [path for path in files if path.suffix in CLIP_SUFFIXES]
    return Written(len(clips), sum(path.stat().st_size for path in files))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure this project beside its peers.")
    parser.add_argument("media", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--videos", choices=("eight", "long"), default="eight")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    chosen = commands(videos_of(args.media.absolute(), args.work.absolute(), args.videos), args.peer_python.absolute())
    chosen = {name: command for name, command in chosen.items() if not args.only or name in args.only}
    found: dict[str, list[tuple[Cost, Written]]] = {name: [] for name in chosen}
    for _ in range(args.runs):
        for name, command in chosen.items():
            found[name].append(_run(command))
            _print(name, found[name])


def _run(command: Callable[[Path], list[str]]) -> tuple[Cost, Written]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        output.mkdir()
        path = os.pathsep.join(os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep))
        cost = measure(command(output), env={**os.environ, "PYTHONPATH": path}, cwd=Path(folder))
        return cost, written_in(output)


def _print(name: str, found: list[tuple[Cost, Written]]) -> None:
    cpu_s, wall_s, mib = (
        min(values) for values in zip(*((c.cpu_s, c.wall_s, c.peak_mib) for c, _ in found), strict=True)
    )
    written = found[-1][1]
    figures = f"{cpu_s:.1f} | {wall_s:.1f} | {mib:.0f} | {written.bytes / 1e6:.1f} | {written.clips}"
    print(f"| {name} | {figures} |  (core-seconds, wall s, MiB, MB written, clips)", flush=True)


if __name__ == "__main__":
    main()
