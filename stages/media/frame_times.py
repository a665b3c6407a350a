"""Times of decoded frames: rising in presentation order, and the end that the container declares."""

import struct
from contextlib import suppress
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from stages.media.avi_index import has_whole_index
from stages.media.header_file import header_file
from stages.media.mp4_boxes import track_of
from stages.media.packet_times import PacketTimes, default_step, has_decoding_times_only
from stages.media.stream_choice import is_rate_told

MAX_STEP_BACK_S = 1
"""A PTS that repeats or steps back by less is replaced by one between its neighbours; at a larger one, time begins
again."""
MAX_PTS = 1 << 62
"""Bound of a PTS, so that PTS and differences of two fit int64 columns."""
MAX_WAITING_FRAMES = 8
"""Frames without a usable time that are held until the next one with a time."""
MISSING_TAIL_S = 1
MISSING_TAIL_SHARE = 0.01
"""A stream that ends before its declared duration by more than both limits is truncated."""

TimedFrame = tuple[av.VideoFrame, int]
"""A frame with its PTS."""


class FrameTimes:
    """Assigns each frame a PTS that is larger than the last one's.

    A frame without a usable time, or with that of the frame before, is placed between its neighbours: after the one
    before it by a frame's length, or by less, where more such frames have to find room.

    Args:
        stream: the frames' stream.
        packets: what the decoder reads.
    """

    def __init__(self, stream: VideoStream, packets: PacketTimes) -> None:
        self.time_base = stream.time_base or Fraction(1, av.time_base)
        self._packets = packets
        self._step = default_step(stream)
        self._num_frames = 0
        self._offset = 0
        self._num_jumps = 0
        self._waiting: list[av.VideoFrame] = []
        self._first_waiting = 0
        self.last: int | None = None
        self._has_decoding_times_only = has_decoding_times_only(stream)
        self._start = stream.start_time
        self._declared_end = declared_end(stream)

    @property
    def num_jumps(self) -> int:
        """How often the times of packets or frames have begun again until now."""
        return self._packets.num_jumps + self._num_jumps

    @property
    def num_restarts(self) -> int:
        """How often times have begun again, or another header has come for the decoder."""
        return self.num_jumps + self._packets.num_headers

    @property
    def end_by_header(self) -> int | None:
        """PTS where the stream ends; None where the header does not tell, or times jump."""
        return None if self.num_jumps else self._declared_end

    def push(self, frame: av.VideoFrame) -> list[TimedFrame] | None:
        """The frames whose PTS is known now; None where this frame's exceeds `MAX_PTS`."""
        time = self._time(frame)
        if time is not None and abs(time) > MAX_PTS:
            return None
        self._num_frames += 1
        if not self._waiting:
            return self._wait_from(time if time is not None else self._next_pts(), frame)
        before = self._first_waiting
        if time is not None and time > before:
            ready = self._spread(time)
        elif time is not None and (before - time) * self.time_base >= MAX_STEP_BACK_S:
            time, ready = self._after_step_back(time)
        else:
            self._waiting.append(frame)
            return self._spread(None) if len(self._waiting) > MAX_WAITING_FRAMES else []
        return [*ready, *self._wait_from(max(time, self._next_possible()), frame)]

    def flush(self) -> list[TimedFrame]:
        """The frames that still wait, at the end of the stream."""
        return self._spread(None)

    def missing_tail(self, end_pts: int) -> str | None:
        """The fault of a stream that ended before its declared end; None where it did not, or where times jump."""
        declared = self.end_by_header
        if declared is None or self._start is None:
            return None
        missing_s = float((declared - end_pts) * self.time_base)
        declared_s = float((declared - self._start) * self.time_base)
        if missing_s <= max(MISSING_TAIL_S, MISSING_TAIL_SHARE * declared_s):
            return None
        return f"the file ends {missing_s:.1f} s before its declared end"

    def _time(self, frame: av.VideoFrame) -> int | None:
        time = frame.dts if frame.pts is None or self._has_decoding_times_only else frame.pts
        if time is None and self._num_frames < self._packets.num_untimed and self._packets.first_pts is not None:
            return self._packets.first_pts - (self._packets.num_untimed - self._num_frames) * self._step
        return time + self._offset if time is not None else None

    def _wait_from(self, time: int, frame: av.VideoFrame) -> list[TimedFrame]:
        self._first_waiting, self._waiting = time, [frame]
        return []

    def _next_pts(self) -> int:
        return 0 if self.last is None else self.last + self._step

    def _next_possible(self) -> int:
        return -MAX_PTS if self.last is None else self.last + 1

    def _after_step_back(self, time: int) -> tuple[int, list[TimedFrame]]:
        """Where time steps back far: it begins again, or the frame that waits has a damaged time, far ahead."""
        if len(self._waiting) == 1 and self.last is not None and time > self.last + 1:
            self._first_waiting = min(time - 1, self.last + self._step)
            return time, self._spread(time)
        ready = self._spread(None)
        self._offset += self._next_pts() - time
        self._num_jumps += 1
        return self._next_pts(), ready

    def _spread(self, until: int | None) -> list[TimedFrame]:
        """The frames that wait, from the first one's time on, before `until`."""
        if len(self._waiting) == 1:  # nearly always: no Fraction is needed
            (frame,), self._waiting = self._waiting, []
            self.last = max(self._first_waiting, self._next_possible())
            return [(frame, self.last)]
        ready: list[TimedFrame] = []
        count = len(self._waiting)
        room = Fraction(until - self._first_waiting, count) if until is not None and count else Fraction(self._step)
        for number, frame in enumerate(self._waiting):
            self.last = max(self._first_waiting + int(number * min(room, self._step)), self._next_possible())
            ready.append((frame, self.last))
        self._waiting = []
        return ready


