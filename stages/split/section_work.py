"""The work on the parts of a long video, and its signals once all of them are there."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.media import Indivisible, SoundLog, best_audio_stream, open_video, read_sound, video_stream
from stages.params import SplitParams
from stages.signals import HashPictureRecorder, Samples, Signals, SpeechRecorder, hashes_of
from stages.split.decode_pass import BATCH_FRAMES, store_writer
from stages.split.section_files import Arrays, arrays_of, file_path, read_arrays, samples_of, write_arrays
from stages.split.section_join import SectionJoin
from stages.split.section_pass import SectionPass
from stages.split.section_plan import WHY, SectionPlan
from stages.split.section_tasks import DECODE_SHARE, PART_FRAMES, PartTask
from stages.split.splitter import Splitter
from stages.storage import Storage
from stages.tasks import Video

if TYPE_CHECKING:
    from stages.models import SpeechDetector  # needs an extra

HASHED = ("hashes", "fast", "stills")


class SectionWork:
    """Works on parts of videos, and joins them.

    Args:
        params: of the phase.
        storage: of the root.
        splitter: set up.
        speech_detector: makes one for each video; None where `split.signals` has no speech.
    """

    def __init__(
        self,
        params: SplitParams,
        storage: Storage,
        splitter: Splitter,
        speech_detector: "Callable[[], SpeechDetector] | None" = None,
    ) -> None:
        self._params = params
        self._storage = storage
        self._splitter = splitter
        self._speech_detector = speech_detector

    def run(self, task: PartTask) -> dict[str, Arrays]:
        """Do one part; what it leaves, by name. It counts as done once `keep` has written it.

        Raises:
            Indivisible: the video must be decoded in one pass.
            SourceError: the source cannot be opened.
        """
        plan = self._plan(task.prefix)
        if task.kind == "section":
            decode = SectionPass(self._params, plan, task.number, self._splitter.picture_size)
            return {f"{name}-{task.number}": each for name, each in decode.run(task.video.uri).items()}
        if task.kind == "sound":
            return {"sound": self._listen(task.video)}
        if task.kind == "hashes":
            return {"hashes": self._hash(task.prefix, plan)}
        return {f"measure-{task.number}": self._measure(task.prefix, plan, task.number)}

    def keep(self, task: PartTask, content: dict[str, Arrays]) -> None:
        """Write what a part leaves, the file by which it counts as done at last."""
        for name, each in content.items():
            write_arrays(self._storage, file_path(task.prefix, name), each)

    def signals(self, video: Video, prefix: str) -> Signals:
        """The signals of a video all of whose parts are there. The frame store is written before this returns.

        Raises:
            Indivisible: parts do not fit together, or are gone.
            SourceError: the source cannot be opened.
        """
        plan = self._plan(prefix)
        with open_video(video.uri) as container, store_writer(self._params, self._storage, video) as writer:
            join = SectionJoin(self._params, plan, container, writer)
            for number in range(len(plan.sections)):
                join.add(self._read(prefix, f"section-{number}"))
            hashes = self._read(prefix, "hashes")
            sound = self._read(prefix, "sound") if plan.has_sound else None
            signals = join.signals({name: samples_of(hashes, name) for name in HASHED}, sound)
            writer.close()
        heartbeat.count(PART_FRAMES, -float(len(plan.pts)))  # the video counts as a whole again
        return join.with_measure(signals, self._measured(prefix, plan), self._splitter.dtype)

    def remove(self, prefix: str) -> None:
        """Remove the files of a video whose signals stand."""
        stored = read_arrays(self._storage, file_path(prefix, "plan"))
        if stored is None:
            return
        plan = SectionPlan.of_arrays(stored) if WHY not in stored.facts else None
        if plan is not None:
            for name in self._names(plan):
                self._storage.delete(file_path(prefix, name))
        self._storage.delete(file_path(prefix, "plan"))

    @staticmethod
    def _names(plan: SectionPlan) -> list[str]:
        numbers = range(len(plan.sections))
        names = [f"{kind}-{number}" for kind in ("section", "hashed", "pictures") for number in numbers]
        return [*names, *(f"measure-{number}" for number in range(len(plan.parts))), "sound", "hashes"]

    def _plan(self, prefix: str) -> SectionPlan:
        return SectionPlan.of_arrays(self._read(prefix, "plan"))

    def _listen(self, video: Video) -> Arrays:
        """What is heard of the video, by reading its file once more."""
        with open_video(video.uri) as container:
            stream = video_stream(container)
            audio = best_audio_stream(container, stream)
            if audio is None:
                raise Indivisible("The sound is gone.")
            speech = (
                SpeechRecorder(self._speech_detector(), stream.time_base or Fraction(1))
                if self._speech_detector
                else None
            )
            log = SoundLog(audio, speech.hear if speech else None)
            read_sound(container, stream, log)
            heard = dict(zip(("starts", "lengths", "damaged"), log.heard(), strict=True))
            if speech is not None:
                heard |= dict(zip(("blocks_s", "probabilities"), speech.heard(), strict=True))
            return Arrays(heard)

    def _hash(self, prefix: str, plan: SectionPlan) -> Arrays:
        """The measures of hashed pictures, of all sections in a row."""
        name = HashPictureRecorder.name

        def sections() -> Iterator[Samples]:
            for number in range(len(plan.sections)):
                heartbeat.beat()
                yield samples_of(self._read(prefix, f"hashed-{number}"), name)

        arrays: dict[str, NDArray[Any]] = {}
        for each, samples in zip(HASHED, hashes_of(sections(), plan.time_base), strict=True):
            arrays |= arrays_of(each, samples)
        return Arrays(arrays)

    def _measure(self, prefix: str, plan: SectionPlan, number: int) -> Arrays:
        """What the splitter measures of a part."""
        start, end = plan.parts[number]
        first, last = plan.pushed((start, end))
        self._splitter.begin_video(plan.rate)
        self._push(self._pictures(prefix, plan, first, last), (1 - DECODE_SHARE) * (end - start) / (last - first))
        measured = self._splitter.measured() or {}
        return Arrays({name: values[start - first : end - first] for name, values in measured.items()})

    def _measured(self, prefix: str, plan: SectionPlan) -> dict[str, NDArray[Any]] | None:
        """What the splitter measured of the video; it has it too afterwards."""
        self._splitter.begin_video(plan.rate)
        if not plan.parts:
            if self._splitter.picture_size is not None:
                self._push(self._pictures(prefix, plan, 0, len(plan.pts)))
            measured = self._splitter.measured()
            return None if measured is None else dict(measured)
        parts = [self._read(prefix, f"measure-{number}").arrays for number in range(len(plan.parts))]
        joined = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
        self._splitter.restore(joined)
        return joined

    def _pictures(self, prefix: str, plan: SectionPlan, start: int, end: int) -> Iterator[NDArray[np.uint8]]:
        """The pictures of frames [start, end), in batches as a decode hands them over."""
        waiting: NDArray[np.uint8] | None = None
        for number in plan.sections_of(start, end):
            section = plan.sections[number]
            found = self._read(prefix, f"pictures-{number}")["pictures"]
            found = found[max(0, start - section.start) : end - section.start]
            waiting = found if waiting is None else np.concatenate([waiting, found])
            whole = len(waiting) // BATCH_FRAMES * BATCH_FRAMES
            for first in range(0, whole, BATCH_FRAMES):
                yield waiting[first : first + BATCH_FRAMES]
            waiting = waiting[whole:]
        if waiting is not None and len(waiting):
            yield waiting

    def _push(self, batches: Iterator[NDArray[np.uint8]], work: float = 0.0) -> None:
        """Give the splitter pictures, each of which stands for so much of the work on a frame."""
        for pictures in batches:
            heartbeat.beat()
            self._splitter.push(pictures)
            heartbeat.count("measured_frames", len(pictures))
            heartbeat.count(PART_FRAMES, work * len(pictures))

    def _read(self, prefix: str, name: str) -> Arrays:
        found = read_arrays(self._storage, file_path(prefix, name))
        if found is None:
            raise Indivisible(f"The file of {name} is gone.")
        return found
