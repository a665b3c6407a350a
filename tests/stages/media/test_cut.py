"""Cutting is checked by decoding what was written and comparing it with the same frames of the source."""

import struct
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np
import pytest
import torch
from av.codec import Codec
from numpy.typing import NDArray
from PIL import Image

from stages.errors import CorruptStream, ParamsError, SourceError, StageError, StorageUnavailable
from stages.media.clip_facts import read_clip_facts
from stages.media.container import open_video, video_stream
from stages.media.cut import ClipFile, CutJob, cut_clip, read_clip_file
from stages.media.decode import decode_frames
from stages.media.encode import PRESETS, Encoding, check_encoder
from stages.media.stream_copy import NotCopyable
from stages.media.upright import upright
from stages.tasks import Size, Span
from tests.faults.damage import DamagedCopy
from tests.toned_media import joined, numbers_and_times, remuxed, toned_video
from tests.videos import beeping_video, noise_shot, remux, write_video

H264 = Encoding("h264", 12)
CLOSED = {"g": "25", "keyint_min": "25", "bf": "2", "x264-params": "scenecut=0"}
OPEN = {"bf": "3", "x264-params": "open-gop=1:keyint=26:min-keyint=26:scenecut=0:b-adapt=0"}


def decode_upright(path: Path, size: Size | None = None) -> tuple[list[Fraction], NDArray[np.uint8]]:
    """Times in seconds and upright pictures of a whole video."""
    with open_video(str(path)) as container:
        time_base = video_stream(container).time_base or Fraction(1)
        frames = list(decode_frames(container))
    size = size or Size(*upright(frames[0].frame, Size(96, 64)).shape[1::-1])
    return [frame.pts * time_base for frame in frames], np.stack([upright(frame.frame, size) for frame in frames])


def job_of(
    path: Path, start: int, end: int, *, mode: Literal["auto", "copy", "smart", "encode"], **changes: Any
) -> CutJob:
    """Frames [start, end) of a video, as split would name them."""
    with open_video(str(path)) as container:
        stream = video_stream(container)
        frames = list(islice(decode_frames(container), end + 1))
        ends = [frame.pts for frame in frames] + [frames[-1].pts + (frames[-1].frame.duration or 1)]
        at_keyframes = frames[start].is_keyframe and (end == len(frames) or frames[end].is_keyframe)
        span = Span(ends[start], ends[end], stream.time_base or Fraction(1))
    return replace(CutJob(str(path), span, end - start, at_keyframes, mode, H264), **changes)


def assert_same_frames(source: Path, clip: Path, start: int, end: int, *, tolerance: float) -> None:
    source_times, source_pictures = decode_upright(source)
    times, pictures = decode_upright(clip)
    assert times == [time - source_times[start] for time in source_times[start:end]]
    assert len(pictures) == end - start
    assert np.abs(pictures.astype(float) - source_pictures[start:end]).mean(axis=(1, 2, 3)).max() <= tolerance


