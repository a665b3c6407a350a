"""Hashes of pictures: what changes them, and what does not."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.media import DecodedFrame, decode_frames, open_video, video_stream
from stages.signals import FrameScaler, Samples, hashes
from stages.signals.bars import lines_of
from stages.signals.hashes import HashRecorder
from stages.signals.pdq import pdq_hash
from stages.signals.still_recorder import StillRecorder
from stages.signals.stills import STILL_PX

RATE = 25


def recorded(pictures: list[NDArray[np.uint8]], times: list[int] | None = None) -> Samples:
    recorder, scaler = HashRecorder(Fraction(1, RATE)), FrameScaler()
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        recorder.push(scaler(DecodedFrame(frame, index, times[index] if times else index, True)))
    return recorder.samples()


def scene(number: int, width: int = 640, height: int = 360) -> NDArray[np.uint8]:
    rough = np.random.default_rng(number).integers(30, 226, (18, 32)).astype(np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def bits_apart(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.unpackbits(left ^ right, axis=-1).sum(axis=-1)


def test_eight_pictures_a_second_are_hashed_whatever_the_rate() -> None:
    picture = scene(1)
    assert len(recorded([picture] * 100)) == 32
    assert recorded([picture] * 5, [0, 100, 101, 102, 225]).frame.tolist() == [0, 1, 4]


def test_hash_is_pdq_of_the_picture() -> None:
    pictures = [scene(number) for number in range(6)]
    samples = recorded(pictures, [number * 10 for number in range(6)])
    expected = [pdq_hash(picture)[0] for picture in pictures]
    assert bits_apart(samples["pdq"], np.stack(expected)).max() <= 12  # it is scaled in another way
    assert samples["pdq_quality"].min() > 50


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("sides", [(60, 60, 0, 0), (0, 0, 90, 90), (40, 40, 60, 60), (0, 70, 0, 0)])
def test_bars_do_not_count(level: int, sides: tuple[int, int, int, int]) -> None:
    pictures = [scene(number) for number in range(3)]
    border = (*sides, cv2.BORDER_CONSTANT)
    framed = [np.asarray(cv2.copyMakeBorder(each, *border, value=(level,)), np.uint8) for each in pictures]
    plain, inside = (recorded([np.ascontiguousarray(each) for each in group]) for group in (pictures, framed))
    assert bits_apart(plain["pdq"], inside["pdq"]).max() <= 32
    share = 640 * 360 / framed[0].size
    assert HashRecorder.reduce(inside, 0, 3)["picture_share"] == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("paper", [20, 240])
def test_margins_of_a_slide_are_no_bars(paper: int) -> None:
    page = np.full((360, 640), paper, np.uint8)
    page[60:64, 40:600] = 128  # a line below the margin, as long as a bar's edge
    for line in range(4):
        cv2.putText(page, "some words here", (60, 130 + 60 * line), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (128,), 3)
    assert HashRecorder.reduce(recorded([page] * 3), 0, 3)["picture_share"] == 1.0
    framed = np.pad(page, ((90, 90), (0, 0)), constant_values=128)
    share = HashRecorder.reduce(recorded([framed] * 3), 0, 3)["picture_share"]
    assert share == pytest.approx(2 / 3, abs=0.03)


def test_noise_is_what_changes_where_the_picture_stands_still() -> None:
    def noise_of(pictures: list[NDArray[np.uint8]]) -> float:
        return HashRecorder.reduce(recorded(pictures, [4 * number for number in range(len(pictures))]), 0, 8)["noise"]

    still, random = scene(1), np.random.default_rng(1)
    moving = [np.hstack([still[:, :400], scene(number)[:, :240]]) for number in range(8)]
    grain = [np.clip(still + random.normal(0, 20, still.shape), 0, 255).astype(np.uint8) for _ in range(8)]
    assert noise_of([still] * 8) == noise_of([np.ascontiguousarray(each) for each in moving]) == 0
    assert noise_of(grain) > 0.3


def test_noise_is_the_mean_of_the_stillest_pixels() -> None:
    """Of all pixels, put in order."""
    random = np.random.default_rng(5)
    rough = cv2.resize(random.integers(40, 216, (9, 16)).astype(np.uint8), (128, 72), interpolation=cv2.INTER_CUBIC)
    pictures = [np.clip(rough + random.normal(0, 3, rough.shape), 0, 255).astype(np.uint8) for _ in range(40)]
    found = recorded(pictures, [4 * number for number in range(40)])["noise"]
    values = np.stack(pictures).astype(np.float64)
    even = np.rint((values[:-2] + values[2:]) / 2)  # halves to the even level
    change = np.sort(np.abs(even - values[1:-1]).reshape(38, -1))
    count = int(0.3 * rough.size) + 1
    assert np.isnan(found[:2]).all()
    assert found[2:].tolist() == change[:, :count].mean(axis=1).astype(np.float32).tolist()


def test_pictures_are_measured_alike_one_by_one_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among them flat ones, bars that come and go, and another size."""
    border = (40, 40, 0, 0, cv2.BORDER_CONSTANT)
    pictures = [scene(number) for number in range(30)]
    pictures += [np.asarray(cv2.copyMakeBorder(scene(number), *border, value=(16,)), np.uint8) for number in range(45)]
    pictures += [np.full((440, 640), 90, np.uint8)] * 3 + [scene(number, 320, 440) for number in range(21)]
    times = [4 * number for number in range(len(pictures))]
    together = recorded(pictures, times)
    monkeypatch.setattr(hashes, "BATCH_PICTURES", 1)
    alone = recorded(pictures, times)
    assert len(np.unique(together["picture_share"])) > 1
    assert together.frame.tolist() == alone.frame.tolist()
    for name, values in together.values.items():
        np.testing.assert_array_equal(values, alone[name])


