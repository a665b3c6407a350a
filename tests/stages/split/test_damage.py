"""Damaged videos as the split phase cuts them, compared frame by frame with their originals.

A small version of `benchmarks/damage.py`, whose figures docs/quality.md has.
"""

import itertools
import os
import zlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError

from benchmarks.damage import Lengths, measure, shown_by_product
from benchmarks.damage import split as split_at_stride
from benchmarks.damaged_videos import CODECS, Source, damage, encode, synthetic
from stages.errors import CorruptStream
from stages.filter.column_filters import DamageFilter
from stages.media import (
    CutJob,
    DecodeLog,
    Encoding,
    StreamDamage,
    cut_clip,
    decode_frames,
    open_video,
    stream_damage,
)
from stages.media.packet_decoder import STRICT_DECODERS
from stages.params import FilterParams
from tests.conftest import SHARED

SECONDS, RATE = 4, 25
LENGTHS = Lengths(10, 1)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return list(synthetic(2, SECONDS * RATE, width=160, height=96))


def original(folder: Path, pictures: list[np.ndarray], codec: str, suffix: str, *, with_sound: bool = False) -> Path:
    os.environ.setdefault("SVT_LOG", "1")
    source = Source("synthetic", RATE, pictures)
    return encode(source, codec, folder / f"whole{suffix}", gop=RATE, with_sound=with_sound)


@pytest.mark.parametrize(
    ("codec", "suffix", "kinds"),
    [
        ("h264", ".mp4", ("overwritten", "burst", "zeroed", "dropped", "cut_off")),
        ("h264", ".ts", ("zeroed", "dropped")),
        ("mpeg4", ".mkv", ("overwritten", "zeroed")),
        ("vp9", ".webm", ("overwritten", "dropped")),
        ("av1", ".mkv", ("overwritten", "zeroed")),
        ("hevc", ".mp4", ("burst", "zeroed")),
    ],
)
def test_damaged_clips_are_rejected_and_whole_frames_are_in_clips(
    tmp_path: Path, pictures: list[np.ndarray], codec: str, suffix: str, kinds: tuple[str, ...]
) -> None:
    whole = original(tmp_path, pictures, codec, suffix)
    shown = shown_by_product(whole)
    assert len(shown.times) == SECONDS * RATE
    counts: Counter[str] = Counter()
    undamaged = measure(whole, shown)
    assert (undamaged["whole"], undamaged["whole_rejected"]) == (2, 0)
    for kind in kinds:
        counts += measure(
            damage(whole, tmp_path / f"{kind}{suffix}", kind, zlib.crc32(f"{codec} {kind}".encode())),
            shown,
        )
    # x264 writes other bits in another process, so that other bytes are harmed: one barely damaged clip may be missed.
    assert counts["damaged"] > 1
    assert counts["damaged_rejected"] >= counts["damaged"] - 1
    assert counts["in_clips"] >= 0.95 * counts["whole_frames"]


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("mpeg4", ".mkv"), ("vp9", ".webm")])
def test_frames_that_their_pictures_prove_whole_are_kept(
    tmp_path: Path, pictures: list[np.ndarray], codec: str, suffix: str
) -> None:
    noise = np.random.default_rng(3)
    still = [np.clip(pictures[0] + noise.normal(0, 2, pictures[0].shape), 0, 255).astype(np.uint8) for _ in pictures]
    whole = original(tmp_path, still, codec, suffix)
    damaged = damage(whole, tmp_path / f"damaged{suffix}", "dropped", 4)
    counts = measure(damaged, shown_by_product(whole))
    assert counts["damaged"] == counts["damaged_rejected"] > 0
    assert counts["whole"] > 0
    assert counts["whole_rejected"] == 0
    assert counts["in_kept_clips"] >= 0.75 * counts["whole_frames"]


@pytest.mark.parametrize("codec", list(STRICT_DECODERS))
def test_strict_decoders_give_the_pictures_of_ffmpegs_own(
    tmp_path: Path, pictures: list[np.ndarray], codec: str
) -> None:
    whole = original(tmp_path, pictures[:40], codec, f".{CODECS[codec][2][0]}")
    with av.open(str(whole)) as container:
        own = [(frame.pts, frame.key_frame, frame.to_ndarray()) for frame in container.decode(video=0)]
    with open_video(str(whole)) as container:
        strict = [(each.pts, each.is_keyframe, each.frame.to_ndarray()) for each in decode_frames(container)]
    assert [each[:2] for each in strict] == [each[:2] for each in own]
    np.testing.assert_array_equal([each[2] for each in strict], [each[2] for each in own])


@pytest.fixture(scope="module")
def av1_video(tmp_path_factory: pytest.TempPathFactory, pictures: list[np.ndarray]) -> Path:
    return original(tmp_path_factory.mktemp("av1"), pictures[:60], "av1", ".mp4")


