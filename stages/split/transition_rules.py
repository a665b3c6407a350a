"""Finds transitions in what was measured of each frame. Arithmetic: no codec, no network.

A cut is a peak of the network's first output, at the frame that changes most, or a still picture that is replaced by
another. A gradual transition is a run of the network's second output, with the frames beside it that go on changing
steadily. A fade falls to pictures of one colour or rises from them. A flash is none of these.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stages.split.flat_pictures import FLAT_CONTRAST, flat_candidates
from stages.split.frame_signals import Candidate, Floats, FrameSignals, merged, runs, touches_any
from stages.split.spans import find_cuts
from stages.split.static_cuts import MAX_STATIC_RATIO, static_cuts
from stages.split.still_changes import settled_candidates
from stages.split.timeline import Timeline
from stages.split.transitions import Transition, TransitionKind, cut_at
from stages.split.wipes import wipe_candidates

SECOND_SHARE = 0.5
"""At a cut the second output has this share of the threshold, at least: both see one."""
WEAK_SHARE = 0.5
"""Its first output has this share of the threshold, at least, where the picture stands still on one side of the cut."""
WEAK_STATIC_CHANGE = 1.5
"""Grey levels: it changes no more than so there."""
LOW_SHARE = 0.2
"""A gradual transition reaches as far as the second output stays above this share of the threshold."""
PEAK_SHARE = 1.3
"""Its highest value is above this share of the threshold,"""
LONG_EVIDENCE = 4.25
"""or its values add up to this: a slow transition, or one of moving shots."""
STEADY_COHERENCE, STEADY_SPREAD = 0.7, 0.45
"""What goes on beside a run of the network at least so is part of the transition: no motion of a camera is both."""
MIN_SAMPLES = 2.5
"""A shorter run of frames that the network got is that of a cut."""
HARD_SHARE = 0.6
"""If one frame has so much of all change in a run, the run is that of a cut."""
PART_SHARE = 0.25
"""A frame with less of all change in a transition between still pictures is no cut."""
FLASH_SHARE = 0.5
"""After a flash the picture differs from the one before it by less than this share of the change."""
SAME_CUT_FRAMES = 12
"""A replaced still picture within this distance of another transition is the same change."""
MIN_SHOT_S = 0.25
"""No shot between a gradual transition and another change is shorter."""
FADE_SHARE = 0.5
"""Contrast in a fade falls below this share of that at its ends,"""
DIM_CONTRAST, DIM_SHARE = 15.0, 0.25
"""or one end has less contrast than both: a dark picture with a title in it."""
DISSOLVE_COHERENCE = 0.5
"""Median coherence of a dissolve of still shots, at least; those of moving shots have less."""
OTHER_SPREAD = 0.5
"""What spreads more, in the median, without the coherence of a dissolve, moves as a whole."""


@dataclass(frozen=True, slots=True)
class TransitionRules:
    """Thresholds of the transitions.

    Attributes:
        threshold: of the network's outputs. Lower finds more.
        static_threshold: smallest change of a replaced still picture, in grey levels; 0 looks for none.
    """

    threshold: float
    static_threshold: float


def find_transitions(signals: FrameSignals, timeline: Timeline, rules: TransitionRules) -> list[Transition]:
    """The transitions of a video, in order, none overlapping another."""
    if not len(signals):
        return []
    flat = [each for each in flat_candidates(signals, timeline) if not _is_flash(each.start, signals)]
    still_cuts, still_gradual = _replaced_stills(signals, timeline, rules.static_threshold)
    gradual = merged([*_network_runs(signals, rules.threshold), *flat])
    cuts = [cut for cut in _network_cuts(signals, rules.threshold) if not _is_flash(cut.start, signals)]
    cuts = [cut for cut in cuts if not touches_any(cut, gradual) and not _is_part(cut, still_gradual, signals)]
    wipes = wipe_candidates(signals)
    gradual = [replace(each, is_wipe=any(_holds_half(wipe, each) for wipe in wipes)) for each in gradual]
    gradual += [wipe for wipe in merged(wipes) if not touches_any(wipe, [*cuts, *gradual])]
    gradual += [each for each in still_gradual if not touches_any(each, [*cuts, *gradual])]
    cuts += [cut for cut in still_cuts if not touches_any(cut, [*cuts, *gradual], SAME_CUT_FRAMES)]
    return [_typed(each, signals) for each in _joined([*cuts, *gradual], timeline)]


def _joined(found: list[Candidate], timeline: Timeline) -> list[Candidate]:
    """The candidates in order; a gradual one and what lies nearer than the shortest shot are one transition."""
    shortest = timeline.units(MIN_SHOT_S)
    joined: list[Candidate] = []
    for each in sorted(found, key=lambda each: (each.start, each.end)):
        last = joined[-1] if joined else each
        is_near = timeline.at(each.start) - timeline.at(last.end) < shortest
        if joined and is_near and (last.start < last.end or each.start < each.end):
            longer = max(last, each, key=lambda one: one.end - one.start)
            probability = max(last.probability, each.probability)
            joined[-1] = replace(longer, start=last.start, end=max(last.end, each.end), probability=probability)
        else:
            joined.append(each)
    return joined


def _replaced_stills(
    signals: FrameSignals, timeline: Timeline, threshold: float
) -> tuple[list[Candidate], list[Candidate]]:
    """Cuts and gradual transitions between pictures that stand still; none where the threshold is 0."""
    if not threshold:
        return [], []
    frames = static_cuts(signals.change, timeline, threshold)
    found = settled_candidates(signals, threshold)
    at_once = sorted({*frames, *(each.start for each in found if each.start == each.end)})
    cuts: list[Candidate] = []
    for frame in at_once:
        cut = Candidate(frame, frame, signals.probability(frame - 1, frame))
        cuts += [cut] if not touches_any(cut, cuts, SAME_CUT_FRAMES) else []
    return cuts, [each for each in found if each.start < each.end]


def _is_part(cut: Candidate, gradual: list[Candidate], signals: FrameSignals) -> bool:
    """True if the cut is a small part of a gradual transition between still pictures."""
    return any(
        each.start <= cut.start <= each.end
        and float(signals.change[cut.start]) < PART_SHARE * float(signals.change[each.start : each.end + 1].sum())
        for each in gradual
    )


def _network_cuts(signals: FrameSignals, threshold: float) -> list[Candidate]:
    """Peaks of the first output, each at the frame that changes most between two that the network got."""
    fed = signals.fed
    cuts: list[Candidate] = []
    for sample, probability in find_cuts(signals.shot[fed].tolist(), WEAK_SHARE * threshold):
        last = int(fed[sample - 1])
        if signals.transition[last] < SECOND_SHARE * min(probability, threshold):
            continue
        following = int(fed[sample]) if sample < len(fed) else len(signals) - 1
        if last < following:
            frame = last + 1 + int(signals.change[last + 1 : following + 1].argmax())
            if probability > threshold or _is_sudden(frame, signals):
                cuts.append(Candidate(frame, frame, probability))
    return cuts


def _is_sudden(frame: int, signals: FrameSignals) -> bool:
    """True if the picture stands still up to this frame or from it on."""
    limit = min(WEAK_STATIC_CHANGE, MAX_STATIC_RATIO * float(signals.change[frame]))
    reach = signals.flash
    sides = signals.change[max(0, frame - reach) : frame], signals.change[frame + 1 : frame + 1 + reach]
    return any(len(side) == reach and float(side.max()) <= limit for side in sides)


def _network_runs(signals: FrameSignals, threshold: float) -> list[Candidate]:
    """Runs of the second output that are no cuts, with what goes on steadily beside them."""
    fed = signals.fed
    values = np.interp(np.arange(len(signals)), fed, signals.transition[fed])
    stride = int(fed[1] - fed[0]) if len(fed) > 1 else 1
    is_steady = (signals.coherence >= STEADY_COHERENCE) & (signals.spread >= STEADY_SPREAD)
    found: list[Candidate] = []
    for start, end in runs(values > LOW_SHARE * threshold):
        probability = float(values[start:end].max())
        evidence = float(values[start:end].sum()) / stride
        is_weak = probability <= PEAK_SHARE * threshold and evidence < LONG_EVIDENCE
        if is_weak or _is_hard(signals.change[start : end + 1], (end - start) / stride):
            continue
        start -= _steady_length(is_steady[:start][::-1], signals.step)
        end += _steady_length(is_steady[end:], signals.step)
        found.append(Candidate(start, end, probability))
    return found


def _steady_length(is_steady: NDArray[np.bool_], gap: int) -> int:
    """Frames up to the last steady one; gaps of so many are bridged, since repeated pictures change nothing."""
    steady = np.flatnonzero(is_steady)
    steps = np.diff(np.concatenate([[-1], steady]))
    number = int(np.argmax(steps > gap + 1)) if (steps > gap + 1).any() else len(steady)
    return int(steady[number - 1]) + 1 if number else 0


def _holds_half(wipe: Candidate, other: Candidate) -> bool:
    """True if the wipe lies over half of the other candidate, or more."""
    return 2 * (min(wipe.end, other.end) - max(wipe.start, other.start)) >= other.end - other.start


def _is_hard(change: Floats, num_samples: float) -> bool:
    """True if a run is that of a cut: it is short, or one change stands for all."""
    return num_samples < MIN_SAMPLES or float(change.max()) > HARD_SHARE * float(change.sum())


def _is_flash(frame: int, signals: FrameSignals) -> bool:
    """True if a flash begins or ends at this frame: the picture from before it is back soon, or now."""
    if frame >= len(signals):
        return False
    limit = FLASH_SHARE * float(signals.change[frame])
    after = np.arange(frame, min(len(signals), frame + 1 + signals.flash))
    is_back = (signals.return_change[after] < limit) & (after - signals.return_frames[after] < frame)
    return bool((is_back & (signals.change[after] > limit)).any())


def _typed(found: Candidate, signals: FrameSignals) -> Transition:
    if found.start == found.end:
        return cut_at(found.start, found.probability)
    return Transition(found.start, found.end, _kind(found, signals), found.probability)


def _kind(found: Candidate, signals: FrameSignals) -> TransitionKind:
    inside = slice(found.start, found.end)
    low, high = sorted(signals.contrast[[max(0, found.start - 1), min(found.end, len(signals) - 1)]].tolist())
    is_low_between = float(signals.contrast[inside].min()) < max(FLAT_CONTRAST, FADE_SHARE * low)
    if is_low_between or low < min(DIM_CONTRAST, DIM_SHARE * high):
        return "fade"
    if found.is_wipe:
        return "wipe"
    coherence, spread = (float(np.median(each[inside])) for each in (signals.coherence, signals.spread))
    return "other" if coherence < DISSOLVE_COHERENCE and spread > OTHER_SPREAD else "dissolve"
