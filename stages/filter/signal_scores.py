"""Scores that split reduced from a video's signals, reduced anew where `filter.reduce` says how, without a decode."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import ManifestError
from stages.filter.reductions import reduced
from stages.signals import Samples, Signals, motion_values, read_signals, sharpness_values, signals_path
from stages.storage import Storage
from stages.tasks import Row

_ClipValues = Callable[[Samples, int, int], NDArray[np.floating[Any]]]

SIGNAL_SCORES: Mapping[str, tuple[str, str, _ClipValues]] = {
    "motion": ("flow_mean", "flow", motion_values),
    "sharpness": ("sharpness", "sharpness", sharpness_values),
}
"""By score, the column of split that it is otherwise, the measure among the signals, and its values in a clip."""


class SignalScores:
    """Reduces scores of clips. Keeps the signals of the last video: clips of one video follow one another.

    Args:
        storage: of the root.
        reductions: by score, how it is reduced; those that are none of `SIGNAL_SCORES` are left out.
    """

    def __init__(self, storage: Storage, reductions: Mapping[str, str]) -> None:
        self._storage = storage
        self._reductions = {name: each for name, each in reductions.items() if name in SIGNAL_SCORES}
        self._last: tuple[str, Signals] | None = None

    def of(self, row: Row, scores: Collection[str]) -> dict[str, float | None]:
        """Those of the scores that are made of samples, of a row of `filtered_clips`.

        Where no reduction is named, the score is the column that split made.

        Raises:
            ManifestError: the signals of the row's video are gone.
        """
        found: dict[str, float | None] = {}
        for name, (column, measure, values) in SIGNAL_SCORES.items():
            if name not in scores:
                continue
            if name not in self._reductions:
                found[name] = row[column]
                continue
            samples = self._signals(row).samples.get(measure)
            clip = values(samples, row["start_frame"], row["end_frame"]).tolist() if samples is not None else []
            found[name] = reduced(clip, self._reductions[name])
        return found

    def _signals(self, row: Row) -> Signals:
        path = signals_path(row["partition"], row["video_id"], row["signals_key"] or "")
        last = self._last  # other threads may decide rows of other videos meanwhile
        if last is None or last[0] != path:
            signals = read_signals(self._storage, path)
            if signals is None:
                raise ManifestError(
                    f"filter.reduce of {', '.join(self._reductions)} reads the signals of video {row['video_id']}, and "
                    f"{self._storage.location(path)} is missing. Run split and filter again, or leave filter.reduce "
                    "without them."
                )
            self._last = last = (path, signals)
        return last[1]
