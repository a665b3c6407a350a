"""Sentences from measurements: what is said, what is left out, and that names fit the classifier's outputs."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stages.models.captioner import Caption, CaptionInput
from stages.models.colour_names import main_colours
from stages.models.measured_captioner import (
    MeasuredCaptioner,
    light_words,
    motion_phrase,
    movement_phrase,
    read_kinds,
    seconds_text,
    subject_phrase,
    text_phrase,
    with_article,
)
from stages.params import CaptionParams
from tests.clips import WORKER

GOLDEN, LABRADOR, TENNIS_BALL, WEB_PAGE, BALLOON = 207, 208, 852, 916, 417


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


def test_kinds_hold_the_classes_that_are_alike() -> None:
    kinds = read_kinds()
    assert {GOLDEN, LABRADOR} <= set(kinds["a dog"])
    assert not any(BALLOON in members for members in kinds.values())
    assert "a screen or computer" not in kinds
    labels = [label for members in kinds.values() for label in members]
    assert len(labels) == len(set(labels)) > 600


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({GOLDEN: 0.97}, "showing a dog"),
        ({GOLDEN: 0.5, LABRADOR: 0.47}, "showing a dog"),
        ({label: 0.08 for label in range(151, 163)}, "showing a dog"),
        ({GOLDEN: 0.6, TENNIS_BALL: 0.4}, ""),
        ({BALLOON: 0.99}, ""),
        ({WEB_PAGE: 0.99}, ""),
        ({GOLDEN: 0.85}, ""),
    ],
)
def test_subject_is_named_only_where_it_is_sure(probabilities: dict[int, float], expected: str) -> None:
    values = np.zeros(1000)
    for label, value in probabilities.items():
        values[label] = value
    assert subject_phrase(values, read_kinds()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ""),
        ("  ", ""),
        ("SALE\n 50 %", 'The picture has the text "SALE 50 %"'),
        ("word " * 40, f'The picture has the text "{"word " * 19}word ..."'),
    ],
)
def test_text_in_the_picture_is_repeated(text: str | None, expected: str) -> None:
    assert text_phrase(text) == expected


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({(200, 30, 30): 1.0}, ["red"]),
        ({(30, 120, 40): 0.6, (40, 90, 220): 0.4}, ["green", "blue"]),
        ({(110, 70, 30): 0.7, (20, 20, 20): 0.3}, ["brown", "black"]),
        ({(240, 240, 240): 0.5, (120, 122, 121): 0.5}, ["grey", "white"]),
        ({(250, 150, 30): 0.3, (250, 240, 60): 0.3, (200, 60, 200): 0.2, (60, 200, 200): 0.2}, ["orange", "yellow"]),
        ({(200, 30, 30): 0.24, (30, 200, 30): 0.24, (30, 30, 200): 0.26, (250, 250, 30): 0.26}, ["yellow", "blue"]),
        (
            {(200, 30, 30): 0.2, (30, 200, 30): 0.2, (30, 30, 200): 0.2, (250, 250, 30): 0.2, (20, 20, 20): 0.2},
            [],
        ),
        ({(255, 105, 180): 1.0}, ["pink"]),
        ({(64, 224, 208): 1.0}, ["turquoise"]),
        ({(128, 0, 200): 1.0}, ["purple"]),
    ],
)
def test_colours_are_named_that_cover_most(shares: dict[tuple[int, int, int], float], expected: list[str]) -> None:
    rows = [np.full((round(share * 300), 90, 3), colour, np.uint8) for colour, share in shares.items()]
    found = main_colours(np.concatenate(rows)[None])
    assert set(found) == set(expected)


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
