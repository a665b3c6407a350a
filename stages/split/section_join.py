"""Joins what sections of a long video measured: its signals and frame store, as a single pass makes them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from stages.media import (
    FieldsMeter,
    FrameLengths,
    Indivisible,
    SoundLog,
    StoreWriter,
    best_audio_stream,
    declared_end,
    video_stream,
)
from stages.params import SplitParams
from stages.signals import DamageRecorder, PictureFormatRecorder, Samples, Signals, create_recorders, speech_samples
from stages.split.decode_pass import SPLITTER_MEASURE, last_end
from stages.split.section_files import Arrays, samples_of
from stages.split.section_pass import NUM_COMPARED
from stages.split.section_plan import SectionPlan


class SectionJoin:
    """Joins the sections of one video, which are added in order. Pictures of the frame store are written as they come.

    Args:
        params: of the phase.
        plan: of the video.
        container: of the video, just opened.
        writer: of its frame store; to be closed once the signals are there.
    """

    def __init__(self, params: SplitParams, plan: SectionPlan, container: InputContainer, writer: StoreWriter) -> None:
        self._params = params
        self._plan = plan
        self._writer = writer
        self._stream = video_stream(container)
        self._audio = best_audio_stream(container, self._stream) if plan.has_sound else None
        self._sections: list[Arrays] = []

    def add(self, section: Arrays) -> None:
        """Add the next section.

        Raises:
            Indivisible: its first frames are others than the section before has decoded.
        """
        if self._sections:
            before = self._sections[-1]["checksums"][NUM_COMPARED:]
            if not np.array_equal(before, section["checksums"][:NUM_COMPARED]):
                raise Indivisible("Sections decode to other frames than the stream.")
        self._write_pictures(section)
        kept = {name: each for name, each in section.arrays.items() if not name.startswith("store/")}
        self._sections.append(Arrays(kept, section.facts))

    def signals(self, hashed: Mapping[str, Samples], sound: Arrays | None) -> Signals:
        """The signals without the splitter's measure, once all sections were added.

        Args:
            hashed: the measures of hashed pictures, by name.
            sound: what was heard; None without sound.

        Raises:
            Indivisible: frames are damaged, or the format changes.
        """
        plan = self._plan
        taken = {**hashed, "damage": self._damage(sound)}
        if taken["damage"]["is_damaged"].any():
            raise Indivisible("Frames are damaged.")
        durations = np.concatenate([each["durations"] for each in self._sections])
        if sound is not None and "blocks_s" in sound.arrays:
            taken["speech"] = self._speech(sound, int(durations[-1]))
        samples: dict[str, Samples] = {}
        recorders = create_recorders(
            self._params.signals, time_base=plan.time_base, rate=plan.rate, meter=FieldsMeter()
        )
        for recorder in recorders:
            if recorder.name not in taken:
                samples[recorder.name] = recorder.joined([samples_of(each, recorder.name) for each in self._sections])
            else:
                samples[recorder.name] = taken[recorder.name]
            if recorder.name == "stills":
                samples |= {name: taken[name] for name in ("damage", "speech") if name in taken}
        if len(samples[PictureFormatRecorder.name]) > 1:
            raise Indivisible("The format of the pictures changes.")
        keyframes = np.concatenate([each["keyframes"] for each in self._sections])
        return Signals(plan.pts, keyframes, self._end_pts(durations), plan.time_base, None, samples)

    def _end_pts(self, durations: NDArray[np.int64]) -> int:
        plan, lengths = self._plan, FrameLengths()
        for pts, duration in zip(plan.pts.tolist(), durations.tolist(), strict=True):
            lengths.add(pts, duration)
        return last_end(int(plan.pts[-1]), lengths, declared_end(self._stream), plan.rate, plan.time_base)

    @staticmethod
    def with_measure(signals: Signals, measured: dict[str, NDArray[Any]] | None, dtype: str | None) -> Signals:
        """The signals with what the splitter measured; None where it keeps nothing."""
        samples = dict(signals.samples)
        if measured is not None:
            samples[SPLITTER_MEASURE] = Samples(np.arange(len(signals.pts)), measured)
        made_with = {"decoder": "software", "decoder_note": None, "dtype": dtype}
        return replace(signals, samples=samples, made_with=made_with)

    def _damage(self, sound: Arrays | None) -> Samples:
        """Of packets that are whole, and decode to as many frames: missing ones, and damage of the sound."""
        log = self._plan.packets.log()
        for pts in self._plan.pts.tolist():
            log.add_frame(pts)
        recorder = DamageRecorder(log, self._stream, sound=self._sound_log(sound))
        for pts in self._plan.pts.tolist():
            recorder.skip(pts)
        return recorder.samples()

    def _sound_log(self, sound: Arrays | None) -> SoundLog | None:
        if sound is None or self._audio is None:
            return None
        log = SoundLog(self._audio)
        log.take(sound["starts"], sound["lengths"], sound["damaged"])
        return log

    def _speech(self, sound: Arrays, last_duration: int) -> Samples:
        seconds_per_pts = float(self._plan.time_base)
        frames_s = self._plan.pts.astype(np.float64) * seconds_per_pts
        last_s = last_duration * seconds_per_pts or float(frames_s[-1] - frames_s[-2])
        return speech_samples(sound["blocks_s"], sound["probabilities"], frames_s, last_s)

    def _write_pictures(self, section: Arrays) -> None:
        jpegs = section["store/jpegs"].tobytes()
        ends = np.cumsum(section["store/size"]).tolist()
        columns = (section[f"store/{name}"].tolist() for name in ("pts", "frame", "size"))
        for pts, frame, size, end in zip(*columns, ends, strict=True):
            self._writer.add_encoded(pts, frame, jpegs[end - size : end])
