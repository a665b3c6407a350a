"""What packets and frames tell of damage: which frames are damaged, which are missing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.media.container import open_video, video_stream
from stages.media.damage import StreamDamage, end_with_lost, stream_damage
from stages.media.decode_log import DecodeLog
from stages.media.frame_times import promised_frames
from stages.media.gaps import gaps
from tests.toned_media import toned_video

# Decoding order of GOPs as x264 makes them: each group is an anchor and the B-frames that are shown before it.
#         K0 P4 B2 B1 B3 P8 B6 B5 B7 K9 P13 ...
ORDER = [0, 4, 2, 1, 3, 8, 6, 5, 7, 9, 13, 11, 10, 12, 17, 15, 14, 16]
KEYS = {0, 9}
STEP = 512


def told(
    order: Iterable[int] = ORDER,
    *,
    lost: Iterable[int] = (),
    codec: str = "h264",
    keys: Iterable[int] = KEYS,
    shown: Iterable[int] | None = None,
    packets: dict[int, dict[str, Any]] | None = None,
    flagged: Iterable[int] = (),
    is_dts_exact: bool = True,
) -> StreamDamage:
    """The damage of a stream whose frames are named by their place; `lost` ones are not in the file."""
    log, order = DecodeLog(), list(order)
    facts = packets or {}
    for place, frame in enumerate(order):
        if frame not in set(lost):
            log.add_packet(STEP * frame, STEP * (place - 2), is_key=frame in keys, **facts.get(frame, {}))
    for frame in sorted(order) if shown is None else shown:
        if frame not in set(lost) and not (facts.get(frame, {}).get("refused") and shown is None):
            log.add_frame(STEP * frame, is_flagged=frame in set(flagged))
    return stream_damage(log, codec=codec, is_dts_exact=is_dts_exact)


def damaged(found: StreamDamage) -> list[int]:
    return np.flatnonzero(found.damaged).tolist()


def test_a_whole_stream_has_no_damage() -> None:
    found = told()
    assert damaged(found) == []
    assert found.missing.tolist() == [0] * 18


def test_nothing_is_told_of_no_frames() -> None:
    assert len(stream_damage(DecodeLog(), codec="h264", is_dts_exact=True).damaged) == 0


def test_a_refused_anchor_damages_all_after_it_up_to_the_keyframe() -> None:
    found = told(packets={4: {"refused": "Invalid data"}})
    # Shown are 0 1 2 3 5 ...: frames 1 to 3 and 5 to 8 are decoded after frame 4.
    assert damaged(found) == [1, 2, 3, 4, 5, 6, 7]
    assert np.flatnonzero(found.missing).tolist() == [3]


def test_a_refused_b_frame_damages_its_group_alone() -> None:
    found = told(packets={6: {"refused": "Invalid data"}})
    assert (damaged(found), np.flatnonzero(found.missing).tolist()) == ([5, 6], [5]), "frames 5 and 7"


def test_a_lost_anchor_and_a_lost_b_frame_are_told_apart_by_decoding_times() -> None:
    anchor, b_frame = told(lost=[13]), told(lost=[11])
    assert damaged(anchor) == [10, 11, 12, 13, 14, 15, 16], "10 to 12 and 14 to 17"
    assert damaged(b_frame) == [10, 11], "10 and 12"
    assert (anchor.missing[12], b_frame.missing[10]) == (1, 1)


def test_without_decoding_times_a_lost_frame_counts_as_an_anchor() -> None:
    assert set(damaged(told(lost=[11], is_dts_exact=False))) >= {10, 11, 12, 13, 14, 15, 16}


def test_a_lost_keyframe_damages_its_group() -> None:
    found = told([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], lost=[6], keys={0, 6, 12})
    assert damaged(found) == [6, 7, 8, 9, 10]
    assert found.missing[5] == 1


def test_a_flag_of_the_demuxer_holds_for_the_next_packet_too() -> None:
    flagged = {7: {"is_flagged": True}}
    assert damaged(told(range(20), keys={0, 10}, packets=flagged)) == [7, 8, 9]
    assert damaged(told(range(20), keys={0, 8}, packets=flagged, codec="hevc")) == list(range(7, 20))


def test_joined_recordings_are_whole_where_the_decoder_tells_of_nothing() -> None:
    joint = {9: {"is_flagged": True}}
    assert damaged(told(range(20), keys={0, 10}, packets=joint)) == []
    assert damaged(told(range(20), keys={0, 10}, packets=joint, flagged=[10])) == list(range(10, 20))


def test_a_flag_of_the_demuxer_is_that_of_the_frame_that_the_decoder_tells_of_or_that_is_missing() -> None:
    flagged = {7: {"is_flagged": True}}
    assert damaged(told(range(20), keys={0, 10}, packets=flagged, flagged=[7])) == [7, 8, 9]
    assert damaged(told(range(20), keys={0, 10}, packets=flagged, flagged=[8])) == [8, 9]
    # Frames are shown as 0 1 ... 10 12 ...: the B-frame 11 is missing behind 13, which is whole.
    assert damaged(told(lost=[11], packets={13: {"is_flagged": True}})) == [10, 11]


def test_a_flag_of_the_decoder_holds_from_its_frame_on() -> None:
    assert damaged(told(range(20), keys={0, 10}, flagged=[7])) == [7, 8, 9]


def test_leading_frames_of_an_open_gop_hang_on_the_gop_before() -> None:
    # K8 is decoded before frames 6 and 7, which are predicted from frame 5 too.
    order = [0, 1, 2, 3, 4, 5, 8, 6, 7, 9, 10, 11]
    assert damaged(told(order, keys={0, 8}, flagged=[4])) == [4, 5, 6, 7]


def test_av1_shows_damage_before_it_refuses_a_packet() -> None:
    refused = {45: {"refused": "Invalid data"}}
    assert damaged(told(range(50), keys={0, 30}, packets=refused, codec="av1")) == list(range(30, 49))
    assert damaged(told(range(50), keys={0}, packets=refused, codec="av1"))[0] == 13, "32 packets before at most"
    assert damaged(told(range(50), keys={0, 30}, packets=refused)) == list(range(45, 49))


def test_av1_frames_before_the_refused_packet_are_damaged_late() -> None:
    found = told(range(100), codec="av1", keys={0, 60}, packets={50: {"refused": "Invalid data"}})
    assert np.flatnonzero(found.late).tolist() == list(range(18, 50))
    assert not told(range(100), codec="h264", keys={0, 60}, packets={50: {"refused": "Invalid data"}}).late.any()


def test_what_is_missing_before_a_frame_without_a_time_belongs_to_the_frame_before_that() -> None:
    log = DecodeLog()
    for frame in (*range(20), *range(30, 60)):
        log.add_packet(STEP * frame, STEP * frame, is_key=frame in (0, 30))
        log.add_frame(None if frame == 30 else STEP * frame)
    missing = stream_damage(log, codec="hevc", is_dts_exact=True).missing
    assert {int(frame): int(missing[frame]) for frame in np.flatnonzero(missing)} == {19: 10}


def test_beyond_the_last_frame_nothing_is_missing_but_what_was_refused() -> None:
    order = list(range(20))
    assert told([*order, 25], shown=order).missing.tolist() == [0] * 20, "the file ends in the middle of packet 25"
    assert told([*order, 20], shown=order, packets={20: {"refused": "Invalid data"}}).missing.sum() == 1


def test_frames_out_of_order_are_damaged_where_something_is_lost() -> None:
    shown = [0, 1, 2, 3, 6, 4, 5, 7, 8, 9, 10]
    assert damaged(told(range(11), keys={0}, shown=shown)) == []
    assert damaged(told(range(11), keys={0}, shown=shown, flagged=[9])) == [5, 6, 9, 10]


def test_variable_rates_miss_nothing() -> None:
    times = np.cumsum(np.random.default_rng(1).integers(1, 4, 100)).tolist()
    found = told(times, keys={times[0]})
    assert (damaged(found), int(found.missing.sum())) == ([], 0)


@pytest.mark.parametrize(("step", "missing"), [(1.5, 0), (1.7, 0), (1.9, 1), (2.1, 1), (3.0, 2)])
def test_a_frame_is_missing_where_there_is_room_for_it(step: float, missing: int) -> None:
    times = [*range(20), *(19 + step + np.arange(20))]
    log = DecodeLog()
    for frame in times:
        log.add_packet(round(STEP * frame), round(STEP * frame), is_key=not frame)
        log.add_frame(round(STEP * frame))
    found = stream_damage(log, codec="h264", is_dts_exact=True)
    assert (int(found.missing[19]), int(found.missing.sum())) == (missing, missing)
    assert bool(found.damaged.any()) == bool(missing)


def test_a_gap_that_doubled_times_make_up_for_misses_nothing() -> None:
    times = [*range(20), 21, 22, 22, *range(23, 40)]
    found = told(times, keys={0})
    assert (damaged(found), int(found.missing.sum())) == ([], 0)


def test_the_first_frame_of_a_fragmented_file_may_last_longer() -> None:
    log = DecodeLog()
    for frame in (0, *range(2, 30)):
        log.add_packet(STEP * frame, STEP * frame, is_key=frame == 0)
        log.add_frame(STEP * frame)
    for num_listed, missing in ((1, 0), (29, 1), (None, 1)):
        found = stream_damage(log, codec="h264", is_dts_exact=True, num_listed=num_listed)
        assert int(found.missing.sum()) == missing
        assert found.damaged.any() == bool(missing)


def test_a_packet_that_may_give_no_frame_is_not_missed() -> None:
    order = [0, 1, 2, 4, 5, 7, 8, 10, 13, 14, 15, 20, 22, 23, 24]
    skipped = told(order, keys={0}, packets={10: {"is_optional": True}}, shown=[each for each in order if each != 10])
    assert int(skipped.missing.sum()) == 0
    assert int(told(order, keys={0}, shown=[each for each in order if each != 10]).missing.sum()) == 1


def test_frames_without_pts_follow_packets_in_order() -> None:
    log = DecodeLog()
    for frame in range(20):
        log.add_packet(None, None, is_key=frame in (0, 10), refused="Invalid data" if frame == 5 else None)
        if frame != 5:
            log.add_frame(None)
    found = stream_damage(log, codec="mpeg4", is_dts_exact=True)
    assert (damaged(found), int(found.missing.sum())) == ([5, 6, 7, 8], 0)
    assert (log.num_refused, log.first_refused_pts, log.first_fault) == (1, None, "Invalid data")


@pytest.mark.parametrize(("far", "end"), [(0, 23 * STEP), (1 << 40, 23 * STEP)])
def test_a_stream_ends_with_its_lost_frames(far: int, end: int) -> None:
    log = DecodeLog()
    for frame in range(23):
        pts = STEP * frame + far * (frame == 22)
        log.add_packet(pts, STEP * frame, is_key=frame == 0, refused="Invalid data" if frame > 19 else None)
        if frame <= 19:
            log.add_frame(STEP * frame)
    assert end_with_lost(log, 19 * STEP, 20 * STEP) == end, "not where a damaged time points to"
    assert stream_damage(log, codec="vp9", is_dts_exact=True).missing[19] >= 3


def test_few_gaps_of_a_short_stream_count_where_its_header_promises_more_frames() -> None:
    left = np.array([0, 1, 2, 3, 20, 21, 22, 23, 40, 41, 42, 50, 51, 52, 53])
    assert gaps(left * STEP).sum() == 0, "a variable rate, for all that times tell"
    assert gaps(left * STEP, num_promised=len(left)).sum() == 0, "the header promises no more"
    found = gaps(left * STEP, num_promised=60)
    assert found[[3, 7, 10]].tolist() == [16, 16, 7]
    assert found.sum() == 39


def test_many_gaps_are_a_variable_rate_whatever_the_header_promises() -> None:
    times = np.cumsum(np.where(np.arange(40) % 4, 1, 3))
    assert gaps(times * STEP, num_promised=1000).sum() == 0


def test_matroska_promises_as_many_frames_as_it_was_written_with(tmp_path: Path) -> None:
    for suffix, num_promised in ((".mkv", 60), (".mp4", None)):
        path = toned_video(tmp_path / f"a{suffix}", 60, size=(64, 48))
        with open_video(str(path)) as container:
            assert promised_frames(video_stream(container)) == num_promised
