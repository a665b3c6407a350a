"""Splits a video into clips within shots, which lie between the transitions that a detector found."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import registry
from stages.errors import concerning
from stages.models import construct
from stages.params import SplitParams
from stages.split import nemo_compat
from stages.split.analyser import PartRule
from stages.split.detector import TransitionDetector
from stages.split.spans import (
    LengthRules,
    Piece,
    Shot,
    divide_shots,
    shots_between,
    snap_inward,
    split_shot,
)
from stages.split.splitter import Splitter
from stages.split.timeline import Timeline
from stages.split.transitions import Transition
from stages.stage import WorkerMetadata
from stages.tasks import exact_fraction


class ShotSplitter(Splitter):
    """Makes clips within shots; no clip holds frames of a transition. Only ends at transitions are cropped."""

    def __init__(self, params: SplitParams) -> None:
        super().__init__(params)
        with concerning("split.detector"):
            self._detector: TransitionDetector = construct("detector", params.detector, params)
        self.picture_size = self._detector.picture_size

    def identity(self) -> dict[str, Any]:
        """The detector's model, the hash of its weights, and the version of its code where it is a user's own."""
        return {**self._detector.identity(), **registry.code_identity("detector", self.params.detector)}

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the detector's model."""
        self._detector.setup(worker_metadata)
        self.dtype = self._detector.dtype

    def begin_video(self, frame_rate: Fraction | None) -> None:
        """Start a new video."""
        self._detector.begin(frame_rate)

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next frames."""
        self._detector.push(pictures)

    def measured(self) -> Mapping[str, NDArray[Any]] | None:
        """What the detector measured."""
        return self._detector.measured()

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Give it back to the detector."""
        self._detector.restore(measured)

    def part_rule(self, frame_rate: Fraction | None) -> PartRule | None:
        """That of the detector."""
        return self._detector.part_rule(frame_rate)

    def measure_identity(self) -> dict[str, Any]:
        """What the detector measures depends on, and its code where it is a user's own."""
        return {
            **self._detector.measure_identity(),
            **registry.code_identity("detector", self.params.detector),
        }

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The pieces that become clips; with ``compat=nemo`` by NeMo Curator's rules."""
        params = self.params
        if params.compat == "nemo":
            return self._nemo_pieces((self.measured() or {})["shot_probability"].tolist(), timeline)
        rules = LengthRules(params.min_length_s, params.max_length_s, params.cropped_s, params.max_length_mode)
        allowed = self.boundaries(timeline)
        return [piece for shot in self.shots(timeline) for piece in split_shot(shot, timeline, rules, allowed)]

    def shots(self, timeline: Timeline) -> list[Shot]:
        """The shots of the pushed video, between its transitions."""
        return divide_shots(shots_between(self.transitions(timeline), len(timeline)), timeline.breaks)

    def transitions(self, timeline: Timeline) -> Sequence[Transition]:
        """The transitions of the pushed video, as the detector found them."""
        return self._detector.transitions(timeline)

    def _nemo_pieces(self, probabilities: list[float], timeline: Timeline) -> list[Piece]:
        """Pieces by NeMo Curator's rules, which count frames at the average rate and ignore single PTS."""
        params = self.params
        rate = len(timeline) / (timeline.time_base * (timeline.end_pts - timeline.at(0)))
        lengths_s = (params.min_length_s, params.max_length_s, params.cropped_s)
        rules = nemo_compat.FrameLengthRules(
            *(int(exact_fraction(value) * rate) for value in lengths_s), mode=params.max_length_mode
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
