"""The length of joined recordings: the sum of what was joined, which is a number of frames at 25 frames/s."""

from itertools import accumulate
from pathlib import Path

import pytest

from stages.media.container import open_video, video_stream
from stages.media.damage import stream_damage
from stages.media.decode import decode_frames
from stages.media.decode_log import DecodeLog
from stages.media.joined_duration import ReadLimits, joined_duration_s
from stages.media.probing import probe
from tests.toned_media import joined, number_of, remuxed, toned_video

CODECS = {
    ".ts": ("libx264", "aac"),
    ".mpg": ("mpeg2video", "mp2"),
    ".ogg": ("libvpx", None),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx", None),
}
FLV_HEADER_BYTES = 13


def pieces(folder: Path, suffix: str, lengths: list[int]) -> list[Path]:
    """Recordings that all begin at the same time, of so many frames."""
    codec, audio_codec = CODECS[suffix]
    firsts = [end - length for end, length in zip(accumulate(lengths), lengths, strict=True)]
    return [
        toned_video(folder / f"{first}{suffix}", length, first=first, codec=codec, audio_codec=audio_codec, options={})
        for first, length in zip(firsts, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("suffix", "lengths"),
    [(suffix, lengths) for suffix in CODECS for lengths in ([75, 50], [30, 75, 40])],
)
def test_the_length_of_joined_recordings_is_their_sum(tmp_path: Path, suffix: str, lengths: list[int]) -> None:
    path = joined(tmp_path / f"joined{suffix}", pieces(tmp_path, suffix, lengths))
    # FFmpeg, the command too, reads no more than two segments of Matroska.
    read = lengths[:2] if suffix in (".mkv", ".webm") else lengths
    assert probe(str(path))["duration_s"] == pytest.approx(sum(read) / 25)
    with open_video(str(path)) as container:
        assert sum(1 for _ in decode_frames(container)) == sum(read)


def test_the_length_of_joined_flv_is_the_sum(tmp_path: Path) -> None:
    parts = [remuxed(part, part.with_suffix(".flv")).read_bytes() for part in pieces(tmp_path, ".ts", [30, 75, 40])]
    path = tmp_path / "joined.flv"
    path.write_bytes(parts[0] + b"".join(part[FLV_HEADER_BYTES:] for part in parts[1:]))
    assert probe(str(path))["duration_s"] == pytest.approx(145 / 25)
    assert joined_duration_s(str(path), limits=ReadLimits(flv=0)) is None


def test_the_length_of_joined_live_recordings_is_the_sum(tmp_path: Path) -> None:
    parts = [
        remuxed(part, part.with_name(f"live-{part.name}"), options={"live": "1"})
        for part in pieces(tmp_path, ".mkv", [40, 50])
    ]
    path = joined(tmp_path / "joined.mkv", parts)
    assert probe(str(path))["duration_s"] == pytest.approx(90 / 25)


@pytest.mark.parametrize("lengths", [[100], [100, 100], [6, 150], [150, 12], [60, 40, 100], [25] * 8])
@pytest.mark.parametrize("shift_s", [0, 2000])
def test_of_a_large_file_only_parts_are_read(tmp_path: Path, lengths: list[int], shift_s: int) -> None:
    parts = pieces(tmp_path, ".ts", lengths)
    parts = [remuxed(part, tmp_path / f"m{n}.ts", shift_s=shift_s * (n % 2)) for n, part in enumerate(parts)]
    path = joined(tmp_path / "joined.ts", parts)
    limits = ReadLimits(whole=0, part=path.stat().st_size // 30)
    assert joined_duration_s(str(path), limits=limits) == pytest.approx(sum(lengths) / 25, abs=0.001)


def test_a_container_that_tells_its_length_is_not_read(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        assert joined_duration_s(str(toned_video(tmp_path / f"a{suffix}", 10))) is None


def test_headers_inside_of_a_joined_ogg_file_are_no_damage(tmp_path: Path) -> None:
    path = joined(tmp_path / "joined.ogg", pieces(tmp_path, ".ogg", [30, 30]))
    log = DecodeLog()
    with open_video(str(path)) as container:
        assert video_stream(container).codec_context.name == "vp8"
        frames = list(decode_frames(container, log=log))
    assert [number_of(each.frame) for each in frames] == list(range(60))
    damage = stream_damage(log, codec="vp8", is_dts_exact=True)
    assert (damage.damaged.sum(), damage.missing.sum()) == (0, 0)
