"""NAL units are taken apart, renumbered and joined again; the ffmpeg command reads what comes out."""

import re
import shutil
import subprocess
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.media.h264_sequence import H264Sequence, h264_picture_set_id, read_h264_sequence
from stages.media.hevc_renumbering import HevcIds, num_reordered, renumbered
from stages.media.nal_units import (
    BitReader,
    UnitLayout,
    UnreadableUnits,
    annex_b,
    annex_b_units,
    escaped,
    ue_bits,
    unescaped,
)
from tests.videos import noise_shot, write_video

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")


def ffmpeg(*arguments: str) -> str:
    return subprocess.run(["ffmpeg", "-hide_banner", *arguments], capture_output=True, check=True, text=True).stderr


def escaped_byte_by_byte(data: bytes) -> bytes:
    """As 7.4.2 of H.265 says: a byte of at most 3 behind two zeros is preceded by a 3."""
    written, zeros = bytearray(), 0
    for byte in data:
        if zeros == 2 and byte <= 3:
            written.append(3)
            zeros = 0
        written.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(written)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 255]), max_size=40).map(bytes))
def test_escaped_is_that_of_the_standard_and_unescaped_its_inverse(data: bytes) -> None:
    assert escaped(data) == escaped_byte_by_byte(data)
    assert unescaped(escaped(data)) == data


