"""Motion is motion: the same at every rate and size, none where only noise is, the camera apart from subjects."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.moving_stills import Encoding, Scene, Subject, encode
from stages.media import DecodedFrame, decode_frames, open_video, video_stream
from stages.params import FilterParams
from stages.signals import FrameScaler, Samples
from stages.signals.camera_motion import camera_velocities, classify_camera, motion_class
from stages.signals.flow import MAX_GAP_S, FlowRecorder
from stages.signals.pair_motion import PairMeter
from stages.signals.sample_times import SampleTimes
from stages.tasks import Row, Size
from tests.videos import noise_shot, write_video

SMALL = Size(192, 108)


def texture(seed: int, height: int = 400, width: int = 640) -> NDArray[np.uint8]:
    """A picture with detail of all sizes, as photographs have it."""
    random = np.random.default_rng(seed)
    layers = [
        cv2.GaussianBlur(random.normal(0, 1, (height, width)), (0, 0), sigma) * sigma**1.5 for sigma in (1, 2, 4, 8, 16)
    ]
    total = np.sum(layers, axis=0)
    return np.clip(128 + 40 * (total - total.mean()) / total.std(), 0, 255).astype(np.uint8)


def record(path: Path) -> tuple[Samples, int]:
    """What is measured of a video, and its frames."""
    with open_video(str(path)) as container:
        stream = video_stream(container)
        recorder, scaler, count = FlowRecorder(stream.time_base or Fraction(1)), FrameScaler(), 0
        for decoded in decode_frames(container):
            recorder.push(scaler(decoded))
            count += 1
    return recorder.samples(), count


def columns(path: Path) -> Row:
    samples, count = record(path)
    return FlowRecorder.reduce(samples, 0, count)


@pytest.mark.parametrize("width", [96, 320])
def test_flow_is_speed_in_diagonals_a_second(tmp_path: Path, width: int) -> None:
    height, step = width * 5 // 8, width // 48
    pictures = [np.roll(texture(1, height, width), index * step, axis=1) for index in range(12)]
    path = write_video(tmp_path / "a.mp4", [np.stack([each] * 3, axis=2) for each in pictures])
    found = columns(path)
    expected = 25 * step / np.hypot(width, height)
    assert (found["flow_mean"], found["camera_speed"]) == pytest.approx((expected, expected), rel=0.1)
    assert (found["camera_motion"], found["camera_direction"]) == ("pan", "left")


@pytest.mark.parametrize("size", [(128, 16), (16, 16), (16, 128)])
def test_flow_survives_flat_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = write_video(tmp_path / "a.mp4", noise_shot(1, 3, width=width, height=height))
    assert columns(path)["flow_mean"] is not None


def test_flow_counts_only_pairs_inside_the_clip(tmp_path: Path) -> None:
    still, moving = noise_shot(1, 1) * 25, noise_shot(2, 25, speed=2)
    samples, _ = record(write_video(tmp_path / "a.mp4", still + moving))
    before, after = (FlowRecorder.reduce(samples, first, last) for first, last in ((0, 25), (25, 50)))
    assert before["flow_mean"] < 0.002 < 0.3 < after["flow_mean"]
    assert FlowRecorder.reduce(samples, 0, 2) == dict.fromkeys(FlowRecorder.clip_columns)


def test_flow_leaves_out_pairs_across_a_cut(tmp_path: Path) -> None:
    samples, count = record(write_video(tmp_path / "a.mp4", noise_shot(1, 1) * 20 + noise_shot(3, 1) * 20))
    cut_pairs = (samples.frame < 20) & (samples.frame + samples["flow_gap"] >= 20)
    assert not cut_pairs.any()
    assert FlowRecorder.reduce(samples, 0, count)["flow_mean"] < 0.002


def moving_scene() -> Scene:
    subject = Subject(texture(7), 0.4, (0.5, 0.5), 0.0, 0.15, 0.4, 0.3)
    return Scene(texture(3), lambda now: (0.03 * now, 0.0, 1.0, 0.0), [subject])


@pytest.mark.parametrize(
    "other",
    [
        Encoding(SMALL, 12),
        Encoding(SMALL, 60),
        Encoding(SMALL, 60, drawn_rate=24),
        Encoding(SMALL, 25, crf=34),
        Encoding(Size(480, 270), 25),
    ],
)
def test_flow_is_the_same_at_every_rate_size_and_quality(tmp_path: Path, other: Encoding) -> None:
    first = columns(encode(tmp_path / "a.mp4", moving_scene(), 2.5, Encoding(SMALL, 24)))
    second = columns(encode(tmp_path / "b.mp4", moving_scene(), 2.5, other))
    assert second["flow_mean"] == pytest.approx(first["flow_mean"], rel=0.15)
    assert (second["camera_motion"], second["camera_direction"]) == ("pan", "right")
    assert second["motion_class"] == first["motion_class"]


@pytest.mark.parametrize("rate", [10, 50])
def test_noise_over_a_still_is_less_than_a_third_of_slow_motion(tmp_path: Path, rate: int) -> None:
    still, slow = (Scene(texture(3), lambda now, v=speed: (v * now, 0.0, 1.0, 0.0)) for speed in (0.0, 0.004))
    noise = columns(encode(tmp_path / "a.mp4", still, 2, Encoding(SMALL, rate, crf=18, noise=6)))
    motion = columns(encode(tmp_path / "b.mp4", slow, 2, Encoding(SMALL, rate, crf=18, noise=6)))
    assert noise["flow_mean"] < motion["flow_mean"] / 3
    assert (noise["camera_motion"], noise["motion_class"]) == ("static", "still")


def test_subject_motion_is_what_the_camera_leaves(tmp_path: Path) -> None:
    alone = Scene(texture(3), lambda now: (0.1 * now, 0.0, 1.0, 0.0))
    subject = Subject(texture(7), 0.5, (0.5, 0.5), 1.5, 0.3, 0.5, 0.0)
    without, beside, still = (
        columns(encode(tmp_path / "a.mp4", scene, 2, Encoding(SMALL, 25)))
        for scene in (
            alone,
            Scene(texture(3), alone.path, [subject]),
            Scene(texture(3), lambda _: (0, 0, 1, 0), [subject]),
        )
    )
    assert without["subject_motion"] < 0.01 < 0.02 < beside["subject_motion"]
    assert beside["camera_speed"] == pytest.approx(without["camera_speed"], rel=0.05)
    assert (beside["camera_motion"], still["camera_motion"]) == ("pan", "static")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ((0.02, 0, 1, 0), ("right", 0.02)),
        ((0, -0.02, 1, 0), ("down", -0.02)),
        ((0, 0, 1.04, 0), ("growth", 0.01)),
        ((0, 0, 1, 0.04), ("turn", -0.01)),
    ],
)
@pytest.mark.parametrize("size", [SMALL, Size(108, 192)])
def test_pair_meter_tells_how_the_content_moves(
    view: tuple[float, float, float, float], expected: tuple[str, float], size: Size
) -> None:
    first, second = (Scene(texture(3), lambda _, v=v: v).picture(0, size) for v in ((0, 0, 1, 0), view))
    motion = PairMeter().measure(first, second)
    assert motion is not None
    name, value = expected
    against = -value if name in ("right", "down") else value
    found = motion._asdict()
    assert found.pop(name) == pytest.approx(against, rel=0.05)
    assert max(abs(found[other]) for other in ("right", "down", "growth", "turn") if other != name) < 0.001
    assert motion.subject < 0.002


def test_pair_meter_knows_widened_pixels() -> None:
    """Half of the columns left out: the same camera, in the same diagonals."""
    first, second = (
        Scene(texture(3), lambda _, v=v: v).picture(0, Size(288, 108)) for v in ((0, 0, 1, 0), (0.02, 0, 1.04, 0))
    )
    whole, half = (PairMeter().measure(first[:, ::step], second[:, ::step], step) for step in (1, 2))
    assert whole is not None
    assert half is not None
    assert half[:4] == pytest.approx(whole[:4], abs=0.0007)


def test_pair_meter_ignores_a_fade() -> None:
    picture = texture(3, 90, 160)
    motion = PairMeter().measure(picture, np.clip(picture * 0.9 + 12, 0, 255).astype(np.uint8))
    assert motion is not None
    assert motion.flow < 0.0005


def velocities(*, seed: int = 1, pairs: int = 12, **mean: float) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0, 0.001, (pairs, 4))
    return noise + [mean.get(kind, 0.0) for kind in ("pan", "tilt", "zoom", "roll")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (velocities(), ("static", None)),
        (velocities(pan=-0.1), ("pan", "left")),
        (velocities(pan=0.01), ("pan", "right")),
        (velocities(tilt=-0.1), ("tilt", "up")),
        (velocities(tilt=0.1), ("tilt", "down")),
        (velocities(zoom=0.05), ("zoom", "in")),
        (velocities(zoom=-0.05), ("zoom", "out")),
        (velocities(roll=0.05), ("roll", "cw")),
        (velocities(roll=-0.05), ("roll", "ccw")),
        (velocities(pan=0.1, zoom=-0.07), ("mixed", "right+out")),
        (velocities(pan=0.1, tilt=0.02), ("pan", "right")),
        (velocities() * 40, ("shake", None)),
        (velocities(pan=0.1, pairs=1), ("pan", "right")),
        (np.concatenate([velocities(pan=0.1), velocities(pan=-0.1)]), ("pan", None)),
        (np.concatenate([velocities(pan=0.1), velocities(zoom=0.1)]), ("mixed", None)),
        (np.concatenate([velocities(pairs=20), velocities(pan=0.1, pairs=3)]), ("static", None)),
    ],
)
def test_classify_camera(given: NDArray[np.float64], expected: tuple[str, str | None]) -> None:
    camera = classify_camera(given)
    if expected == ("mixed", None):
        assert camera.motion == "mixed"
        assert set((camera.direction or "").split("+")) == {"right", "in"}
    else:
        assert (camera.motion, camera.direction) == expected
    assert camera.speed == pytest.approx(float(np.linalg.norm(given, axis=1).mean()))


def test_camera_moves_against_its_picture() -> None:
    [velocity] = camera_velocities(*(np.array([value]) for value in (0.1, 0.2, 0.3, 0.4)))
    assert velocity.tolist() == [-0.1, -0.2, 0.3, 0.4]


@pytest.mark.parametrize(("flow", "word"), [(0.0, "still"), (0.01, "low"), (0.1, "medium"), (0.5, "high")])
def test_motion_class_names_the_flow(flow: float, word: str) -> None:
    assert motion_class(flow) == word


@pytest.mark.parametrize("rate", [2, 12, 24, 60, 120])
def test_sample_times_are_those_of_every_frame_rate(rate: int) -> None:
    times = SampleTimes(3, Fraction(1, rate))
    due = [index / rate for index in range(20 * rate) if times.is_due(1000 + index)]
    assert len(due) == pytest.approx(20 * min(3, rate), abs=1)
    ideal = [(number + number * 0.6180339887498949 % 1) / 3 for number in range(len(due))]
    if rate >= 12:
        assert all(0 <= time - wanted < 1 / rate + 1e-6 for time, wanted in zip(due, ideal, strict=True))
    assert all(later > earlier for earlier, later in pairwise(due))


@pytest.mark.parametrize(
    ("rate", "gap_ms"), [(2, 500), (12, 83), (15, 67), (24, 83), (25, 80), (30, 100), (60, 83), (120, 83)]
)
def test_pairs_are_a_fixed_time_apart(rate: int, gap_ms: int) -> None:
    recorder, scaler = FlowRecorder(Fraction(1, rate)), FrameScaler()
    frame = av.VideoFrame.from_ndarray(texture(1, 48, 64), format="gray")
    for index in range(2 * rate):
        recorder.push(scaler(DecodedFrame(frame, index, index, True)))
    gaps = set((recorder.samples()["flow_gap"] * 1000 / rate).round().astype(int).tolist())
    assert gaps == {gap_ms}
    assert rate < 8 or gap_ms <= MAX_GAP_S * 1000


def wall(shift: int = 0) -> NDArray[np.uint8]:
    """A wall without texture over a bright table, and something small and dark before it; moved to the right."""
    picture = np.linspace(120, 150, 320 * 180).reshape(180, 320).astype(np.float32)
    picture[135:] = 210
    picture[40:150, 140 + shift : 170 + shift] = 90
    picture[40:50, 148 + shift : 162 + shift] = 20
    return cv2.resize(picture, (160, 90), interpolation=cv2.INTER_AREA).astype(np.uint8)


def with_noise(picture: NDArray[np.uint8], sigma: float, random: np.random.Generator) -> NDArray[np.uint8]:
    return np.clip(np.rint(picture + random.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [2, 5, 8])
def test_noise_over_a_picture_without_texture_is_no_motion(sigma: float) -> None:
    random, meter = np.random.default_rng(int(sigma)), PairMeter()
    pairs = [meter.measure(with_noise(wall(), sigma, random), with_noise(wall(), sigma, random)) for _ in range(8)]
    flows = [pair.flow / 0.09 for pair in pairs if pair is not None]
    assert len(flows) == 8
    assert np.mean(flows) < FilterParams().motion_min


def test_a_subject_before_a_wall_moves_in_spite_of_noise() -> None:
    random, meter = np.random.default_rng(1), PairMeter()
    pairs = [meter.measure(with_noise(wall(), 4, random), with_noise(wall(6), 4, random)) for _ in range(8)]
    flows = [pair.flow / 0.09 for pair in pairs if pair is not None]
    assert np.mean(flows) > 4 * FilterParams().motion_min