@pytest.mark.parametrize(("start", "end"), [(0, 25), (25, 75), (75, 100)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_cut_clip_copies_exactly_the_span(tmp_path: Path, name: str, start: int, end: int) -> None:
    source = write_video(tmp_path / name, noise_shot(1, 100), options=CLOSED)
    cut = cut_clip(job_of(source, start, end, mode="copy"), str(tmp_path / "clip.mp4"))
    assert cut == ClipFile("copy", "h264", end - start)
    assert_same_frames(source, tmp_path / "clip.mp4", start, end, tolerance=0)


@pytest.mark.parametrize(("codec", "name"), [("libvpx-vp9", "vp9"), ("mpeg4", "mpeg4"), ("libx265", "hevc")])
def test_cut_clip_copies_what_mp4_can_hold(tmp_path: Path, codec: str, name: str) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    source = write_video(tmp_path / "a.mkv", noise_shot(1, 30), codec=codec, options=quiet)
    assert cut_clip(job_of(source, 0, 30, mode="copy"), str(tmp_path / "clip.mp4")) == ClipFile("copy", name, 30)
    assert_same_frames(source, tmp_path / "clip.mp4", 0, 30, tolerance=0)


@pytest.mark.parametrize(
    ("name", "codec", "options", "span", "text", "method"),
    [
        ("a.mp4", "libx264", CLOSED, (10, 50), "must begin at a keyframe", "smart"),
        ("a.mp4", "libx264", CLOSED, (25, 60), "must begin at a keyframe", "copy"),
        (
            "a.webm",
            "libvpx",
            {"deadline": "realtime", "cpu-used": "8"},
            (0, 100),
            "copied into MP4 must be one of",
            "encode",
        ),
        ("a.mp4", "libx264", OPEN, (26, 52), "open GOP", "encode"),
    ],
    ids=["start", "end", "codec", "open-gop"],
)
def test_cut_clip_rejects_copying_and_auto_finds_another_way(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], span: tuple[int, int], text: str, method: str
) -> None:
    source = write_video(tmp_path / name, noise_shot(1, 100), codec=codec, options=options)
    with pytest.raises(NotCopyable, match=text):
        cut_clip(job_of(source, *span, mode="copy"), str(tmp_path / "clip.mp4"))
    assert cut_clip(job_of(source, *span, mode="auto"), str(tmp_path / "clip.mp4")).method == method
    assert_same_frames(source, tmp_path / "clip.mp4", *span, tolerance=3)


def test_cut_clip_rejects_copying_another_number_of_frames(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 50), options=CLOSED)
    job = job_of(source, 0, 25, mode="copy", num_frames=24)
    with pytest.raises(NotCopyable, match="must hold 24 packets"):
        cut_clip(job, str(tmp_path / "clip.mp4"))
    with pytest.raises(StageError, match="split counted"):
        cut_clip(replace(job, mode="encode", num_frames=26), str(tmp_path / "clip.mp4"))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mpg", "mpeg2video"), ("a.avi", "mpeg4")])
@pytest.mark.parametrize(("start", "end"), [(0, 60), (13, 14), (30, 43), (50, 60)])
def test_cut_clip_encodes_exactly_the_span(tmp_path: Path, name: str, codec: str, start: int, end: int) -> None:
    source = write_video(tmp_path / name, noise_shot(1, 60), codec=codec)
    cut = cut_clip(job_of(source, start, end, mode="encode"), str(tmp_path / "clip.mp4"))
    assert cut == ClipFile("encode", "h264", end - start) == read_clip_file(str(tmp_path / "clip.mp4"))
    assert_same_frames(source, tmp_path / "clip.mp4", start, end, tolerance=3)


@pytest.mark.parametrize(("encoder", "codec"), [("h264", "h264"), ("vp9", "vp9"), ("av1", "av1")])
def test_cut_clip_keeps_varying_times_with_each_encoder(tmp_path: Path, encoder: str, codec: str) -> None:
    check_encoder(Encoding(encoder, 20))
    pts = [index * 3 + index % 2 for index in range(40)]
    source = write_video(tmp_path / "vfr.mp4", noise_shot(1, 40), pts=pts)
    job = job_of(source, 7, 33, mode="encode", encoding=Encoding(encoder, 12))
    assert cut_clip(job, str(tmp_path / "clip.mp4")) == ClipFile("encode", codec, 26)
    assert_same_frames(source, tmp_path / "clip.mp4", 7, 33, tolerance=4)


def write_nsv(path: Path) -> Path:
    """Two seconds of MPEG-4 video in a container whose demuxer ends with EPERM, though nothing was forbidden."""
    plain, parts = write_video(path.with_suffix(".avi"), noise_shot(1, 50), codec="mpeg4", options={"g": "25"}), []
    with open_video(str(plain)) as container:
        stream = video_stream(container)
        for packet in container.demux(stream):
            size = struct.pack("<BHH", (packet.size & 15) << 4, packet.size >> 4, 0)
            head = b"NSVsXVIDNONE" + struct.pack("<HHBH", stream.width, stream.height, 25, 0)
            parts += [head if packet.is_keyframe else b"\xef\xbe", size, bytes(packet)] if packet.size else []
    path.write_bytes(b"".join(parts))
    return path