@given(st.lists(st.integers(0, 100_000), max_size=8))
def test_bit_reader_reads_exp_golomb_codes(numbers: list[int]) -> None:
    bits = "".join(map(ue_bits, numbers)) + "1"
    bits += "0" * (-len(bits) % 8)
    reader = BitReader(int(bits, 2).to_bytes(len(bits) // 8))
    assert [reader.ue() for _ in numbers] == numbers
    assert ue_bits(0) == "1"
    assert ue_bits(6) == "00111"


def test_bit_reader_rejects_a_number_that_is_cut_off() -> None:
    with pytest.raises(UnreadableUnits, match="inside a number"):
        BitReader(b"\0\0").ue()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize(("codec", "kind"), [("libx264", "h264"), ("libx265", "hevc")])
def test_layout_is_the_same_in_each_container(tmp_path: Path, codec: str, kind: str, name: str) -> None:
    quiet = {"x265-params": "log-level=none"} if kind == "hevc" else {}
    found = []
    for path in (tmp_path / name, tmp_path / f"raw.{kind}"):
        write_video(path, noise_shot(1, 6), codec=codec, options={"bf": "0", **quiet})
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            layout = UnitLayout.of(kind, stream.codec_context.extradata or b"")
            packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
        pictures = [unit for packet in packets for unit in layout.units(packet) if unit not in layout.parameter_sets]
        slices = [unit for unit in pictures if (unit[0] & 31 in (1, 5) if kind == "h264" else unit[0] >> 1 < 32)]
        found.append((set(layout.parameter_sets), slices))
    assert found[0] == found[1]
    assert len(found[0][1]) == 6


@pytest.mark.parametrize("header", [b"", b"\1\x64\0\x1f\xff\xe1\0\x40", b"\0\0\1\x65\x88"])
def test_layout_rejects_a_header_without_parameter_sets(header: bytes) -> None:
    with pytest.raises(UnreadableUnits):
        UnitLayout.of("h264", header)


def test_layout_rejects_a_unit_longer_than_its_packet() -> None:
    with pytest.raises(UnreadableUnits, match="longer"):
        UnitLayout("h264", 4, ()).units(b"\0\0\0\x09\x65\1\2")


@needs_ffmpeg
@pytest.mark.parametrize(
    "parameters",
    ["ref=3:sps-id=9", "interlaced=1", "cqm=jvt:sar=4/3:range=pc:nal-hrd=vbr:vbv-maxrate=900:vbv-bufsize=900"],
)
def test_sequence_is_read_as_ffmpeg_reads_it(tmp_path: Path, parameters: str) -> None:
    options = {"profile": "high", "flags": "+ildct+ilme" if "interlaced" in parameters else "0"}
    path = write_video(
        tmp_path / "a.h264", noise_shot(1, 12), options={**options, "x264-params": f"bframes=3:{parameters}"}
    )
    text = ffmpeg("-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-")
    told = {name: int(number) for name, number in re.findall(r"\b(\w+) +[01]+ = (\d+)", text)}
    units = annex_b_units(path.read_bytes())
    (sequence, *_) = [unit for unit in units if unit[0] & 31 == 7]
    (pictures, *_) = [unit for unit in units if unit[0] & 31 == 8]
    assert read_h264_sequence(sequence) == H264Sequence(
        told["profile_idc"],
        told["level_idc"],
        told["seq_parameter_set_id"],
        not told["frame_mbs_only_flag"],
        told["max_num_reorder_frames"],
    )
    assert h264_picture_set_id(pictures) == told["pic_parameter_set_id"]


@needs_ffmpeg
@pytest.mark.parametrize("parameters", ["ref=4:amp=1", "wpp=1:bframes=8", "open-gop=1:keyint=8:sao=0"])
def test_renumbered_hevc_has_other_ids_and_the_same_pictures(tmp_path: Path, parameters: str) -> None:
    options = {"x265-params": f"{parameters}:log-level=none:pools=none"}
    path = write_video(tmp_path / "a.hevc", noise_shot(2, 30, width=192, height=128), codec="libx265", options=options)
    units = annex_b_units(path.read_bytes())
    ids = HevcIds.beside([unit for unit in units if unit[0] >> 1 in (32, 33, 34)])
    other = tmp_path / "b.hevc"
    other.write_bytes(annex_b([renumbered(unit, ids) for unit in units]))
    text = ffmpeg("-i", str(other), "-map", "0:v", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-")
    for name, number in [("vps_video", ids.video), ("sps_seq", ids.sequence), ("pps_pic", ids.pictures)]:
        assert set(re.findall(rf"\b{name}_parameter_set_id +[01]+ = (\d+)", text)) == {str(number)}
    assert set(re.findall(r"\bslice_pic_parameter_set_id +[01]+ = (\d+)", text)) == {str(ids.pictures)}
    digests = []
    for each in (path, other):
        command = ["ffmpeg", "-v", "warning", "-i", str(each), "-f", "framemd5", "-"]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        digests.append([line.split(",")[-1] for line in done.stdout.splitlines() if not line.startswith("#")])
        assert not done.stderr
    assert digests[0] == digests[1]
    assert len(digests[0]) == 30


@needs_ffmpeg
@pytest.mark.parametrize("parameters", ["bframes=0", "bframes=2:b-pyramid=0", "bframes=4:temporal-layers=3"])
def test_reordering_is_read_as_ffmpeg_reads_it(tmp_path: Path, parameters: str) -> None:
    options = {"x265-params": f"{parameters}:log-level=none:pools=none"}
    path = write_video(tmp_path / "a.hevc", noise_shot(2, 6), codec="libx265", options=options)
    text = ffmpeg("-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-")
    told = re.findall(r"\bsps_max_num_reorder_pics\[\d+\] +[01]+ = (\d+)", text)
    (sequence, *_) = [unit for unit in annex_b_units(path.read_bytes()) if unit[0] >> 1 == 33]
    assert num_reordered(sequence) == max(map(int, told))


def test_renumbered_rejects_units_that_have_other_ids_already(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.hevc", noise_shot(1, 3), codec="libx265", options={"x265-params": "log-level=none:bframes=0"}
    )
    units = annex_b_units(path.read_bytes())
    ids = HevcIds.beside([unit for unit in units if unit[0] >> 1 in (32, 33, 34)])
    again = [renumbered(unit, ids) for unit in units]
    with pytest.raises(UnreadableUnits, match="id 0"):
        [renumbered(unit, ids) for unit in again]
    taken = [unit for unit in again if unit[0] >> 1 in (32, 33, 34)]
    assert HevcIds.beside(taken) == HevcIds(ids.video - 1, ids.sequence - 1, ids.pictures + 1)
