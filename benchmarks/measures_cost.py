"""Measure what each part of the decode pass costs, in process time of one core.

    PYTHONPATH=. python benchmarks/measures_cost.py VIDEO... [--start 0] [--frames 240] [--runs 7]

Per frame of the video, the least of several runs: the decoder alone, and beside it each measure, the pictures of the
frame store and those that the splitter's network gets, timed frame by frame within one pass, so that a busy machine
disturbs all of them alike. The time that timing itself takes is taken off. A picture that several measures look at is
counted for the first of them. Several videos are measured in turn, and printed side by side.
"""

import argparse
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
from av.container import InputContainer
from av.packet import Packet

from stages.media import (
    DecodedFrame,
    DecodeLog,
    FieldsMeter,
    SoundLog,
    StoreFiller,
    StoreWriter,
    UprightScaler,
    best_audio_stream,
    decode_frames,
    frame_rate,
    open_video,
    video_stream,
)
from stages.params import SplitParams
from stages.signals import DamageRecorder, FrameScaler, create_recorders
from stages.split.transnetv2_detector import TransNetV2Detector
from stages.storage import Storage

MOTION, COPIES = ("flow",), ("hashes", "fast", "stills")
PICTURES = ("reduced frame", "frame store", "splitter")
NOTHING = "nothing"
"""Name of an empty block: what timing itself takes."""


class Clock:
    """Sums process time by name, less what is timed within."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)
        self._inner_s = 0.0

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the time of the block for this name."""
        outer_s, self._inner_s = self._inner_s, 0.0
        start_s = time.process_time()
        yield
        whole_s = time.process_time() - start_s
        self.spent_s[name] += whole_s - self._inner_s
        self._inner_s = outer_s + whole_s


class TimedSound(SoundLog):
    """A log of sound whose work is timed."""

    clock: Clock

    def add(self, packet: Packet) -> None:
        """As of the log."""
        with self.clock.timed("sound"):
            super().add(packet)


class Pass:
    """One decode of a video, each part of it timed."""

    def __init__(self, path: Path, folder: str) -> None:
        self.clock = Clock()
        self._path = path
        self._folder = folder

    def run(self, first: int, count: int) -> dict[str, float]:
        """Milliseconds a frame of the decoder and of each part, over so many frames from the first on."""
        params = SplitParams()
        with (
            open_video(str(self._path)) as container,
            StoreWriter(Storage(self._folder), "frames.parquet", key="", max_px=params.frames_max_px) as writer,
        ):
            self._open(container, writer, params)
            frames = decode_frames(container, log=self._log, sound=self._sound)
            for decoded in itertools.islice(frames, first):
                self._push(decoded)
            self.clock.spent_s.clear()
            for _ in range(count):
                with self.clock.timed("decode"):
                    decoded = next(frames)
                self._push(decoded)
            spent_ms = {name: 1000 * spent_s / count for name, spent_s in self.clock.spent_s.items()}
            self.clock.spent_s.clear()
            for recorder in self._recorders:
                with self.clock.timed(recorder.name):
                    recorder.samples()
        for name, spent_s in self.clock.spent_s.items():  # of all frames
            spent_ms[name] = spent_ms.get(name, 0) + 1000 * spent_s / (first + count)
        nothing_ms = spent_ms.pop(NOTHING)
        return {name: max(0.0, each - nothing_ms * (name != "sound")) for name, each in spent_ms.items()}

    def _open(self, container: InputContainer, writer: StoreWriter, params: SplitParams) -> None:
        stream = video_stream(container)
        time_base = stream.time_base or Fraction(1)
        audio, meter = best_audio_stream(container, stream), FieldsMeter()
        self._log, self._sound = DecodeLog(), TimedSound(audio) if audio is not None else None
        if self._sound is not None:
            self._sound.clock = self.clock
        damage = DamageRecorder(self._log, stream, sound=self._sound)
        self._recorders = create_recorders(
            MOTION, time_base=time_base, rate=frame_rate(stream), meter=meter, damage=damage
        )
        self._recorders.sort(key=lambda each: each.name not in MOTION)
        self._store = StoreFiller(writer.add, params.frames_fps, time_base, meter=meter)
        self._splitter, self._scaler = UprightScaler(TransNetV2Detector.picture_size), FrameScaler()

    def _push(self, decoded: DecodedFrame) -> None:
        with self.clock.timed(NOTHING):
            pass
        pictures = self._scaler(decoded)
        with self.clock.timed("reduced frame"):
            _ = pictures.reduced
        for recorder in self._recorders:
            with self.clock.timed(recorder.name):
                recorder.push(pictures)
        with self.clock.timed("frame store"):
            self._store.push(decoded)
        with self.clock.timed("splitter"):
            self._splitter(decoded.frame, pictures.reduced)


def least_of(path: Path, *, first: int, frames: int, runs: int) -> dict[str, float]:
    """The least of several runs of each part, and their sums."""
    with tempfile.TemporaryDirectory() as folder:
        passes = [Pass(path, folder).run(first, frames) for _ in range(runs)]
    least = {name: min(each[name] for each in passes) for name in passes[0]}
    others = [name for name in least if name not in ("decode", *MOTION, *COPIES, *PICTURES)]
    sums = {"measures but motion and copies": others, "all measures": [*others, *MOTION, *COPIES]}
    sums["all but the decoder"] = [*sums["all measures"], *PICTURES]
    return dict(sorted(least.items(), key=lambda each: -each[1])) | {
        name: sum(least[each] for each in parts) for name, parts in sums.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each part of the decode pass costs.")
    parser.add_argument("video", type=Path, nargs="+")
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    found = [least_of(path, first=args.start, frames=args.frames, runs=args.runs) for path in args.video]
    print("ms a frame, share of the decoder:", *(path.name for path in args.video))
    for name in found[0]:
        figures = (f"{each.get(name, 0):9.3f}{each.get(name, 0) / each['decode']:7.1%}" for each in found)
        print(f"{name:<32}", *figures)


if __name__ == "__main__":
    main()