def test_cut_clip_encodes_where_a_demuxer_fails_with_a_number_of_the_system(tmp_path: Path) -> None:
    source = write_nsv(tmp_path / "a.nsv")
    job = CutJob(str(source), Span(25, 50, Fraction(1, 25)), 25, True, "auto", H264)
    assert cut_clip(job, str(tmp_path / "clip.mp4")) == ClipFile("encode", "h264", 25)


def test_cut_clip_gives_equal_bytes_each_time(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 60, width=480, height=272), options={"qp": "4"})
    job, made = job_of(source, 5, 55, mode="encode"), set()
    for number in range(6):
        littered = [np.full(50_000 * (number + 1), 37 * number, np.uint8) for _ in range(20)]
        del littered  # what the encoder is given by the allocator differs from run to run
        cut_clip(job, str(tmp_path / "clip.mp4"))
        made.add((tmp_path / "clip.mp4").read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize("rotation", [90, -90, 180])
@pytest.mark.parametrize("mode", ["copy", "encode"])
def test_cut_clip_shows_turned_video_upright(tmp_path: Path, mode: Literal["copy", "encode"], rotation: int) -> None:
    plain = write_video(tmp_path / "plain.mp4", noise_shot(1, 30), options=CLOSED)
    source = remux(plain, tmp_path / "turned.mp4", rotation=rotation)
    cut_clip(job_of(source, 0, 25, mode=mode), str(tmp_path / "clip.mp4"))
    size = Size(64, 96) if rotation % 180 else Size(96, 64)
    difference = decode_upright(tmp_path / "clip.mp4", size)[1].astype(float) - decode_upright(source, size)[1][:25]
    assert np.abs(difference).mean() < 3
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.rotation == 0) is (mode == "encode")


