"""Decodes one section of a long video, and takes of its frames all that is measured of few of them."""

import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import heartbeat
from stages.errors import CorruptStream
from stages.media import (
    USUAL_PEAK_NITS,
    DecodedFrame,
    DecodeLog,
    Entry,
    FieldsMeter,
    Indivisible,
    PictureEncoder,
    Section,
    StoreFiller,
    UprightScaler,
    decode_frames,
    displayed_size,
    open_video,
)
from stages.params import SplitParams
from stages.signals import FrameScaler, Recorder, samples_of_section, section_recorders
from stages.split import heap
from stages.split.decode_pass import HEAP_TRIM_INTERVAL_FRAMES, MIN_SIDE_PX
from stages.split.section_files import Arrays, arrays_of
from stages.split.section_plan import SectionPlan
from stages.split.section_tasks import DECODE_SHARE, PART_FRAMES
from stages.tasks import Size

NUM_COMPARED = 2
"""First frames of a section whose pixels are compared with what the section before decodes: else seeking lies."""


class SectionPass:
    """The decode of one section.

    Args:
        params: of the phase.
        plan: of the video.
        number: of the section.
        picture_size: of the pictures that the splitter gets; None for none.
    """

    def __init__(self, params: SplitParams, plan: SectionPlan, number: int, picture_size: Size | None) -> None:
        self._plan = plan
        self._section = section = plan.sections[number]
        self._is_last = section.end == len(plan.pts)
        meter = FieldsMeter()
        self._recorders = section_recorders(params.signals, time_base=plan.time_base, rate=plan.rate, meter=meter)
        self._stored = _StoredPictures(section, PictureEncoder(params.frames_max_px))
        self._store = StoreFiller(self._stored.add, params.frames_fps, plan.time_base, meter=meter)
        self._export_vectors = "vectors" in params.signals
        self._frame_scaler = FrameScaler()
        self._scaler = UprightScaler(picture_size, peak_nits=USUAL_PEAK_NITS) if picture_size else None
        shape = (section.end - section.start, picture_size.height, picture_size.width) if picture_size else (0, 0, 0)
        self._pictures = np.empty((*shape, 3), np.uint8)
        self._keyframes, self._checksums = array("q"), array("q")
        self._durations = array("q")
        self._num_frames = 0

    def run(self, uri: str) -> dict[str, Arrays]:
        """By name, the splitter's ``pictures``, the ``hashed`` ones, and as ``section`` what was measured.

        Raises:
            Indivisible: the section does not decode to the frames that the packets promise, or a frame is damaged.
            SourceError: the source cannot be opened.
        """
        section, log = self._section, DecodeLog()
        for pts in self._plan.skipped_pts(section).tolist():
            self._store.skip(pts)
            for recorder in self._recorders:
                recorder.skip(pts)
        try:
            with open_video(uri) as container:
                entry = Entry(int(self._plan.pts[section.start]), section.start)
                decoded = decode_frames(container, export_vectors=self._export_vectors, log=log, entry=entry)
                for each in self._wanted(decoded):
                    self._push(each)
        except CorruptStream as error:
            raise Indivisible(str(error)) from error
        if self._num_frames != section.stop - section.start or log.num_refused or _has_faults(log):
            raise Indivisible("Frames are damaged or missing.")
        if self._is_last:
            self._store.finish()
        heap.trim()
        num_repeated = log.num_packets - (section.end - section.start)
        heartbeat.count("repeated_frames", max(0, num_repeated))
        hashed, *recorders = self._recorders
        return {
            "pictures": Arrays({"pictures": self._pictures}),
            "hashed": Arrays(self._samples(hashed)),
            "section": self._measured(recorders, num_repeated),
        }

    def _wanted(self, frames: Iterator[DecodedFrame]) -> Iterator[DecodedFrame]:
        """The frames up to the section's stop, each at its time; of the last section all, with what ends the stream."""
        section, pts = self._section, self._plan.pts
        for decoded in frames:
            if decoded.index >= section.stop or decoded.pts != pts[decoded.index] or decoded.num_restarts:
                raise Indivisible("Frames have other times than their packets.")
            yield decoded
            if decoded.index == section.stop - 1 and not self._is_last:
                return

    def _push(self, current: DecodedFrame) -> None:
        index, section = current.index, self._section
        self._num_frames += 1
        if index < section.end:
            heartbeat.count("decoded_frames")
            heartbeat.count(PART_FRAMES, DECODE_SHARE if self._plan.parts else 1.0)
        if index == section.start:
            _check_size(current)
        is_compared = index < section.start + NUM_COMPARED or section.end <= index < section.end + NUM_COMPARED
        if is_compared:
            self._checksums.append(_checksum(current))
        self._store.push(current)
        pictures = self._frame_scaler(current)
        for recorder in self._recorders:
            recorder.push(pictures)
        if index < section.end:
            if current.is_keyframe:
                self._keyframes.append(index)
            if self._scaler is not None:
                self._pictures[index - section.start] = self._scaler(current.frame, pictures.reduced)
            self._durations.append(current.frame.duration or 0)
        if (index - section.start) % HEAP_TRIM_INTERVAL_FRAMES == HEAP_TRIM_INTERVAL_FRAMES - 1:
            heap.trim()

    def _samples(self, recorder: Recorder) -> dict[str, NDArray[Any]]:
        return arrays_of(recorder.name, samples_of_section(recorder, self._section.start, self._section.end))

    def _measured(self, recorders: Sequence[Recorder], num_repeated: int) -> Arrays:
        arrays: dict[str, NDArray[Any]] = {
            "keyframes": np.array(self._keyframes, np.int64),
            "checksums": np.array(self._checksums, np.int64),
            "durations": np.array(self._durations, np.int64),
            **self._stored.arrays(),
        }
        for recorder in recorders:
            arrays |= self._samples(recorder)
        return Arrays(arrays, {"repeated_frames": num_repeated})


class _StoredPictures:
    """The pictures of a section's frame store. No part of the pass, which would hold itself by it past its end."""

    def __init__(self, section: Section, encode: PictureEncoder) -> None:
        self._section = section
        self._encode = encode
        self._jpegs = bytearray()
        self._columns = {"pts": array("q"), "frame": array("q"), "size": array("q")}

    def add(self, decoded: DecodedFrame) -> None:
        """Keep the picture of a frame; that of a section's first frame is the section's before."""
        section = self._section
        if section.start + bool(section.start) <= decoded.index <= section.end:
            jpeg = self._encode(decoded)
            self._jpegs += jpeg
            for name, value in (("pts", decoded.pts), ("frame", decoded.index), ("size", len(jpeg))):
                self._columns[name].append(value)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For the section's file."""
        columns = {f"store/{name}": np.array(values, np.int64) for name, values in self._columns.items()}
        return {"store/jpegs": np.frombuffer(self._jpegs, np.uint8), **columns}


def _check_size(decoded: DecodedFrame) -> None:
    size = displayed_size(decoded.frame, decoded.pixel_aspect)
    if min(size.width, size.height) < MIN_SIDE_PX:
        raise Indivisible("The picture is too small.")


def _has_faults(log: DecodeLog) -> bool:
    _, _, _, faults, _ = log.packets()
    _, flagged, _ = log.frames()
    return bool(faults.any() or flagged.any())


def _checksum(decoded: DecodedFrame) -> int:
    """Of the pixels of a frame's first plane; what fills up its lines is left out."""
    frame = decoded.frame
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8)[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)
    return zlib.crc32(rows[:, : frame.width].tobytes())
