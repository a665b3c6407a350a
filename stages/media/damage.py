"""Which frames of a stream are damaged or missing, as its packets and its decoder tell. Arithmetic on arrays: no codec.

A packet that is flagged, refused or lost damages its own frame and, since frames are predicted from one another, those
that are decoded after it, up to the next keyframe:

    decoded    K0 P3 B1 B2 | P6 x B4 B5 | P9 B7 B8 | K12 ...        x: lost; here P6 is no longer to be trusted either
    damaged                  P6   B4 B5   P9 B7 B8
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.media.decode_log import ASTRAY, FLAGGED, REFUSED, DecodeLog
from stages.media.gaps import NO_PTS, Ints, gaps

MIN_MATCHED_SHARE = 0.9
"""Frames belong to packets by PTS where at least so many frames have the PTS of a packet; else by order."""

JOINT_PACKETS = 2
"""A flag at the joint of two recordings stands so many packets before the keyframe of the second."""
SILENT_CODECS = frozenset({"hevc", "vp8"})
"""Codecs whose decoders show most damage without a word. Of the others, decoders tell of nearly all."""
LATE_CODECS = frozenset({"av1"})
MAX_LATE_PACKETS = 32
"""Codecs whose decoder may show damaged frames before it refuses one: so many of the same GOP are damaged too."""

MAX_LATE_FRAMES = 32
"""A frame that is shown later than so many others that belong behind it is none of them: time begins again."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StreamDamage:
    """Damage of each frame of a stream.

    Attributes:
        damaged: bool ``[N]``: flagged by the decoder, or predicted from a damaged or missing frame.
        missing: int64 ``[N]``: frames that should stand between this frame and the next, and do not.
        late: bool ``[N]``: damaged for no other reason than that the decoder may have noticed damage late.
    """

    damaged: Flags
    missing: Ints
    late: Flags


def stream_damage(
    log: DecodeLog, *, codec: str, is_dts_exact: bool, num_listed: int | None = None, num_promised: int | None = None
) -> StreamDamage:
    """The damage that a log tells of.

    Args:
        log: of the whole stream.
        codec: canonical name.
        is_dts_exact: the container stores DTS; false where FFmpeg guesses them from PTS (Matroska).
        num_listed: packets in the sample table of an MP4 file. Where there are more, the file is fragmented, and the
            first frame may have been moved to time 0, since fragments have no edit list to say that sound begins first.
        num_promised: frames by rate and length in the header; None where it does not tell both.
    """
    frame_pts, flagged, released_by = log.frames()
    pts, dts, is_key, fault, is_optional = log.packets()
    if not len(frame_pts):
        return StreamDamage(np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, bool))
    owners = _owners(frame_pts, pts, released_by)
    lost = _lost(frame_pts, pts, owners, is_optional > 0) | ((fault == REFUSED) & (pts > frame_pts.max()))
    shown = np.sort(pts[pts != NO_PTS])
    is_fragmented = num_listed is not None and len(pts) > num_listed
    absent = np.where(shown < frame_pts.max(), gaps(shown, is_first_moved=is_fragmented, num_promised=num_promised), 0)
    missing_before = gaps(dts, is_first_moved=is_fragmented, num_promised=num_promised)
    after_anchor, after_b = _after_gap((pts, dts, missing_before), is_key > 0, shown, absent)
    if not is_dts_exact:
        after_anchor, after_b = (
            after_anchor | after_b | _shown_after_gap(pts, is_key > 0, shown, absent),
            after_b & False,
        )
    told = (fault == REFUSED) | (fault == ASTRAY)
    told[owners[flagged > 0]] = True
    flags = (fault == FLAGGED, told, is_key > 0, missing_before > 0)
    bad = told | lost | _around_flags(*flags, is_silent=codec in SILENT_CODECS)
    damaged = certain = _predicted_from_bad(owners, pts, is_key > 0, (bad, after_anchor, after_b))
    if codec in LATE_CODECS and not log.is_prompt:
        keys = np.concatenate([[0], np.flatnonzero(is_key)])
        refused = np.flatnonzero(fault == REFUSED)
        bad[np.maximum(keys[np.cumsum(is_key)[refused]], refused - MAX_LATE_PACKETS)] = True
        damaged = _predicted_from_bad(owners, pts, is_key > 0, (bad, after_anchor, after_b))
    missing = _count_after(frame_pts, pts[lost]) + _count_after(frame_pts, shown, absent)
    gop = np.cumsum(is_key)[owners]
    in_bad_gop = np.isin(gop, gop[damaged | (flagged > 0)])
    reported = (flagged > 0) | (_is_out_of_order(frame_pts) & in_bad_gop)
    return StreamDamage(damaged | reported, missing, damaged & ~certain & ~reported)


