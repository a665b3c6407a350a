"""Interlace and the peak of HDR, as columns of clips."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from stages.media import DecodeLog, Fields, FieldsMeter, decode_frames, open_video, video_stream
from stages.signals import DamageRecorder, FrameScaler, Samples, create_recorders, reduce_samples
from stages.signals.fields import FieldsRecorder
from stages.signals.peak_light import PeakLightRecorder
from tests.stages.media.test_colour import PQ, hdr_bars
from tests.stages.media.test_interlace import interlaced, woven
from tests.stages.signals.test_vectors import record
from tests.videos import Picture, noise_shot, write_video

U, P, T, B = Fields.UNKNOWN, Fields.PROGRESSIVE, Fields.TOP_FIRST, Fields.BOTTOM_FIRST
TIME_BASE = Fraction(1, 12800)


@pytest.mark.parametrize(
    ("fields", "flags", "share", "order"),
    [
        ([P, P, U, U], [1, 1, 1, 1], 0.0, None),
        ([T, T, B, P], [0, 0, 0, 0], 0.75, "top"),
        ([B, U, U, U], [0, 0, 0, 0], 0.0, "bottom"),
        ([B, B, U, U], [0, 0, 0, 0], 1.0, "bottom"),
        ([T, P, *[U] * 10], [0] * 12, 0.0, "top"),
        ([P, U, U, U, U, U], [1, 1, 1, 1, 1, 1], 1.0, None),
        ([T, T, *[U] * 10], [0] * 12, 1.0, "top"),
        ([U, U, U, U], [1, 1, 1, 0], 0.75, None),
        ([U, U, U, U], [0, 0, 0, 0], 0.0, None),
        ([], [], None, None),
    ],
)
def test_measured_fields_count_more_than_flags(
    fields: list[Fields], flags: list[int], share: float | None, order: str | None
) -> None:
    values = {"fields": np.array(fields, np.int8), "is_flagged_interlaced": np.array(flags, np.bool_)}
    samples = Samples(np.arange(len(fields)) * 5, values)
    assert FieldsRecorder.reduce(samples, 0, 100) == {"interlaced_share": share, "field_order": order}


@pytest.mark.parametrize("is_flagged", [True, False])
def test_fields_recorder_tells_interlaced_from_progressive(tmp_path: Path, is_flagged: bool) -> None:
    progressive = noise_shot(5, 50, width=160, height=96, speed=3)
    shots = {"a.mp4": progressive, "b.mp4": 3 * woven(0)}
    for name, share in (("a.mp4", 0.0), ("b.mp4", 1.0)):
        samples = record(
            FieldsRecorder(TIME_BASE, FieldsMeter()), interlaced(tmp_path / name, shots[name], is_flagged=is_flagged)
        )
        assert set(samples["is_flagged_interlaced"].tolist()) == {is_flagged}
        assert FieldsRecorder.reduce(samples, 0, 100)["interlaced_share"] == share


@pytest.mark.parametrize(
    ("start", "end", "share"),
    [(11, 14, 1.0), (21, 29, 1.0), (36, 39, 0.5), (54, 58, 0.0), (0, 15, 1.0)],
    ids=["between", "one-untold", "at-the-change", "behind-it", "one"],
)
def test_clip_with_few_samples_is_as_the_nearest_frames_say(start: int, end: int, share: float) -> None:
    values = {"fields": np.array([T, T, U, T, P, P, P], np.int8), "is_flagged_interlaced": np.zeros(7, np.bool_)}
    samples = Samples(np.arange(10, 80, 10), values)
    assert FieldsRecorder.reduce(samples, start, end)["interlaced_share"] == share


def test_fields_recorder_measures_two_frames_a_second(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 130, speed=2))
    sampled = record(FieldsRecorder(TIME_BASE, FieldsMeter()), path).frame
    assert len(sampled) == 10
    assert np.diff(sampled).min() >= 5
    assert np.diff(sampled).max() <= 25


@pytest.mark.parametrize("phase", range(5))
def test_film_brought_to_30_frames_a_second_is_interlaced(tmp_path: Path, phase: int) -> None:
    """Telecine weaves fields of pictures A B C D as AA BB BC CD DD, wherever the five frames begin."""
    film = noise_shot(5, 130, width=160, height=96, speed=3)
    pictures: list[Picture] = []
    for number in range(phase, 150 + phase):
        place, cycle = number % 5, number // 5 * 4
        top, bottom = film[cycle + (0, 1, 1, 2, 3)[place]], film[cycle + (0, 1, 2, 3, 3)[place]]
        frame = top.copy()
        frame[1::2] = bottom[1::2]
        pictures.append(frame)
    path = write_video(tmp_path / "a.mp4", pictures, rate=30, options={"qp": "12", "preset": "ultrafast"})
    samples = record(FieldsRecorder(Fraction(1, 15360), FieldsMeter()), path)
    for start in (0, 75):
        assert FieldsRecorder.reduce(samples, start, start + 75)["interlaced_share"] >= 0.25


def test_peak_light_is_measured_of_hdr_only(tmp_path: Path) -> None:
    nits = np.repeat(np.array([5, 50, 100, 203, 300, 600, 600.0])[:, None], 3, axis=1)
    samples = record(PeakLightRecorder(Fraction(1, 1000)), hdr_bars(tmp_path / "a.mkv", PQ, nits))
    assert PeakLightRecorder.reduce(samples, 0, 3)["hdr_peak_nits"] == pytest.approx(600, rel=0.02)
    assert PeakLightRecorder.reduce(samples, 1, 3) == {"hdr_peak_nits": None}
    sdr = record(PeakLightRecorder(TIME_BASE), write_video(tmp_path / "b.mp4", noise_shot(1, 30)))
    assert PeakLightRecorder.reduce(sdr, 0, 30) == {"hdr_peak_nits": None}


@pytest.mark.parametrize("matrix", [8, 10, 14], ids=["YCgCo", "BT.2020 CL", "ICtCp"])
@pytest.mark.parametrize(("codec", "pixel_format"), [("libx265", "yuv420p"), ("rawvideo", "uyvy422")])
def test_video_in_a_matrix_that_swscale_lacks_is_measured(
    tmp_path: Path, matrix: int, codec: str, pixel_format: str
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x265-params": "pools=none:log-level=none"} if codec == "libx265" else {}
        stream = cast(VideoStream, container.add_stream(codec, rate=25, options=options))
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        stream.codec_context.colorspace = matrix
        for picture in noise_shot(1, 20):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(str(path)) as container:
        log, stream = DecodeLog(), video_stream(container)
        frames = list(decode_frames(container, log=log))
        assert {decoded.frame.colorspace for decoded in frames} == {matrix}
        recorders = create_recorders(
            ["flow"],
            time_base=stream.time_base or Fraction(1),
            rate=Fraction(25),
            meter=FieldsMeter(),
            damage=DamageRecorder(log, stream, sound=None),
        )
        scaler = FrameScaler()
        for decoded in frames:
            for recorder in recorders:
                recorder.push(scaler(decoded))
    samples = {recorder.name: recorder.samples() for recorder in recorders}
    row = reduce_samples(samples, 0, 20)
    assert (row["damaged_share"], row["interlaced_share"]) == (0, 0)
    assert row["sharpness"] > 0
