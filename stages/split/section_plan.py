"""How a long video is divided: its packets, its sections, and the parts in which pictures are measured."""

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stages.media import (
    Indivisible,
    Section,
    VideoPackets,
    best_audio_stream,
    divide,
    entry_frames,
    frame_rate,
    last_indexed,
    open_video,
    read_packets,
    video_stream,
)
from stages.split.analyser import PartRule
from stages.split.section_files import Arrays
from stages.split.splitter import Splitter
from stages.storage import digest

WHY = "why"
"""Fact of a stored plan: why the video is decoded in one pass."""
VERSION = "1"
"""To be raised whenever a part would leave another file."""
SKIPPED_BEFORE = 64
SKIPPED_BEFORE_S = 2.0
"""Of the frames before a section, times of so many, and of so many seconds, are counted by measures."""


@dataclass(frozen=True)
class SectionPlan:
    """How a video is divided.

    Attributes:
        pts: int64 ``[N]``, of all frames; rises.
        packets: of the video.
        sections: in order; they cover all frames.
        parts: frames [start, end) of each part of the splitter's measure; none where it needs all pictures in a row.
        rule: of these parts.
        time_base: seconds per unit of PTS.
        rate: average frames a second by the header; None where it does not tell.
        has_sound: sound is to be listened to.
    """

    pts: NDArray[np.int64]
    packets: VideoPackets
    sections: list[Section]
    parts: list[tuple[int, int]]
    rule: PartRule
    time_base: Fraction
    rate: Fraction | None
    has_sound: bool

    def skipped_pts(self, section: Section) -> NDArray[np.int64]:
        """Times of frames before a section that its measures count: the first two, and the last ones."""
        units = SKIPPED_BEFORE_S / float(self.time_base)
        recent = min(section.start - SKIPPED_BEFORE, int(np.searchsorted(self.pts, self.pts[section.start] - units)))
        first = min(2, section.start)
        return np.concatenate([self.pts[:first], self.pts[max(first, recent) : section.start]])

    def sections_of(self, start: int, end: int) -> list[int]:
        """Numbers of the sections that hold frames [start, end)."""
        return [number for number, section in enumerate(self.sections) if section.start < end and start < section.end]

    def pushed(self, part: tuple[int, int]) -> tuple[int, int]:
        """Frames [start, end) that the splitter gets for a part."""
        start, end = part
        return max(0, start - self.rule.reach), min(len(self.pts), end + self.rule.reach)

    def to_arrays(self) -> Arrays:
        """For `section_files`."""
        packets = {f"packets/{name}": values for name, values in self.packets._asdict().items()}
        facts = {
            "time_base": str(self.time_base),
            "rate": str(self.rate) if self.rate else None,
            "has_sound": self.has_sound,
            "rule": list(self.rule),
        }
        divided = {
            "sections": np.array(self.sections, np.int64).reshape(-1, 3),
            "parts": np.array(self.parts, np.int64).reshape(-1, 2),
        }
        return Arrays({**packets, **divided}, facts)

    @classmethod
    def of_arrays(cls, stored: Arrays) -> Self:
        """What `to_arrays` gave."""
        packets = VideoPackets(**stored.below("packets"))
        rate = stored.facts["rate"]
        return cls(
            np.sort(packets.pts),
            packets,
            [Section(*row) for row in stored["sections"].tolist()],
            [(start, end) for start, end in stored["parts"].tolist()],
            PartRule(*stored.facts["rule"]),
            Fraction(stored.facts["time_base"]),
            Fraction(rate) if rate else None,
            stored.facts["has_sound"],
        )


def plan_sections(uri: str, splitter: Splitter, section_s: float) -> SectionPlan:
    """Divide a video; the whole file is read.

    Args:
        uri: of the video.
        splitter: not set up.
        section_s: least mean length of a section.

    Raises:
        Indivisible: it cannot be divided, or is too short.
        SourceError: it cannot be opened.
    """
    with open_video(uri) as container:
        last_entry = last_indexed(container)
    with open_video(uri) as container:
        packets = read_packets(container, last_entry)
        stream = video_stream(container)
        time_base, rate = stream.time_base or Fraction(1), frame_rate(stream)
        has_sound = best_audio_stream(container, stream) is not None
    pts = np.sort(packets.pts)
    sections = divide(pts, entry_frames(packets), float(time_base), section_s)
    if len(sections) < 2:
        raise Indivisible("The video has no keyframes at which it could be divided, or is too short.")
    rule = splitter.part_rule(rate) if splitter.picture_size else None
    parts = divide_parts(len(pts), len(sections), rule) if rule else []
    return SectionPlan(pts, packets, sections, parts, rule or PartRule(1, 0), time_base, rate, has_sound)


def divide_parts(num_frames: int, num_parts: int, rule: PartRule) -> list[tuple[int, int]]:
    """Parts of about equal numbers of frames, each at least twice as long as what is measured beside it."""
    num_parts = max(1, min(num_parts, num_frames // max(1, 4 * rule.reach)))
    starts = [round(number * num_frames / num_parts / rule.grid) * rule.grid for number in range(num_parts)]
    return list(zip(starts, [*starts[1:], num_frames], strict=True))


def plan_digest(section_s: float) -> str:
    """Name of the plans of one length of sections, for paths."""
    return digest(json.dumps([VERSION, section_s]), length=8)