def end_with_lost(log: DecodeLog, last_pts: int, end_pts: int) -> int:
    """The end of a stream whose last packets are refused, at most a frame's length later for each.

    Args:
        log: of the whole stream.
        last_pts: of the last frame.
        end_pts: its end.
    """
    pts, _, _, fault, _ = log.packets()
    lost = pts[(fault == REFUSED) & (pts > last_pts)]
    length = end_pts - last_pts
    return min(int(lost.max()) + length, end_pts + len(lost) * length) if len(lost) else end_pts


def _around_flags(is_flagged: Flags, told: Flags, is_key: Flags, is_gap: Flags, *, is_silent: bool) -> Flags:
    """Packets that the demuxer flags, and the ones after them.

    FFmpeg flags the frame that ends where damage is met: in a transport stream, the one before the damaged one. Where
    the decoder tells of one of the two, it is that one alone; where it tells of none, and frames are missing behind one
    of them, it is those that are missing. Where a keyframe follows soon and the decoder tells of nothing, recordings
    were joined, whose counters begin again. A decoder that is silent about most damage proves nothing of this.
    """
    before_key, is_told = is_flagged & False, told.copy()
    for ahead in range(1, JOINT_PACKETS + 1):
        before_key[:-ahead] |= is_key[ahead:]
        is_told[:-ahead] |= told[ahead:]
    is_joint = is_flagged & before_key & ~is_told
    if is_silent:
        return is_flagged | np.append(False, is_flagged[:-1])
    told_next = np.append(told[1:], False)
    is_explained = ~told & ~told_next & (is_gap | np.append(is_gap[1:], False))
    counted = is_flagged & ~is_joint & ~is_explained
    itself, the_next = counted & ~(told_next & ~told), counted & ~(told & ~told_next)
    return itself | np.append(False, the_next[:-1])


def _is_out_of_order(frame_pts: Ints) -> Flags:
    """Frames out of order, as some decoders give them after a loss. Where time steps back further, it begins again."""
    steps = np.abs(np.diff(frame_pts))
    if not len(steps):
        return np.zeros(len(frame_pts), np.bool_)
    behind = np.maximum.accumulate(frame_pts) - frame_pts
    return (behind > 0) & (behind < MAX_LATE_FRAMES * np.median(steps)) & (frame_pts != NO_PTS)


def _owners(frame_pts: Ints, pts: Ints, released_by: Ints) -> Ints:
    """Index of each frame's packet."""
    order = np.argsort(pts, kind="stable")
    places = np.minimum(np.searchsorted(pts[order], frame_pts), len(pts) - 1)
    owners = order[places]
    matched = (pts[owners] == frame_pts) & (frame_pts != NO_PTS)
    if matched.mean() < MIN_MATCHED_SHARE:
        return released_by
    return np.where(matched, owners, released_by)


def _lost(frame_pts: Ints, pts: Ints, owners: Ints, is_optional: Flags) -> Flags:
    """Packets inside the stream that should have given a frame and did not: there is a gap where it belongs."""
    lost = np.zeros(len(pts), bool)
    shown = np.unique(frame_pts[frame_pts != NO_PTS])
    if len(shown) < 2:
        return lost
    without = np.ones(len(pts), bool)
    without[owners] = False
    candidates = np.flatnonzero(without & ~is_optional & (pts > shown[0]) & (pts < shown[-1]))
    after = np.searchsorted(shown, pts[candidates])
    distance = np.minimum(shown[after] - pts[candidates], pts[candidates] - shown[after - 1])
    lost[candidates[distance > np.median(np.diff(shown)) / 2]] = True
    return lost


