"""Clips of copied packets between encoded edges: what the ffmpeg and ffprobe commands show of them."""

import itertools
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from stages.media.clip_file import ClipFile, read_clip_file
from stages.media.cut import cut_clip
from stages.media.encode import Encoding
from stages.media.interlace import Fields
from stages.media.joined_clip import join_clip
from stages.media.nal_units import UnitLayout, annex_b_units, escaped, is_parameter_set, unescaped
from stages.media.stream_copy import NotCopyable
from tests.joined_media import Shown, check_joined
from tests.toned_media import joined
from tests.videos import noise_shot, remux, write_video

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg command")

GOP, NUM_FRAMES = 20, 80
MAX_B_FRAMES = 8
"""Between two others, at most, in the streams below: so many frames before the end of a span may be encoded."""
X264 = f"keyint={GOP}:min-keyint={GOP}:scenecut=0"
X265 = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:log-level=none:pools=none:frame-threads=1"
STREAMS = {
    "pyramid.mp4": ("libx264", "yuv420p", {"bf": "3", "x264-params": X264}),
    "no-b-frames.mov": ("libx264", "yuv420p", {"bf": "0", "x264-params": X264}),
    "baseline.mkv": ("libx264", "yuv420p", {"profile": "baseline", "x264-params": X264}),
    "main.ts": ("libx264", "yuv420p", {"profile": "main", "bf": "5", "x264-params": f"{X264}:b-pyramid=strict"}),
    "ten-bit.mp4": ("libx264", "yuv420p10le", {"x264-params": X264}),
    "full-range.mp4": ("libx264", "yuvj420p", {"x264-params": X264}),
    "slices.mp4": ("libx264", "yuv420p", {"x264-params": f"{X264}:slices=3:cabac=0"}),
    "closed.mp4": ("libx265", "yuv420p", {"x265-params": f"{X265}:open-gop=0"}),
    "open.mkv": ("libx265", "yuv420p", {"x265-params": f"{X265}:open-gop=1"}),
    "radl.mp4": ("libx265", "yuv420p", {"x265-params": f"{X265}:open-gop=0:radl=2"}),
    "no-b-frames-hevc.mp4": ("libx265", "yuv420p", {"x265-params": f"{X265}:bframes=0"}),
    "no-pyramid.mkv": ("libx265", "yuv420p", {"x265-params": f"{X265}:bframes=2:b-pyramid=0:repeat-headers=1"}),
    "hevc-ten-bit.ts": ("libx265", "yuv420p10le", {"x265-params": f"{X265}:bframes=8:wpp=1"}),
}


def made(folder: Path, name: str, *, num_frames: int = NUM_FRAMES) -> Path:
    codec, pixel_format, options = STREAMS[name]
    pictures = noise_shot(3, num_frames)
    return write_video(folder / name, pictures, codec=codec, options=options, pixel_format=pixel_format)


