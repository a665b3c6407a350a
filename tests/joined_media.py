"""What the ffmpeg and ffprobe commands make of a clip that was joined of copied packets and encoded edges."""

import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.media.clip_file import ClipFile, CutJob
from stages.media.encode import Encoding
from stages.media.joined_clip import join_clip
from stages.tasks import Span


@dataclass(frozen=True)
class Shown:
    """A video as the ffmpeg and ffprobe commands tell it.

    Attributes:
        unit: of times, in seconds.
        times: PTS in the order of the screen.
        decoding_times: DTS in the order of the file.
        length: as the header tells it; None where it does not.
        keyframes: PTS of those packets.
        samples: of the decoded frames, all planes of each, ``[frames, samples]``.
    """

    unit: Fraction
    times: list[int]
    decoding_times: list[int]
    length: int | None
    keyframes: list[int]
    samples: NDArray[np.unsignedinteger]

    @classmethod
    def of(cls, path: Path, *, level: str = "warning") -> "Shown":
        """Read a file. The commands must say nothing of this level."""
        show = ["-show_entries", "packet=pts,dts,flags:stream=time_base,pix_fmt,duration_ts", "-of", "compact"]
        text = _output(["ffprobe", "-v", level, "-select_streams", "v:0", *show, str(path)]).decode()
        rows = [dict(part.split("=", 1) for part in line.split("|") if "=" in part) for line in text.splitlines()]
        packets, stream = [row for row in rows if "pts" in row], next(row for row in rows if "pix_fmt" in row)
        read = ["ffmpeg", "-v", level, "-threads", "1", "-noautorotate", "-i", str(path), "-map", "0:v:0"]
        samples = _output([*read, "-fps_mode", "passthrough", "-f", "rawvideo", "-"])
        kind = np.uint16 if "10" in stream["pix_fmt"] else np.uint8
        return cls(
            Fraction(stream["time_base"]),
            sorted(int(row["pts"]) for row in packets),
            [int(row["dts"]) for row in packets if row["dts"] != "N/A"],
            None if stream["duration_ts"] == "N/A" else int(stream["duration_ts"]),
            [int(row["pts"]) for row in packets if "K" in row["flags"]],
            np.frombuffer(samples, kind).reshape(len(packets), -1),
        )

    def job(self, path: Path, start: int, end: int, **changes: Any) -> CutJob:
        """Frames [start, end) of this video, which lies at a path, to be joined."""
        ends = [*self.times, 2 * self.times[-1] - self.times[-2]]
        span = Span(ends[start], ends[end], self.unit)
        return replace(CutJob(str(path), span, end - start, False, "smart", Encoding("h264", 12)), **changes)


def _output(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=True)
    assert not done.stderr, done.stderr.decode()
    return done.stdout


def check_joined(
    path: Path, source: Shown, start: int, end: int, *, tolerance: float
) -> tuple[ClipFile, NDArray[np.bool_]]:
    """Join frames [start, end) of a source, check what the commands tell of the clip, and say which frames are equal.

    Args:
        path: of the source.
        source: what the commands tell of it.
        start: first frame.
        end: behind the last.
        tolerance: mean difference of a frame's samples, at most.

    Raises:
        NotCopyable: they cannot be joined.
    """
    clip = path.with_suffix(".clip.mp4")
    job = source.job(path, start, end)
    cut = join_clip(job, str(clip))
    shown = Shown.of(clip)
    assert (shown.length or 0) * shown.unit == (job.span.end_pts - job.span.start_pts) * source.unit
    assert [time * shown.unit for time in shown.times] == [
        (time - source.times[start]) * source.unit for time in source.times[start:end]
    ]
    assert len(shown.decoding_times) == len(shown.samples) == cut.num_frames == end - start
    assert (np.diff(shown.decoding_times) > 0).all()
    differences = np.abs(shown.samples.astype(np.int16) - source.samples[start:end].astype(np.int16)).mean(axis=1)
    assert differences.max() <= tolerance
    return cut, differences == 0
