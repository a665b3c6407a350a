"""Pictures of videos and what the network says of them, kept in files: other measures of a detector are made of these.

The network takes nearly all of the time, and gives the same however these measures and the rules are changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.shots import BATCH, decoded_pictures
from stages.models import package_file, shot_detector_factory
from stages.params import SplitParams
from stages.split import Timeline
from stages.split.transnetv2_detector import PACKAGE, WEIGHTS, TransNetV2Detector, network_stride
from stages.stage import NodeInfo, WorkerMetadata

WORKER = WorkerMetadata("benchmark", NodeInfo("local", 1.0, 0.0))
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RecordedVideo:
    """What is kept of a video.

    Attributes:
        pictures: uint8 ``[N, 27, 48, 3]``, all frames.
        outputs: both outputs of the network, of the frames that it got.
        timeline: times of the frames.
        rate: frames a second, as the container tells.
    """

    pictures: NDArray[np.uint8]
    outputs: tuple[Floats, Floats]
    timeline: Timeline
    rate: Fraction | None

    @classmethod
    def of(cls, path: Path, file: Path, windows: Literal["whole", "published"] = "whole") -> Self:
        """The video at `path`, read from `file`, which is made with these windows of the network if need be."""
        if not file.exists():
            cls._record(path, windows).write(file)
        with np.load(file) as stored:
            times, base, rate = stored["times"].tolist(), Fraction(*stored["base"].tolist()), stored["rate"].tolist()
            outputs = stored["shot"], stored["transition"]
            return cls(
                stored["pictures"],
                outputs,
                Timeline(times[:-1], times[-1], base),
                Fraction(*rate) if rate else None,
            )

    @classmethod
    def _record(cls, path: Path, windows: Literal["whole", "published"]) -> Self:
        pictures, timeline, rate = decoded_pictures(path)
        network = shot_detector_factory(package_file(PACKAGE, WEIGHTS), WORKER, windows)()
        fed = pictures[:: network_stride(rate)]
        for start in range(0, len(fed), BATCH):
            network.push(fed[start : start + BATCH])
        return cls(pictures, network.finish(), timeline, rate)

    def write(self, file: Path) -> None:
        """Keep it."""
        base, rate = self.timeline.time_base, self.rate
        columns: dict[str, Any] = {
            "pictures": self.pictures,
            "shot": self.outputs[0],
            "transition": self.outputs[1],
            "times": np.array([*self.timeline.pts, self.timeline.end_pts]),
            "base": np.array([base.numerator, base.denominator]),
            "rate": np.array([rate.numerator, rate.denominator] if rate else [], np.int64),
        }
        np.savez_compressed(file, **columns)

    def measured(self, params: SplitParams) -> Mapping[str, NDArray[Any]]:
        """What the detector measures of it."""
        detector = _ReplayingDetector(params, self.outputs)
        detector.begin(self.rate)
        for start in range(0, len(self.pictures), BATCH):
            detector.push(self.pictures[start : start + BATCH])
        return detector.measured()


class _ReplayingDetector(TransNetV2Detector):
    """The detector, with outputs of the network that were computed before."""

    def __init__(self, params: SplitParams, outputs: tuple[Floats, Floats]) -> None:
        super().__init__(params)
        self._create_network = lambda: _Replay(outputs)


class _Replay:
    def __init__(self, outputs: tuple[Floats, Floats]) -> None:
        self._outputs = outputs

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Take the pictures, which were seen before."""

    def finish(self) -> tuple[Floats, Floats]:
        """Both outputs."""
        return self._outputs