def _count_after(frame_pts: Ints, times: Ints, weights: Ints | None = None) -> Ints:
    """How many of the times lie at or after each frame and before the next; none where frames have no PTS.

    Args:
        frame_pts: of the frames.
        times: to be counted; those before the first frame are not.
        weights: what each time counts for; 1 without.
    """
    counts = np.zeros(len(frame_pts), np.int64)
    timed = np.flatnonzero(frame_pts != NO_PTS)
    if frame_pts[0] != NO_PTS:
        places = np.searchsorted(np.maximum.accumulate(frame_pts[timed]), times, side="right") - 1
        inside = places >= 0
        np.add.at(counts, timed[places[inside]], 1 if weights is None else weights[inside])
    return counts


def _after_gap(packets: tuple[Ints, Ints, Ints], is_key: Flags, shown: Ints, absent: Ints) -> tuple[Flags, Flags]:
    """Packets before which others are missing: those that miss an anchor, and those that miss B-frames only.

    Packets have PTS, DTS, and how many are missing after each. Keyframes need no other packet. Where frames are
    reordered, DTS tell where in decoding order the missing ones stood: a B-frame is shown before a frame that was
    decoded before it.
    """
    pts, dts, missing = packets
    after = np.concatenate([[False], missing[:-1] > 0]) & ~is_key
    newest = np.maximum.accumulate(pts)
    only_b = np.zeros_like(after)
    places = np.flatnonzero(absent)
    for place in np.flatnonzero(after):
        following = places[shown[places + 1] > dts[place - 1]]
        last = np.searchsorted(np.cumsum(absent[following]), missing[place - 1])
        only_b[place] = len(following) > 0 and shown[following[min(last, len(following) - 1)]] < newest[place - 1]
    return after & ~only_b, only_b


def _shown_after_gap(pts: Ints, is_key: Flags, shown: Ints, absent: Ints) -> Flags:
    """For each gap, the first packet that is shown after it, unless it is a keyframe."""
    marked = np.zeros(len(pts), np.bool_)
    for gap in np.flatnonzero(absent):
        marked[int((pts > shown[gap]).argmax())] = True
    return marked & ~is_key


def _predicted_from_bad(owners: Ints, pts: Ints, is_key: Flags, marks: tuple[Flags, Flags, Flags]) -> Flags:
    """Frames whose packet is bad, or follows a bad one in its GOP; with an open GOP's leading frames after a bad GOP.

    After a bad B-frame, only those up to the next anchor (a frame that is shown after all frames decoded before it).
    Marks are bad packets, packets after a missing anchor, and packets after missing B-frames.
    """
    bad, after_anchor, after_b = marks
    is_anchor = pts > np.concatenate([[NO_PTS], np.maximum.accumulate(pts)[:-1]])
    gop, group = (np.cumsum(starts, dtype=np.int64) for starts in (is_key, is_anchor | is_key))
    first_bad = _first_places(after_anchor | bad & is_anchor, gop)
    first_bad_b = _first_places(after_b | bad & ~is_anchor, group)
    damaged = (owners >= first_bad[gop[owners]]) | (owners >= first_bad_b[group[owners]])
    keys = np.concatenate([[0], np.flatnonzero(is_key)])
    leading = (pts[owners] < pts[keys[gop[owners]]]) & (gop[owners] > 0)
    return damaged | (leading & (first_bad[gop[owners] - 1] < len(pts)))


def _first_places(marked: Flags, groups: Ints) -> Ints:
    """For each group, the first marked place; the number of places where none is marked."""
    first = np.full(int(groups[-1]) + 1, len(groups))
    places = np.flatnonzero(marked)
    np.minimum.at(first, groups[places], places)
    return first
