"""What prompts are told, and which answers contradict it."""

from typing import Any

import pytest

from stages.caption.measurements import contradiction, measured_text

STATIC = {"camera_motion": "static", "camera_speed": 0.001, "camera_direction": None, "motion_class": "low"}
PAN = {"camera_motion": "pan", "camera_speed": 0.1, "camera_direction": "left", "motion_class": "medium"}
ZOOM = {"camera_motion": "zoom", "camera_speed": 0.03, "camera_direction": "in"}
SHAKE = {"camera_motion": "shake", "camera_speed": 0.05, "camera_direction": None}
MIXED = {"camera_motion": "mixed", "camera_speed": 0.1, "camera_direction": "up+out"}


def test_measured_text_says_what_is_known() -> None:
    assert measured_text({}) == "- Nothing."
    assert measured_text(STATIC) == "- The camera stands still.\n- Motion in the picture: slow."
    assert measured_text(PAN) == "- The camera pans left.\n- Motion in the picture: steady."
    assert measured_text(ZOOM) == "- The camera zooms in slowly."
    assert measured_text(MIXED) == "- The camera moves up and out."
    assert measured_text({"text": "  SALE\n50 % "}) == '- Text in the picture reads: "SALE 50 %".'
    assert measured_text({"speech_share": 0.0}) == "- Nobody is heard speaking."
    assert measured_text({"speech_share": 0.03}) == "- Somebody is heard speaking, about 5 % of the time."
    assert measured_text({"speech_share": 0.62}) == "- Somebody is heard speaking, about 60 % of the time."
    assert measured_text({"text": ""}) == "- No text was found in the picture."


@pytest.mark.parametrize(
    ("text", "columns", "is_contradiction"),
    [
        ("A dog runs as the camera pans left.", STATIC, True),
        ("The camera slowly zooms in on a face.", STATIC, True),
        ("A man tilts his head while the camera stands.", STATIC, False),
        ("A static camera shows a street; a car pans into view.", STATIC, False),
        ("The camera follows a cyclist.", STATIC, False),
        ("A static shot of a street.", PAN, True),
        ("The camera remains still while a dog runs.", PAN, True),
        ("A still life on a table.", PAN, False),
        ("The camera pans to the right across a field.", PAN, True),
        ("The camera pans left across a field.", PAN, False),
        ("The camera pans across a field to the left.", PAN, False),
        ("A man walks to the right.", PAN, False),
        ("The camera zooms out.", ZOOM, True),
        ("The camera zooms in slowly.", ZOOM, False),
        ("The camera is stationary.", SHAKE, False),
        ("The camera moves down.", MIXED, False),
        ("The camera is stationary.", {}, False),
        ("The camera is stationary.", {**PAN, "camera_speed": 0.005}, False),
    ],
)
def test_contradiction_is_what_denies_the_measured_camera(
    text: str, columns: dict[str, Any], is_contradiction: bool
) -> None:
    assert (contradiction(text, None, columns) is not None) is is_contradiction


@pytest.mark.parametrize(
    ("move", "columns", "is_contradiction"),
    [
        ("static", PAN, True),
        ("pan right", PAN, True),
        ("pan left", PAN, False),
        ("pan left", STATIC, True),
        ("static", STATIC, False),
        ("zoom out", ZOOM, True),
        ("handheld", STATIC, False),
        ("mixed", PAN, False),
    ],
)
def test_contradiction_of_a_structured_answer(move: str, columns: dict[str, Any], is_contradiction: bool) -> None:
    assert (contradiction("A dog runs.", {"camera_move": move}, columns) is not None) is is_contradiction


@pytest.mark.parametrize(
    ("told", "read", "is_contradiction"),
    [("", "BREAKING NEWS", True), ("BREAKING", "BREAKING NEWS", False), ("", "12", False), ("", None, False)],
)
def test_contradiction_of_text_in_the_picture(told: str, read: str | None, is_contradiction: bool) -> None:
    assert (contradiction("A dog.", {"on_screen_text": told}, {"text": read}) is not None) is is_contradiction


@pytest.mark.parametrize(
    ("text", "share", "is_contradiction"),
    [
        ("A narrator explains how bread is made.", 0.0, True),
        ("A woman is heard speaking off screen.", 0.01, True),
        ("A voice-over describes the city.", 0.4, False),
        ("A man talks to the camera.", 0.0, False),
        ("A street at night, without any dialogue.", 0.8, True),
        ("Nobody speaks while the water boils.", 0.5, True),
        ("Nobody speaks while the water boils.", 0.1, False),
        ("There is no narration.", 0.0, False),
        ("A narrator explains how bread is made.", None, False),
    ],
)
def test_contradiction_of_what_is_heard(text: str, share: float | None, is_contradiction: bool) -> None:
    assert (contradiction(text, None, {"speech_share": share}) is not None) is is_contradiction