def declared_duration(stream: VideoStream) -> int | None:
    """The stream's own duration, in its time base, as far as the header tells. The container's may be the audio's.

    Where the header lists all packets, the list is believed rather than a length that cannot be: some recorders write
    it in a wrong unit. An edit list is believed rather than the sum of the distances of decoding times.
    """
    duration, container = stream.duration, cast(InputContainer, stream.container)
    presented = [entry.timestamp for entry in stream.index_entries if not entry.is_discard]
    if duration is None or len(presented) < 2:
        return duration
    spanned = max(presented) - min(presented)
    listed = spanned * len(presented) // (len(presented) - 1)
    if len(stream.index_entries) != stream.frames:
        return listed if _has_index_of_avi(container) else duration
    edited = _edited_end(container, stream)
    edited = None if edited is None else edited - (stream.start_time or 0)
    if edited is not None and spanned < edited <= 2 * listed:
        return edited
    whole_file = Fraction(container.duration or 0, av.time_base) / (stream.time_base or 1)
    return duration if spanned <= duration <= max(whole_file, 2 * listed) else listed


def _has_index_of_avi(container: InputContainer) -> bool:
    with header_file(container) as file:
        return container.format.name == "avi" and file is not None and has_whole_index(file, container.size)


def _edited_end(container: InputContainer, stream: VideoStream) -> int | None:
    """Where the edit list of an MP4 ends, in the stream's time base; None without one."""
    track = None
    with header_file(container) as file, suppress(struct.error, IndexError):  # a damaged header
        if file is not None and container.format.name.startswith("mov"):
            track = track_of(file, container.size, stream.id)
    if track is None or track.edited_s is None:
        return None
    return round(track.edited_s / (stream.time_base or Fraction(1, av.time_base)))


def promised_frames(stream: VideoStream) -> int | None:
    """How many frames a Matroska file has by the rate and length of the stream; None where it does not tell both."""
    end, time_base = declared_end(stream), stream.time_base
    if end is None or time_base is None or not is_rate_told(stream) or "matroska" not in stream.container.format.name:
        return None
    return round((end - (stream.start_time or 0)) * time_base * Fraction(stream.average_rate or 0))


def declared_end(stream: VideoStream) -> int | None:
    """PTS where the stream ends by its header; None where it does not tell."""
    start, duration = stream.start_time or 0, declared_duration(stream)
    if duration is not None:
        return start + duration
    tagged = tagged_duration(stream)
    if tagged is None:
        return None
    # mkvmerge tags a track's length, FFmpeg the time of its end.
    return tagged + start if "_STATISTICS_WRITING_APP" in stream.metadata else tagged


def tagged_duration(stream: VideoStream) -> int | None:
    """Matroska's tag DURATION ("00:00:20.020000000") in the stream's time base."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except ValueError:
        return None
    return round((hours * 3600 + minutes * 60 + seconds) / (stream.time_base or Fraction(1, av.time_base)))
