"""What demuxer and decoder tell of each packet and frame while a stream is decoded."""

from array import array
from collections.abc import Iterable

import numpy as np

from stages.media.gaps import NO_PTS, Ints

FLAGGED, REFUSED, ASTRAY = 1, 2, 3
"""Faults of a packet: the demuxer calls it corrupt; the decoder refuses it; its data end elsewhere than its symbols."""


class DecodeLog:
    """What demuxer and decoder told of each packet, in file order, and of each frame, in presentation order.

    Attributes:
        num_refused: packets that the decoder refused.
        first_refused_pts: PTS of the first of them.
        first_fault: what the decoder said of it; None where it refused none.
        is_prompt: the decoder refuses a damaged packet at once, and shows no damaged frame before.
    """

    def __init__(self) -> None:
        self._packets, self._frames = array("q"), array("q")
        self._doubts: list[int] = []
        self.num_refused = 0
        self.first_refused_pts: int | None = None
        self.first_fault: str | None = None
        self.is_prompt = False

    def add_packet(
        self,
        pts: int | None,
        dts: int | None,
        *,
        is_key: bool,
        is_flagged: bool = False,
        is_optional: bool = False,
        refused: str | None = None,
    ) -> None:
        """Add a packet.

        Args:
            pts: in the stream's time base.
            dts: in the stream's time base.
            is_key: a keyframe.
            is_flagged: the demuxer calls it corrupt.
            is_optional: it may rightly give no frame.
            refused: why the decoder refuses it.
        """
        fault = FLAGGED if is_flagged else REFUSED if refused is not None else 0
        self._packets.extend((_known(pts), _known(dts), is_key, fault, is_optional))
        if refused is not None:
            self.num_refused += 1
            if self.first_fault is None:
                self.first_refused_pts, self.first_fault = pts, refused

    def add_frame(self, pts: int | None, *, is_flagged: bool = False) -> None:
        """Add a frame that the last packet released; `is_flagged` says that the decoder calls it damaged."""
        self._frames.extend((_known(pts), is_flagged, max(0, self.num_packets - 1)))

    @property
    def num_packets(self) -> int:
        """Packets so far."""
        return len(self._packets) // 5

    def doubt(self, pts: int) -> None:
        """Note that the frame of this PTS looks as if damage began there."""
        self._doubts.append(pts)

    def take_doubts(self) -> list[int]:
        """PTS of the frames that were doubted since this was last asked."""
        doubts, self._doubts = self._doubts, []
        return doubts

    def accuse(self, packet: int) -> None:
        """Note that the data of a packet, by its index, do not end where its symbols do."""
        self._packets[5 * packet + 3] = self._packets[5 * packet + 3] or ASTRAY

    def packets(self) -> Iterable[Ints]:
        """Columns PTS, DTS, is_key, fault (0, `FLAGGED`, `REFUSED`, `ASTRAY`), is_optional."""
        return np.array(self._packets, np.int64).reshape(-1, 5).T

    def frames(self) -> Iterable[Ints]:
        """Columns PTS, is_flagged, index of the packet that released the frame."""
        return np.array(self._frames, np.int64).reshape(-1, 3).T


def _known(time: int | None) -> int:
    return NO_PTS if time is None else time
