"""Splits a video into clips at a fixed stride, independent of its content."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from stages.split.spans import Piece, Shot, fixed_stride, snap_inward
from stages.split.splitter import Splitter
from stages.split.timeline import Timeline


class FixedStrideSplitter(Splitter):
    """Makes clips of ``clip_length_s`` every ``stride_s``; the last may be shorter, down to ``min_length_s``."""

    def measured(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, measured: Mapping[str, NDArray[Any]]) -> None:
        """Take nothing back."""

    def pieces(self, timeline: Timeline) -> list[Piece]:
        """The clips. The whole video counts as one shot."""
        params = self.params
        whole = Shot(0, len(timeline))
        found = fixed_stride(
            timeline,
            length_s=params.clip_length_s,
            stride_s=params.stride_s or params.clip_length_s,
            min_length_s=params.min_length_s,
        )
        if not params.snap_to_keyframes:
            return [Piece(start, end, whole) for start, end in found]
        allowed = self.boundaries(timeline)
        shortest = timeline.units(params.min_length_s)
        snapped = [snap_inward(start, end, allowed) for start, end in found]
        # Clips with a short stride may snap to the same GOPs: duplicates are dropped.
        return [
            Piece(start, end, whole)
            for start, end in dict.fromkeys(span for span in snapped if span)
            if timeline.at(end) - timeline.at(start) >= shortest
        ]
