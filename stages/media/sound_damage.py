"""Which parts of the sound are damaged or missing, as its packets and its decoder tell."""

from array import array
from collections.abc import Callable

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from numpy.typing import NDArray

from stages.media.sound_times import SoundTimes

MIN_GAP_S = 0.01
"""A shorter gap between packets is none: containers round times to a millisecond, and some to more."""

BATCH_PACKETS = 64
"""Packets that are decoded one after another: between frames of video, the decoder's tables would be out of the cache
for each, which takes three times as long."""

Seconds = NDArray[np.float64]


class SoundLog:
    """Decodes the packets of one audio stream, and keeps of each when it is heard and whether it is damaged.

    Args:
        stream: of the container whose video is decoded.
        listener: gets what decodes, frame by frame, with times as corrected.
    """

    def __init__(self, stream: AudioStream, listener: Callable[[AudioFrame], None] | None = None) -> None:
        self.stream = stream
        self._listener = listener
        self._starts, self._lengths, self._damaged = array("d"), array("d"), array("b")
        self._seconds_per_pts = float(stream.time_base or 1)
        self._has_decoded = False
        self._waiting: list[Packet] = []
        self._times = SoundTimes()

    def add(self, packet: Packet) -> None:
        """Add the next packet. The first ones may lack what a decoder needs, and count as whole."""
        if packet.size:
            self._waiting += self._times.push(packet)
        if len(self._waiting) >= BATCH_PACKETS:
            self._decode_waiting()

    def _decode_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            if packet.pts is not None:
                self._decode(packet)

    def _decode(self, packet: Packet) -> None:
        is_damaged = packet.is_corrupt
        frames: list[AudioFrame] = []
        try:
            frames = self.stream.codec_context.decode(packet)
            self._has_decoded = bool(frames) or self._has_decoded
        except FFmpegError:
            is_damaged = is_damaged or self._has_decoded
        if self._listener is not None:
            for frame in frames:
                self._listener(frame)
        self._starts.append((packet.pts or 0) * self._seconds_per_pts)
        self._lengths.append((packet.duration or 0) * self._seconds_per_pts)
        self._damaged.append(is_damaged)

    def finish(self) -> None:
        """Decode what waits. To be called after the last packet; more than once does no harm."""
        self._waiting += self._times.flush()
        self._decode_waiting()

    def heard(self) -> tuple[Seconds, Seconds, NDArray[np.bool_]]:
        """When each packet begins and how long it lasts, in seconds, and whether it is damaged; ends the stream."""
        self.finish()
        return np.array(self._starts), np.array(self._lengths), np.array(self._damaged, np.bool_)

    def take(self, starts: Seconds, lengths: Seconds, is_damaged: NDArray[np.bool_]) -> None:
        """Take packets that were heard elsewhere, as `heard` gave them."""
        self._starts.extend(starts.tolist())
        self._lengths.extend(lengths.tolist())
        self._damaged.extend(is_damaged.tolist())

    def lost_s(self, edges_s: Seconds) -> tuple[Seconds, Seconds]:
        """Damaged or missing sound, and all sound that there should be, between each time and the next, in seconds.

        Before its first packet and after its last, a stream has no sound.
        """
        self.finish()
        if not self._starts:
            return np.zeros(len(edges_s) - 1), np.zeros(len(edges_s) - 1)
        order = np.argsort(np.array(self._starts), kind="stable")
        starts, lengths = np.array(self._starts)[order], np.array(self._lengths)[order]
        is_damaged = np.array(self._damaged, np.bool_)[order]
        following = np.append(starts[1:], starts[-1] + lengths[-1])
        ends = np.where(lengths > 0, np.minimum(starts + lengths, following), following)
        is_gap = following - ends > MIN_GAP_S
        lost = np.where(is_damaged, ends - starts, 0) + np.where(is_gap, following - ends, 0)
        # Within a packet with the gap behind it, the loss is spread evenly.
        times = np.append(starts, following[-1])
        total = np.concatenate([[0.0], np.cumsum(lost)])
        present = np.diff(np.clip(edges_s, times[0], times[-1]))
        return np.diff(np.interp(edges_s, times, total)), present
