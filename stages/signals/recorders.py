"""The recorders of a decode, by the names in ``split.signals``."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from stages.media import FieldsMeter
from stages.signals.damage import DamageRecorder
from stages.signals.fast_recorder import FastRecorder
from stages.signals.fields import FieldsRecorder
from stages.signals.flow import FlowRecorder
from stages.signals.hash_pictures import HashPictureRecorder
from stages.signals.hashes import HashRecorder
from stages.signals.peak_light import PeakLightRecorder
from stages.signals.picture_format import PictureFormatRecorder
from stages.signals.recorder import Recorder
from stages.signals.samples import Samples
from stages.signals.sharpness import SharpnessRecorder
from stages.signals.speech import SpeechRecorder
from stages.signals.still_recorder import StillRecorder
from stages.signals.vectors import VectorRecorder
from stages.tasks import Row

_ALWAYS_TAKEN: tuple[type[Recorder], ...] = (
    SharpnessRecorder,
    PictureFormatRecorder,
    FieldsRecorder,
    PeakLightRecorder,
    DamageRecorder,
    HashRecorder,
    FastRecorder,
    StillRecorder,
)
RECORDERS: tuple[type[Recorder], ...] = (FlowRecorder, VectorRecorder, SpeechRecorder, *_ALWAYS_TAKEN)
ALWAYS_TAKEN = frozenset(each.name for each in _ALWAYS_TAKEN)
"""Measures that every decode takes, whatever ``split.signals`` names: later phases need them."""


def create_recorders(
    names: Sequence[str],
    *,
    time_base: Fraction,
    rate: Fraction | None,
    meter: FieldsMeter,
    damage: DamageRecorder | None = None,
    speech: SpeechRecorder | None = None,
) -> list[Recorder]:
    """A recorder for each named measure, and for those that are always taken.

    Args:
        names: entries of ``split.signals``.
        time_base: seconds per unit of PTS.
        rate: the stream's average frames per second; None where it is unknown.
        meter: of the stream's fields, which the frame store asks too.
        damage: that records the damage of the decode; None where nobody asks for it.
        speech: that hears the sound of the decode; None where nobody asks for it, or there is no sound.
    """
    hashes = HashRecorder(time_base)
    recorders: list[Recorder] = [
        SharpnessRecorder(time_base),
        PictureFormatRecorder(),
        FieldsRecorder(time_base, meter),
        PeakLightRecorder(time_base),
        hashes,
        FastRecorder(hashes),
        StillRecorder(hashes),
        *(each for each in (damage, speech) if each is not None),
    ]
    if FlowRecorder.name in names:
        recorders.append(FlowRecorder(time_base))
    if VectorRecorder.name in names:
        recorders.append(VectorRecorder(rate))
    return recorders


def section_recorders(
    names: Sequence[str], *, time_base: Fraction, rate: Fraction | None, meter: FieldsMeter
) -> list[Recorder]:
    """A recorder for each measure of `create_recorders` that is taken while a section is decoded.

    In place of ``hashes``, ``fast`` and ``stills`` stands `HashPictureRecorder`. ``damage`` and ``speech`` are of the
    whole video.

    Args:
        names: entries of ``split.signals``.
        time_base: seconds per unit of PTS.
        rate: the stream's average frames per second; None where it is unknown.
        meter: of the stream's fields, which the frame store asks too.
    """
    of_video = create_recorders(names, time_base=time_base, rate=rate, meter=meter)
    of_pictures = (HashRecorder, FastRecorder, StillRecorder)
    return [HashPictureRecorder(time_base), *(each for each in of_video if not isinstance(each, of_pictures))]


def samples_of_section(recorder: Recorder, start: int, end: int) -> Samples:
    """What a recorder measured of the frames [start, end) of a section, which it owns; more frames were pushed.

    Where a sample looks at the frame before, the first frame of a section belongs to the section before, but for that
    of the video, of which nothing is measured.
    """
    shift = int(recorder.looks_back)
    return recorder.samples().within(start + shift, end + shift)


def recorder_versions(names: Sequence[str]) -> dict[str, str]:
    """The version of each named measure, and of those that are always taken."""
    return {each.name: each.version for each in RECORDERS if each.name in ALWAYS_TAKEN.union(names)}


def reduce_samples(samples: Mapping[str, Samples], start: int, end: int) -> Row:
    """Columns of all measures for a clip of frames [start, end); those of a measure that was not taken are None."""
    columns: Row = {}
    for each in RECORDERS:
        taken = samples.get(each.name)
        columns |= each.reduce(taken, start, end) if taken is not None else dict.fromkeys(each.clip_columns)
    return columns
