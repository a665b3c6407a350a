"""Measure what each measure of the decode costs, in process time of one core.

    PYTHONPATH=. python benchmarks/measures_cost.py VIDEO [--start 0] [--frames 240] [--runs 7]

Per frame of the video, the least of several runs: the decoder alone, and beside it each measure, timed frame by frame
within one pass, so that a busy machine disturbs all of them alike. A picture that several measures look at is counted
for the first of them.
"""

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
from av.packet import Packet

from stages.media import (
    DecodeLog,
    FieldsMeter,
    SoundLog,
    best_audio_stream,
    decode_frames,
    frame_rate,
    open_video,
    video_stream,
)
from stages.signals import DamageRecorder, FrameScaler, create_recorders

MOTION, COPIES = ("flow",), ("hashes", "stills")


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


def one_pass(path: Path, first: int, count: int) -> dict[str, float]:
    """Milliseconds a frame of the decoder and of each measure, over so many frames from the first on."""
    clock = Clock()
    with open_video(str(path)) as container:
        stream = video_stream(container)
        audio = best_audio_stream(container, stream)
        log, sound = DecodeLog(), TimedSound(audio) if audio is not None else None
        if sound is not None:
            sound.clock = clock
        recorders = create_recorders(
            MOTION,
            time_base=stream.time_base or Fraction(1),
            rate=frame_rate(stream),
            meter=FieldsMeter(),
            damage=DamageRecorder(log, stream, sound=sound),
        )
        recorders.sort(key=lambda each: each.name not in MOTION)
        scaler = FrameScaler()
        frames = decode_frames(container, log=log, sound=sound)
        for _ in itertools.islice(frames, first):
            pass
        clock.spent_s.clear()
        for _ in range(count):
            with clock.timed("decode"):
                decoded = next(frames)
            pictures = scaler(decoded)
            for recorder in recorders:
                with clock.timed(recorder.name):
                    recorder.push(pictures)
        for recorder in recorders:
            with clock.timed(recorder.name):
                recorder.samples()
    return {name: 1000 * spent_s / count for name, spent_s in clock.spent_s.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each measure of the decode costs.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    runs = [one_pass(args.video, args.start, args.frames) for _ in range(args.runs)]
    least = {name: min(run[name] for run in runs) for name in runs[0]}
    for name, spent_ms in sorted(least.items(), key=lambda each: -each[1]):
        print(f"{name:<16}{spent_ms:7.3f} ms a frame")
    others = sum(spent for name, spent in least.items() if name not in ("decode", *MOTION, *COPIES))
    copies = sum(least[name] for name in COPIES)
    print(f"beside motion: {others:.3f} ms a frame, and for copies {copies:.3f}")


if __name__ == "__main__":
    main()