@pytest.mark.parametrize("name", STREAMS)
def test_join_clip_gives_each_frame_once_and_copies_those_between_the_edges(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    source = Shown.of(path)
    chosen = random.Random(name)
    for _ in range(2):
        start, end = chosen.randrange(1, GOP), chosen.randrange(2 * GOP + 1, NUM_FRAMES + 1)
        tolerance = 3.0 if source.samples.dtype == "uint8" else 12.0
        cut, are_equal = check_joined(path, source, start, end, tolerance=tolerance)
        assert (cut.method, cut) == ("smart", read_clip_file(str(path.with_suffix(".clip.mp4"))))
        num_copied = end - GOP if end == NUM_FRAMES else end - GOP - MAX_B_FRAMES
        assert are_equal[GOP - start :][:num_copied].all(), (start, end)


def test_join_clip_copies_all_of_a_span_that_needs_nothing_around_it(tmp_path: Path) -> None:
    path = made(tmp_path, "no-b-frames.mov")
    source = Shown.of(path)
    for start, end in ((GOP, GOP + 1), (GOP, 2 * GOP + 3), (0, NUM_FRAMES - 1)):
        cut, are_equal = check_joined(path, source, start, end, tolerance=0)
        assert cut == ClipFile("copy", "h264", end - start)
        assert are_equal.all()


@pytest.mark.system
@pytest.mark.parametrize(
    "name", ["bikes_10s.mp4", "chromeicon_30s.mp4", "screen_editor_60fps.mp4", "dog_eating_14s.mp4"]
)
def test_join_clip_cuts_real_videos_anywhere(shared_media: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.copy(shared_media / name, tmp_path))
    source, chosen, num_joined = Shown.of(path), random.Random(name), 0
    for _ in range(12):
        start = chosen.randrange(len(source.times) - 2)
        end = chosen.randrange(start + 2, min(start + 300, len(source.times) + 1))
        inside = [pts for pts in source.keyframes if source.times[start] <= pts <= source.times[end - 1]]
        if inside:
            cut, are_equal = check_joined(path, source, start, end, tolerance=4)
            first = source.times.index(min(inside)) - start
            assert are_equal[first : end - start - MAX_B_FRAMES].all()
            num_joined += cut.method == "smart"
    assert num_joined


@pytest.mark.parametrize(
    ("name", "tag", "num_sets"),
    [("pyramid.mp4", b"avc1", 2 * 2), ("main.ts", b"avc1", 2 * 2), ("open.mkv", b"hvc1", 2 * 3)],
)
def test_join_clip_takes_edges_of_one_frame_into_one_sample_description(
    tmp_path: Path, name: str, tag: bytes, num_sets: int
) -> None:
    path = made(tmp_path, name)
    cut, are_equal = check_joined(path, Shown.of(path), GOP - 1, 2 * GOP + 1, tolerance=3)
    assert (cut.method, sum(are_equal[1:GOP])) == ("smart", GOP - 1)
    described = path.with_suffix(".clip.mp4").read_bytes().split(b"stsd")[1]
    assert (int.from_bytes(described[4:8]), described[12:16]) == (1, tag)
    with av.open(str(path.with_suffix(".clip.mp4"))) as container:
        stream = container.streams.video[0]
        layout = UnitLayout.of(cut.codec, stream.codec_context.extradata or b"")
        assert len(layout.parameter_sets) == num_sets
        stored = [unit for packet in container.demux(stream) for unit in layout.units(bytes(packet))]
    assert not [unit for unit in stored if is_parameter_set(cut.codec, unit)]


def test_join_clip_keeps_varying_times(tmp_path: Path) -> None:
    lengths = (
        [9] * 10 + [1, 2] * 20 + [5] * 30
    )  # so long that the delay of the first frames does not fit behind the last
    pts = list(itertools.accumulate(lengths[:-1], initial=0))
    options = {"bf": "3", "x264-params": X264}
    path = write_video(tmp_path / "a.mp4", noise_shot(3, NUM_FRAMES), pts=pts, options=options)
    source = Shown.of(path)
    for start, end in ((7, 47), (7, 73), (31, 77)):
        cut, _ = check_joined(path, source, start, end, tolerance=3)
        assert cut.method == "smart"


def encoded(folder: Path, more: str = "", pixel_format: str = "yuv420p", **options: str) -> Path:
    """H.264 with further parameters of x264."""
    options["x264-params"] = f"{X264}{more}"
    return write_video(folder / "a.mp4", noise_shot(3, NUM_FRAMES), options=options, pixel_format=pixel_format)


def with_two_headers(folder: Path) -> Path:
    """A transport stream whose second half has another sequence parameter set."""
    parts = [
        write_video(
            folder / f"part{count}.h264",
            noise_shot(3, NUM_FRAMES // 2),
            options={"bf": "0", "x264-params": f"{X264}:ref={count}"},
        )
        for count in (1, 4)
    ]
    with av.open(str(joined(folder / "all.h264", parts))) as reader, av.open(str(folder / "a.ts"), "w") as writer:
        track = writer.add_stream_from_template(reader.streams.video[0])
        for index, packet in enumerate(packet for packet in reader.demux(video=0) if packet.size):
            packet.pts = packet.dts = index
            packet.time_base, packet.stream = Fraction(1, 25), track
            writer.mux(packet)
    return folder / "a.ts"


def without_reordering(folder: Path) -> Path:
    """B-frames that refer to others, in a stream whose sequence parameter set ends before its VUI."""
    plain = write_video(
        folder / "plain.ts", noise_shot(3, NUM_FRAMES), options={"bf": "7", "x264-params": X264 + ":b-adapt=0"}
    )
    command = ["ffmpeg", "-i", str(plain), "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stderr
    position = int(re.findall(r"(\d+) +vui_parameters_present_flag", text)[0])
    with av.open(str(plain)) as reader, av.open(str(folder / "a.mkv"), "w") as writer:
        stream = reader.streams.video[0]
        header = stream.codec_context.extradata or b""
        sequence = next(unit for unit in annex_b_units(header) if unit[0] & 31 == 7)
        bits = format(int.from_bytes(unescaped(sequence)), f"0{8 * len(unescaped(sequence))}b")[:position] + "01"
        bits += "0" * (-len(bits) % 8)
        shorter = escaped(int(bits, 2).to_bytes(len(bits) // 8))
        track = writer.add_stream_from_template(stream, opaque=True)
        track.codec_context.extradata = header.replace(sequence, shorter)
        for packet in reader.demux(stream):
            if packet.size:
                other = av.Packet(bytes(packet).replace(sequence, shorter))
                other.pts, other.dts, other.time_base = packet.pts, packet.dts, packet.time_base
                other.is_keyframe, other.stream = packet.is_keyframe, track
                writer.mux(other)
    return folder / "a.mkv"


HDR = ":transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "turned": (lambda folder: remux(encoded(folder), folder / "b.mp4", rotation=90), "must be upright"),
    "open GOP": (lambda folder: encoded(folder, ":open-gop=1"), "closed GOP"),
    "fields": (lambda folder: encoded(folder, ":interlaced=1", flags="+ildct+ilme"), "with fields"),
    "HDR": (lambda folder: encoded(folder, HDR, "yuv420p10le"), "must be SDR|is HDR"),
    "4:2:2": (lambda folder: encoded(folder, "", "yuv422p"), "got profile 122"),
    "two headers": (with_two_headers, "got another one"),
    "MPEG-4": (
        lambda folder: write_video(folder / "a.mp4", noise_shot(3, NUM_FRAMES), codec="mpeg4", options={"g": "20"}),
        "must be h264 or hevc",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_join_clip_rejects_what_no_encoder_continues_and_smart_encodes_it(tmp_path: Path, kind: str) -> None:
    make, text = REFUSED[kind]
    path = make(tmp_path)
    job = Shown.of(path).job(path, 7, 73)
    with pytest.raises(NotCopyable, match=text):
        join_clip(job, str(tmp_path / "clip.mp4"))
    assert cut_clip(job, str(tmp_path / "clip.mp4")) == ClipFile("encode", "h264", 66)
    assert len(Shown.of(tmp_path / "clip.mp4").times) == 66


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"is_damaged": True}, "damaged"),
        ({"may_seek": False}, "begin again"),
        ({"deinterlace": Fields.TOP_FIRST}, "interlaced"),
        ({"copied_codecs": frozenset({"vp9"})}, "must be vp9"),
        ({"num_frames": 65}, "must hold 65 packets"),
        ({"encoding": Encoding("h264", 20, fps=Fraction(10))}, "size and rate"),
    ],
)
def test_join_clip_rejects_what_is_asked_of_an_encoder(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = encoded(tmp_path)
    job = Shown.of(path).job(path, 7, 73, **changes)
    with pytest.raises(NotCopyable, match=text):
        join_clip(job, str(tmp_path / "clip.mp4"))


def test_join_clip_holds_back_frames_of_which_the_header_does_not_tell(tmp_path: Path) -> None:
    path = without_reordering(tmp_path)
    source = Shown.of(path, level="error")  # FFmpeg warns of the source
    cut, are_equal = check_joined(path, source, 7, 73, tolerance=3)
    assert (cut.method, are_equal[GOP - 7 :][: 73 - GOP - MAX_B_FRAMES].all()) == ("smart", True)
    # Without B-frames the encoder's part would not have the decoder hold any back.
    job = source.job(path, 7, 73, encoding=Encoding("h264", 12, preset="ultrafast"))
    with pytest.raises(NotCopyable, match="reordered by 2 must say so"):
        join_clip(job, str(tmp_path / "clip.mp4"))


def test_auto_encodes_where_too_little_would_be_copied(tmp_path: Path) -> None:
    path, methods = encoded(tmp_path, bf="0"), {}
    source = Shown.of(path)
    for start in (1, 12, 18):  # of 39, 28 and 22 frames all behind frame 20 are copied
        for mode in ("auto", "smart"):
            job = source.job(path, start, 2 * GOP, mode=mode)
            methods[start, mode] = cut_clip(job, str(tmp_path / "clip.mp4")).method
    assert methods == {
        **{(start, "smart"): "smart" for start in (1, 12, 18)},
        **{(12, "auto"): "smart", (18, "auto"): "smart", (1, "auto"): "smart"},
    }


def test_auto_joins_hevc_only_where_little_is_encoded(tmp_path: Path) -> None:
    path = made(tmp_path, "closed.mp4")
    source = Shown.of(path)
    methods = [
        cut_clip(source.job(path, start, 3 * GOP, mode="auto"), str(tmp_path / "clip.mp4")).method
        for start in (3, GOP - 2)
    ]
    assert methods == ["encode", "smart"]


def test_smart_takes_a_sixth_of_encoding_and_not_a_third_more(tmp_path: Path) -> None:
    options = {"preset": "veryfast", "x264-params": X264}
    path = write_video(tmp_path / "a.mp4", noise_shot(3, 100, width=320, height=192), options=options)
    source = Shown.of(path)
    spent: dict[str, list[float]] = {"encode": [], "smart": []}
    for _ in range(3):  # in turn, so that what else the machine does strikes both
        for mode, seconds in spent.items():
            before = time.process_time()
            cut = cut_clip(source.job(path, GOP // 2, 100, mode=mode), str(tmp_path / "clip.mp4"))
            seconds.append(time.process_time() - before)
            assert cut.method == mode
    # A tenth of the frames is encoded, and the GOP before them decoded.
    assert min(spent["smart"]) < min(spent["encode"]) / 6 * 4 / 3