def with_other_byte(video: Path, path: Path, number: int, place: float) -> Path:
    """The video with another byte in one packet, at this share of its length."""
    with av.open(str(video)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    data = bytearray(video.read_bytes())
    data[(packet.pos or 0) + round(place * (packet.size - 1))] ^= 0xFF
    path.write_bytes(data)
    return path


def damage_told(path: Path) -> tuple[DecodeLog, StreamDamage]:
    log = DecodeLog()
    with open_video(str(path)) as container, suppress(CorruptStream):
        for _ in decode_frames(container, log=log):
            pass
    return log, stream_damage(log, codec="av1", is_dts_exact=True)


@pytest.mark.parametrize("number", [9, 30])
def test_av1_is_refused_where_it_is_damaged_and_suspected_not_before(
    tmp_path: Path, av1_video: Path, number: int
) -> None:
    log, found = damage_told(with_other_byte(av1_video, tmp_path / "damaged.mp4", number, 1.0))
    _, _, _, fault, _ = log.packets()
    assert log.is_prompt
    assert np.flatnonzero(fault)[0] == number
    assert not found.damaged[:number].any()
    assert not found.late.any()
    assert found.damaged.sum() + found.missing.sum() > 0


def test_hevc_that_tells_the_md5_of_its_pictures_is_refused_where_it_is_damaged(
    tmp_path: Path, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, options, suffixes = CODECS["hevc"]
    options = {**options, "x265-params": options["x265-params"] + ":hash=1"}
    monkeypatch.setitem(CODECS, "hevc", (encoder, options, suffixes))
    whole = original(tmp_path, pictures[:30], "hevc", ".mp4")
    for number in (6, 7, 8, 9):
        log, _ = damage_told(with_other_byte(whole, tmp_path / f"{number}.mp4", number, 0.3))
        _, _, _, fault, _ = log.packets()
        assert np.flatnonzero(fault)[0] == number


def with_noise(video: Path, path: Path, number: int) -> Path:
    """The video with 12 other bytes in the middle of one packet."""
    with av.open(str(video)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    data, first = bytearray(video.read_bytes()), (packet.pos or 0) + packet.size // 2
    data[first : first + 12] = np.random.default_rng(number).integers(4, 256, 12).astype(np.uint8).tobytes()
    path.write_bytes(data)
    return path


def test_damage_that_hevcs_decoder_shows_without_a_word_is_seen(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    whole = original(tmp_path, pictures[:75], "hevc", ".mp4")
    shown, counts = shown_by_product(whole), Counter[str]()
    for number in (25, 30, 34, 50):
        path = with_noise(whole, tmp_path / f"{number}.mp4", number)
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.options = {"err_detect": "explode+crccheck"}
            with suppress(FFmpegError):
                counts["silent"] += len(list(container.decode(video=0))) == 75
        counts += measure(path, shown)
    assert counts["silent"] >= 3
    assert counts["damaged"] >= 3
    assert counts["damaged_rejected"] >= 0.6 * counts["damaged"]
    assert counts["whole_rejected"] == 0


def test_av1_that_is_padded_otherwise_is_whole(tmp_path: Path, av1_video: Path) -> None:
    log, found = damage_told(with_other_byte(av1_video, tmp_path / "padded.mp4", 0, 1.0))
    assert not log.is_prompt
    assert len(found.damaged) == 60
    assert found.damaged.sum() + found.missing.sum() == 0


def test_kept_clips_of_a_damaged_file_decode_without_an_error(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    whole = original(tmp_path, pictures, "h264", ".mp4", with_sound=True)
    path = damage(whole, tmp_path / "b.mp4", "zeroed", 5)
    clips = split_at_stride(path, str(tmp_path / "root"), LENGTHS)
    kept = [clip for clip in clips if clip.columns["damaged_share"] == 0]
    assert kept
    assert len(kept) < len(clips)
    for number, clip in enumerate(kept):
        is_at_keyframes = clip.columns["start_is_keyframe"] and clip.columns["end_is_keyframe"]
        job = CutJob(str(path), clip.span, clip.num_frames, is_at_keyframes, "auto", Encoding("h264", 20))
        target = tmp_path / f"clip{number}.mp4"
        cut_clip(job, str(target))
        with av.open(str(target)) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}
            frames = [frame for packet in container.demux(stream) for frame in packet.decode()]
        assert len(frames) == clip.num_frames
        assert not any(frame.is_corrupt for frame in frames)


@pytest.mark.skipif(
    not (SHARED / "cases").is_dir() and not os.environ.get("CURATOR_REQUIRE_SHARED"), reason="needs the shared cases"
)
@pytest.mark.parametrize(
    ("case", "wrong_s", "expected"),
    [
        # The ffmpeg command decodes 249 of 250 frames: number 40 is missing, and from 50 on all are right.
        ("one_bad_frame/input.mp4", (1.6, 2.0), [(0, 39, False), (39, 49, True), (49, 249, False)]),
        # The ffmpeg command shows wrong or missing numbers between 75 and 96 only; 100 is the next keyframe.
        ("noise_in_the_middle/input.ts", (3.0, 4.0), [(0, 75, False), (75, 87, True), (87, 237, False)]),
    ],
)
def test_damage_of_real_reports_bounds_clips(
    tmp_path: Path, case: str, wrong_s: tuple[float, float], expected: list[tuple[int, int, bool]]
) -> None:
    clips = split_at_stride(SHARED / "cases" / case, str(tmp_path), LENGTHS)
    params = FilterParams()
    judge = DamageFilter(params.damaged_max, params.sound_damaged_max)
    rejected = [judge.violation(judge.score(clip)) is not None for clip in clips]
    found = [(clip.start_frame, clip.end_frame, bad) for clip, bad in zip(clips, rejected, strict=True)]
    assert found == expected
    origin_s = clips[0].span.start_s
    for clip, bad in zip(clips, rejected, strict=True):
        if not bad:
            assert clip.span.end_s - origin_s < wrong_s[0] + 1e-6 or clip.span.start_s - origin_s > wrong_s[1] - 1e-6
    assert all(before.span.end_pts == after.span.start_pts for before, after in itertools.pairwise(clips))
