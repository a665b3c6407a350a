"""Sentences from measurements: what is said, what is left out, and that names fit the classifier's outputs."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.models.captioner import Caption, CaptionInput
from stages.models.measured_captioner import (
    MeasuredCaptioner,
    light_words,
    motion_phrase,
    movement_phrase,
    read_vocabulary,
    seconds_text,
    subject_phrase,
    with_article,
)
from stages.params import CaptionParams
from tests.clips import WORKER

GOLDEN, LABRADOR, TENNIS_BALL, ACORN = 207, 208, 852, 988


def moving(motion: str, speed: float, direction: str | None, *, subject: float = 0.001) -> dict[str, Any]:
    """Columns of a clip whose camera moves."""
    return {
        "flow_mean": speed,
        "camera_motion": motion,
        "camera_speed": speed,
        "camera_direction": direction,
        "subject_motion": subject,
    }


@pytest.fixture(scope="module")
def captioner() -> MeasuredCaptioner:
    made = MeasuredCaptioner(CaptionParams())
    made.setup(WORKER)
    return made


def test_read_vocabulary_names_each_class_once() -> None:
    vocabulary = read_vocabulary()
    assert len(set(vocabulary.phrases)) == 1000
    assert vocabulary.phrases[GOLDEN] == "a golden retriever"
    assert vocabulary.phrases[ACORN] == "an acorn"
    assert {vocabulary.kind_of(label) for label in (GOLDEN, LABRADOR)} == {"a dog"}


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({GOLDEN: 0.9}, "showing a golden retriever"),
        ({GOLDEN: 0.4, LABRADOR: 0.3}, "showing a dog, maybe a golden retriever"),
        ({label: 0.05 for label in range(151, 163)}, "showing a dog"),
        ({ACORN: 0.35}, "maybe showing an acorn"),
        ({GOLDEN: 0.2, LABRADOR: 0.2}, ""),
        ({GOLDEN: 0.55, TENNIS_BALL: 0.4}, "showing a golden retriever and maybe a tennis ball"),
        ({GOLDEN: 0.2, ACORN: 0.2}, ""),
    ],
)
def test_subject_says_no_more_than_is_probable(probabilities: dict[int, float], expected: str) -> None:
    values = np.zeros(1000)
    for label, value in probabilities.items():
        values[label] = value
    assert subject_phrase(values, read_vocabulary()) == expected


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (None, ""),
        (0.0, "in which almost nothing moves"),
        (0.01, "with slow motion"),
        (0.1, "with steady motion"),
        (3.0, "with fast motion"),
    ],
)
def test_motion_names_the_flow(flow: float | None, expected: str) -> None:
    assert motion_phrase(flow) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"flow_mean": None}, ""),
        ({"flow_mean": 0.1, "camera_motion": None}, "with steady motion"),
        ({"flow_mean": 0.001, "camera_motion": "static"}, "in which almost nothing moves"),
        ({"flow_mean": 0.01, "camera_motion": "static"}, "with slow motion from a still camera"),
        ({"flow_mean": 0.1, "camera_motion": "shake"}, "with steady motion from a shaking camera"),
        (moving("pan", 0.03, "left"), "as the camera slowly pans left"),
        (moving("zoom", 0.1, "in", subject=0.01), "with slow motion as the camera zooms in"),
        (moving("roll", 0.5, "ccw"), "as the camera quickly rolls counter-clockwise"),
        (moving("mixed", 0.1, "up+out", subject=0.3), "with fast motion as the camera moves up and out"),
        (moving("tilt", 0.1, None), "as the camera tilts to and fro"),
    ],
)
def test_movement_names_what_moves_and_what_the_camera_does(columns: dict[str, Any], expected: str) -> None:
    assert movement_phrase(columns) == expected


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), ("dark", "black-and-white")),
        ((90, 60, 20), ("dim", "")),
        ((100, 120, 90), ("", "")),
        ((250,) * 3, ("bright", "black-and-white")),
    ],
)
def test_light_names_brightness_and_missing_colour(colour: tuple[int, int, int], expected: tuple[str, str]) -> None:
    assert light_words(np.full((2, 4, 4, 3), colour, np.uint8)) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.0, "An 8-second view"), (11.04, "An 11-second view"), (10.0, "A 10-second view"), (0.001, "A 0.1-second view")],
)
def test_length_takes_the_article_that_is_spoken(seconds: float, words: str) -> None:
    assert with_article(f"{seconds_text(seconds)}-second view") == words


def test_caption_is_the_same_alone_and_beside_others(captioner: MeasuredCaptioner) -> None:
    random = np.random.default_rng(3)
    windows = [
        CaptionInput(random.integers(0, 255, (3, 48, 64, 3), np.uint8), 2.5, {"flow_mean": None}) for _ in range(3)
    ]
    together = captioner.caption(windows)
    assert together == [captioner.caption([window])[0] for window in windows]
    assert all(isinstance(caption, Caption) and caption.text.startswith("A 2.5-second") for caption in together)


def test_caption_sees_the_dog(captioner: MeasuredCaptioner, shared_media: Path) -> None:
    with av.open(str(shared_media / "dog_eating_14s.mp4")) as container:
        frames = [
            frame.to_ndarray(format="rgb24")[::2, ::2] for frame in container.decode(video=0) if frame.pts is not None
        ]
    (caption,) = captioner.caption(
        [CaptionInput(np.stack(frames[:160:40]).astype(np.uint8), 6.0, {"flow_mean": 0.015})]
    )
    assert isinstance(caption, Caption)
    assert "6-second view with slow motion, showing a dog" in caption.text
