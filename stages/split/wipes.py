"""Finds wipes by the edge that passes over the picture."""

import numpy as np

from stages.split.frame_signals import Candidate, FrameSignals

MIN_SHARE, MAX_ORDER = 0.5, 0.28
"""Limits of `WipeMeter` for a wipe: share of the picture that an edge passes, and how much neighbours are in order."""
MARGIN = 0.15
"""A wipe goes on at both ends for this share of its length, where few pixels step."""


def wipe_candidates(signals: FrameSignals) -> list[Candidate]:
    """Where an edge passes over most of the picture."""
    fed = signals.fed
    share, order, length = (each[fed] for each in (signals.wipe_share, signals.wipe_order, signals.wipe_length))
    best: list[tuple[float, Candidate]] = []
    for sample in np.flatnonzero((share >= MIN_SHARE) & (order <= MAX_ORDER)).tolist():
        margin = MARGIN * float(length[sample])
        first, last = round(sample + 1 - length[sample] - margin), round(sample + 2 + margin)
        start, end = int(fed[max(0, first)]), int(fed[min(last, len(fed) - 1)])
        wipe = Candidate(start, end, float(share[sample]), is_wipe=True)
        if not best or start > best[-1][1].end:
            best.append((float(share[sample]), wipe))
        elif share[sample] > best[-1][0]:
            best[-1] = (float(share[sample]), wipe)
    return [wipe for _, wipe in best if wipe.start < wipe.end]