def test_lines_of_pictures_are_those_of_each() -> None:
    """Line by line."""
    pictures = [scene(number, 61, 37) // (1 + number % 2) for number in range(5)]
    for picture, lines in zip(pictures, lines_of(pictures), strict=True):
        for axis, each in enumerate((picture, picture.T)):  # lines of `each` are rows
            assert lines.low[axis].tolist() == [min(line) for line in each.tolist()]
            assert lines.high[axis].tolist() == [max(line) for line in each.tolist()]
            steps = [
                (np.abs(one - next_one) > 8).sum()
                for one, next_one in zip(each[:-2].astype(int), each[2:].astype(int), strict=True)
            ]
            assert lines.step[axis].tolist() == [
                int(100 * (np.float32(count) / np.float32(each.shape[1]))) for count in steps
            ]


def test_a_second_of_what_stands_still_has_one_larger_picture() -> None:
    def stills(pictures: list[NDArray[np.uint8]]) -> Samples:
        recorder, scaler = HashRecorder(Fraction(1, RATE)), FrameScaler()
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            recorder.push(scaler(DecodedFrame(frame, index, index, True)))
        return StillRecorder(recorder).samples()

    still = stills([scene(1)] * 100)
    assert len(still) == 4
    assert np.diff(still.frame).tolist() == [25, 25, 25]
    expected = cv2.resize(scene(1), (STILL_PX, STILL_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    assert np.abs(still["still"][0].reshape(STILL_PX, STILL_PX) - expected).mean() < 4
    assert len(stills([scene(number // 3) for number in range(100)])) == 0
    assert stills([])["still"].shape == (0, STILL_PX * STILL_PX)


def test_dark_parts_that_change_are_no_bars() -> None:
    picture = np.vstack([np.full((120, 640), 3, np.uint8), scene(2, height=240)])
    other = picture.copy()
    other[:120, 200:300] = 90
    samples = recorded([picture, other], [0, 10])
    assert bits_apart(samples["pdq"][0], pdq_hash(picture)[0]) <= 12


def test_hdr_is_hashed_as_the_sdr_that_it_shows(shared_media: Path) -> None:
    hashes = []
    for name in ("gutter_water_av1.webm", "gutter_water_av1_hdr10.webm"):
        with open_video(str(shared_media / name)) as container:
            recorder, scaler = HashRecorder(video_stream(container).time_base or Fraction(1)), FrameScaler()
            for decoded in decode_frames(container):
                if decoded.index == 30:
                    break
                recorder.push(scaler(decoded))
        hashes.append(recorder.samples()["pdq"])
    assert bits_apart(*hashes).mean() < 24


def test_a_video_without_frames_has_no_hashes() -> None:
    samples = HashRecorder(Fraction(1, 25)).samples()
    assert samples["pdq"].shape == (0, 32)
    assert HashRecorder.reduce(samples, 0, 10) == {"picture_share": None, "noise": None}