@pytest.mark.parametrize(("width", "height", "written"), [(95, 63, (96, 64)), (97, 64, (98, 64)), (1, 1, (2, 2))])
def test_cut_clip_encodes_odd_sizes(tmp_path: Path, width: int, height: int, written: tuple[int, int]) -> None:
    picture = np.full((height, width, 3), 200, np.uint8)
    source = write_video(tmp_path / "odd.mkv", [picture] * 3, codec="ffv1")
    cut_clip(job_of(source, 0, 3, mode="encode"), str(tmp_path / "clip.mp4"))
    with av.open(str(tmp_path / "clip.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == written
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - 200).max() < 6


def test_cut_clip_encodes_ten_bit_and_full_range_to_plain_video(shared_media: Path, tmp_path: Path) -> None:
    for name, start in (("nasa_jwst_13s_hevc10.mp4", 100), ("asl_walk.mkv", 20)):
        source = shared_media / name
        cut_clip(job_of(source, start, start + 10, mode="encode"), str(tmp_path / "clip.mp4"))
        assert_same_frames(source, tmp_path / "clip.mp4", start, start + 10, tolerance=3)
        with av.open(str(tmp_path / "clip.mp4")) as container:
            assert container.streams.video[0].pix_fmt == "yuv420p"


def beep_starts_s(path: Path) -> float:
    """When the sound is first loud, on the clock of the file."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float))
            samples /= 32768 if frame.format.name.startswith("s16") else 1
            loud = np.flatnonzero(samples.max(axis=0) > 0.1)
            if len(loud):
                return float((frame.pts or 0) * (frame.time_base or 1)) + loud[0] / frame.sample_rate
    return -1.0


@pytest.mark.parametrize(
    ("audio_codec", "written"), [("aac", "aac"), ("libmp3lame", "mp3"), ("libopus", "opus"), ("mp2", "aac")]
)
@pytest.mark.parametrize(("mode", "start"), [("copy", 25), ("encode", 25), ("encode", 31), ("smart", 31)])
def test_cut_clip_keeps_sound_in_step(
    tmp_path: Path, audio_codec: str, written: str, mode: Literal["copy", "smart", "encode"], start: int
) -> None:
    source = beeping_video(tmp_path / "a.mkv", audio_codec=audio_codec)
    clip = tmp_path / "clip.mp4"
    cut_clip(job_of(source, start, 75, mode=mode), str(clip))
    with av.open(str(clip)) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.codec.canonical_name == written
        length_s = float((audio.duration or 0) * cast(Fraction, audio.time_base))
    times, pictures = decode_upright(clip)
    bright_s = float(next(time for time, picture in zip(times, pictures, strict=True) if picture.mean() > 128))
    assert bright_s == pytest.approx(1.4 - start / 25, abs=0.002)
    assert beep_starts_s(clip) - bright_s == pytest.approx(beep_starts_s(source) - 1.4, abs=0.027)
    assert length_s == pytest.approx((75 - start) / 25, abs=0.06)


def test_cut_clip_without_sound_in_the_span_writes_none(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 50), options=CLOSED)
    for mode in ("copy", "encode"):
        cut_clip(job_of(source, 25, 50, mode=mode), str(tmp_path / "clip.mp4"))
        with av.open(str(tmp_path / "clip.mp4")) as container:
            assert [stream.type for stream in container.streams] == ["video"]


@pytest.mark.parametrize(
    ("name", "seed", "frames"),
    [("sintel_trailer_first5s.mp4", 202816, 30), ("webcam_sheet_wide.mov", 201276, 4)],
    ids=["packets-that-mp4-refuses", "container-that-breaks"],
)
def test_cut_clip_is_not_lost_by_damaged_sound(
    shared_media: Path, tmp_path: Path, name: str, seed: int, frames: int
) -> None:
    source = DamagedCopy(shared_media / name, "header", seed).make(tmp_path)
    cut = cut_clip(job_of(source, 0, frames, mode="encode"), str(tmp_path / "clip.mp4"))
    assert (cut.method, cut.num_frames) == ("encode", frames)
    assert len(decode_upright(tmp_path / "clip.mp4")[0]) == frames


def test_cut_clip_rejects_a_span_that_breaks(shared_media: Path, tmp_path: Path) -> None:
    source = str(shared_media / "bad_bitstream_error.mp4")
    span = Span(0, 50 * 1024, Fraction(1, 10240))
    with pytest.raises(CorruptStream, match="1 packets do not decode"):
        cut_clip(CutJob(source, span, 50, False, "auto", H264), str(tmp_path / "clip.mp4"))


FULL_DISK = """
import resource, sys
from tests.stages.media.test_cut import job_of
from pathlib import Path
from stages.media.cut import cut_clip
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
for mode in sys.argv[3:]:
    try:
        cut_clip(job_of(Path(sys.argv[1]), 25, 75, mode=mode), sys.argv[2])
    except Exception as error:
        print(type(error).__name__, getattr(error, "uri", None), error)
"""


def test_cut_clip_fails_in_passing_where_nothing_can_be_written(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 100), options=CLOSED)
    modes = ["copy", "encode", "auto"]
    command = [sys.executable, "-c", FULL_DISK, str(source), str(tmp_path / "clip.mp4"), *modes]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = f"StorageUnavailable {source} The clip must be read and written, got File too large"
    assert [line[: len(expected)] for line in output.splitlines()] == [expected] * len(modes)


def test_cut_clip_fails_in_passing_without_the_target_folder(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 50), options=CLOSED)
    for mode in ("copy", "encode"):
        with pytest.raises(StorageUnavailable, match="No such file"):
            cut_clip(job_of(source, 25, 50, mode=mode), str(tmp_path / "none" / "clip.mp4"))


def test_read_cut_rejects_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0" * 500)
    with pytest.raises(SourceError, match="whole video file"):
        read_clip_file(str(tmp_path / "clip.mp4"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_check_encoder_rejects_one_that_does_not_work_here(name: str) -> None:
    with pytest.raises(ParamsError, match=rf"write\.encoder {name} requires {name}, .*Set write\.encoder to h264"):
        check_encoder(Encoding(name, 20))


@pytest.mark.parametrize(("name", "most"), [("h264_nvenc", 51), ("hevc_nvenc", 51), ("av1_nvenc", 63)])
def test_options_of_nvenc_are_known_to_ffmpeg(name: str, most: int) -> None:
    """There is no NVENC here; what its encoders take, FFmpeg tells without one."""
    encoding = Encoding(name, most)
    known = {option.name: option for option in Codec(name, "w").create().supported_options.private}
    options = {**encoding.options, **encoding.options_without_b_frames}
    assert options.keys() - known.keys() <= {"bf"}  # of all encoders
    assert options["rc"] in {choice.name for choice in known["rc"].choices}
    assert int(options["qp"]) <= known["qp"].max
    assert encoding.codec == name.partition("_")[0]


@pytest.mark.parametrize("start", [0, 30])
def test_cut_clip_keeps_a_palette_that_comes_once(tmp_path: Path, start: int) -> None:
    """AVI hands the palette of 8-bit pictures to the decoder with the first packet only."""
    source = tmp_path / "a.avi"
    palette = np.zeros((256, 4), np.uint8)
    palette[1], palette[2] = (255, 255, 0, 0), (255, 0, 255, 0)
    indices = np.ones((46, 80), np.uint8)
    indices[:, 40:] = 2
    with av.open(str(source), "w") as container:
        track = container.add_stream("rawvideo", rate=25)
        track.width, track.height, track.pix_fmt = 80, 46, "pal8"
        for index in range(60):
            frame = av.VideoFrame.from_ndarray((indices, palette), format="pal8")  # type: ignore[arg-type]
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(track.encode(frame))
    cut_clip(job_of(source, start, start + 30, mode="auto"), str(tmp_path / "clip.mp4"))
    _, pictures = decode_upright(tmp_path / "clip.mp4")
    assert len(pictures) == 30
    assert np.abs(pictures[:, 23, 20].astype(int) - (255, 0, 0)).max() < 20
    assert np.abs(pictures[:, 23, 60].astype(int) - (0, 255, 0)).max() < 20


@pytest.mark.parametrize("encoder", ["h264", "vp9"])
def test_cut_clip_ends_with_the_last_frame_of_a_varying_rate(tmp_path: Path, encoder: Any) -> None:
    delays_ms = [100, 100, 500, 500, 1000, 1000, 500, 2000]
    shown = [Image.fromarray(picture) for picture in noise_shot(1, len(delays_ms))]
    source, clip = tmp_path / "a.gif", tmp_path / "clip.mp4"
    shown[0].save(source, save_all=True, append_images=shown[1:], duration=delays_ms, loop=0)
    for start, length_s in ((0, 5.7), (4, 4.5)):
        cut_clip(job_of(source, start, 8, mode="auto", encoding=Encoding(encoder, 30)), str(clip))
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(length_s, abs=0.001)
            assert (container.duration or 0) / av.time_base == pytest.approx(length_s, abs=0.001)


def test_cut_clip_copies_no_frames_of_another_size_than_the_header_tells(tmp_path: Path) -> None:
    pieces = [
        toned_video(tmp_path / f"{piece}.ts", 50, first=50 * piece, size=size, audio_codec=None, starts_s=2 * piece)
        for piece, size in enumerate(((96, 64), (64, 96)))
    ]
    source = joined(tmp_path / "joined.ts", pieces)
    methods = [cut_clip(job_of(source, at, at + 50, mode="auto"), str(tmp_path / f"{at}.mp4")) for at in (0, 50)]
    assert [file.method for file in methods] == ["copy", "encode"]
    with av.open(str(tmp_path / "50.mp4")) as container:
        assert {(frame.width, frame.height) for frame in container.decode(video=0)} == {(64, 96)}


def test_cut_clip_copies_varying_times_to_the_end_of_the_span(tmp_path: Path) -> None:
    """With B-frames the packet of the last frame is not the last in the file."""
    steps_ms = [40, 40, 120, 40, 200, 40, 40, 500, 40, 60, 80, 400] * 3
    times = [sum(steps_ms[:index]) // 20 for index in range(len(steps_ms))]
    options = {"g": "12", "keyint_min": "12", "bf": "2", "x264-params": "scenecut=0:b-adapt=0"}
    source = write_video(tmp_path / "a.mp4", noise_shot(1, len(times)), rate=50, pts=times, options=options)
    cut = cut_clip(job_of(source, 12, 24, mode="copy"), str(tmp_path / "clip.mp4"))
    assert cut.method == "copy"
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(sum(steps_ms[:12]) / 1000, abs=0.001)


@pytest.mark.parametrize("start", [50, 75])
def test_cut_clip_decodes_by_a_header_that_came_in_the_middle(tmp_path: Path, start: int) -> None:
    """FLV tells a changed header once, where it changes; a seek to behind that place misses it."""
    pieces = [
        remuxed(
            toned_video(tmp_path / f"{piece}.mp4", 50, first=50 * piece, size=size, starts_s=2 * piece),
            tmp_path / f"{piece}.flv",
        )
        for piece, size in enumerate(((96, 64), (64, 96)))
    ]
    source, clip = tmp_path / "joined.flv", tmp_path / "clip.mp4"
    source.write_bytes(pieces[0].read_bytes() + pieces[1].read_bytes()[13:])  # 13: a file's header
    with open_video(str(source)) as container:
        assert list(decode_frames(container))[-1].num_restarts == 1
    assert cut_clip(job_of(source, start, start + 25, mode="auto", may_seek=False), str(clip)).method == "encode"
    assert numbers_and_times(clip)[0] == list(range(start, start + 25))
    with av.open(str(clip)) as container:
        assert {(frame.width, frame.height) for frame in container.decode(video=0)} == {(64, 96)}


def coded(path: Path, codec: str, pixel_format: str = "yuv420p", *, audio: str | None = None) -> Path:
    """Two seconds of a moving picture, with a tone where a codec for it is named."""
    with av.open(str(path), "w") as output:
        stream = cast(Any, output.add_stream(codec, rate=25, options={"g": "25", "bf": "0"}))
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixel_format
        sound = cast(Any, output.add_stream(audio, rate=48000, layout="mono")) if audio else None
        for picture in noise_shot(1, 50, width=64, height=64, speed=1):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
        if sound is not None:
            tone = np.sin(np.arange(96_000) * 2 * np.pi * 440 / 48_000).astype(np.float32)[None] / 2
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate = 48_000
            resampler = av.AudioResampler(sound.format, sound.layout, 48_000, sound.codec_context.frame_size)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(sound.encode(part))
            output.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("codec", "pixel_format", "audio", "expected"),
    [
        ("libx264", "yuv420p", "aac", ("copy", "h264", "yuv420p", "aac")),
        ("libx264", "yuv444p", "aac", ("encode", "h264", "yuv420p", "aac")),
        ("mpeg4", "yuv420p", "libmp3lame", ("encode", "h264", "yuv420p", "aac")),
        ("libx264", "yuv420p", "libmp3lame", ("copy", "h264", "yuv420p", "aac")),
        ("libx265", "yuv420p10le", None, ("encode", "h264", "yuv420p", None)),
    ],
)
def test_set_of_one_kind_has_one_codec_format_and_sound(
    tmp_path: Path, codec: str, pixel_format: str, audio: str | None, expected: tuple[str, ...]
) -> None:
    source, target = coded(tmp_path / "a.mkv", codec, pixel_format, audio=audio), tmp_path / "b.mp4"
    job = replace(job_of(source, 0, 50, mode="auto"), copied_codecs=frozenset({"h264"}), copies_aac_only=True)
    cut = cut_clip(job, str(target))
    facts = read_clip_facts(str(target))
    assert (cut.method, facts["codec"], facts["pixel_format"], facts["audio_codec"]) == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_copied_hevc_has_the_tag_that_safari_plays(tmp_path: Path, name: str) -> None:
    source = coded(tmp_path / name, "libx265")
    assert cut_clip(job_of(source, 0, 50, mode="copy"), str(tmp_path / "b.mp4")).method == "copy"
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
        assert sum(1 for _ in container.decode(video=0)) == 50


def test_preset_reaches_each_encoder(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", noise_shot(1, 12), options=CLOSED)
    searched = []
    for preset in PRESETS:
        for name in ("h264", "hevc", "vp9", "av1"):
            check_encoder(Encoding(name, 20, preset=preset))
        cut_clip(
            job_of(source, 0, 12, mode="encode", encoding=Encoding("h264", 20, preset=preset)), str(tmp_path / "b.mp4")
        )
        # x264 writes its settings into the stream.
        searched.append(int((tmp_path / "b.mp4").read_bytes().split(b"subme=")[1].split(b" ")[0]))
    assert searched == [0, 1, 2, 4, 6, 7, 8, 9, 10]  # as x264 --fullhelp tells
