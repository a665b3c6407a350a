"""What was measured of a clip, in plain words for a prompt; and what of an answer contradicts it."""

import re
from collections.abc import Mapping
from typing import Any

MEASURED_COLUMNS = (
    *("flow_mean", "motion_class", "camera_motion", "camera_speed", "camera_direction", "subject_motion", "text"),
    "speech_share",
)
"""Columns of `filtered_clips` that prompts are told, and answers are checked against."""

MAX_TEXT = 300
"""Characters of burned-in text that a prompt is told."""
CERTAIN_SPEED = 0.02
"""Speed of the camera, in picture diagonals a second, from which on an answer that it stands is wrong."""
LEAST_TEXT = 8
"""Letters and digits of burned-in text that an answer may not miss where it is asked for the text."""

NO_SPEECH, MUCH_SPEECH = 0.02, 0.3
"""Share of the time below which nobody speaks, and from which on an answer that nobody does is wrong."""

_CAMERA_WORDS = {
    "static": "stands still",
    "pan": "pans",
    "tilt": "tilts",
    "zoom": "zooms",
    "roll": "rolls",
    "shake": "shakes, as if held by hand",
    "mixed": "moves",
}
_DIRECTION_WORDS = {"cw": "clockwise", "ccw": "counter-clockwise"}
_MOTION_WORDS = {"still": "almost nothing moves", "low": "slow", "medium": "steady", "high": "fast"}
_SPEEDS = ((0.04, "slowly"), (0.2, ""))
_FAST = "quickly"

_CAMERA = r"(?:camera|shot|view|frame|framing)"
_STANDS = re.compile(
    rf"\b(?:static|stationary|fixed|motionless|locked[- ]off|still) (?:\w+ )?{_CAMERA}\b"
    rf"|\b{_CAMERA} (?:(?:itself|position) )?(?:is|remains|stays|stands|holds|being)(?: \w+)? "
    r"(?:static|stationary|still|fixed|motionless|steady|in place)\b",
    re.IGNORECASE,
)
_MOVES = re.compile(
    rf"\b{_CAMERA} (?:\w+ly )?(?:is )?(?:then |begins to |starts to |continues to )?(?:\w+ly )?"
    r"(?P<verb>pan|tilt|zoom|roll|rotat|track|doll|mov|push|pull|follow)(?:s|es|ies|ing|ning|ting|led|ned)?\b"
    r"(?: (?:\w+ly|to the|to|towards?|the|further|back|up and)){0,3}"
    r"(?: (?P<way>left|right|up|upwards?|down|downwards?|in|inwards?|out|outwards?))?",
    re.IGNORECASE,
)
_NO_TEXT = re.compile(
    r"\b(?:no|without(?: any)?) (?:on-screen |visible |burned-in )?(?:text|words|captions?|subtitles)\b", re.I
)
_VOICE = re.compile(
    r"\b(?:voice-?overs?|narrators?|narration|(?:is|are|can be) heard (?:speaking|talking)"
    r"|voices? (?:is|are|can be) heard|voice (?:says|speaks|explains|describes|tells))\b",
    re.IGNORECASE,
)
_NO_VOICE = re.compile(
    r"\b(?:(?:no|without(?: any)?) (?:audible |spoken )?"
    r"(?:speech|dialogue|dialog|talking|narration|narrator|voice-?over)"
    r"|(?:nobody|no one|no-one) (?:is )?(?:heard )?(?:speaks|speaking|talks|talking))\b",
    re.IGNORECASE,
)
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "in": "out", "out": "in"}
_KIND_OF_VERB = {"pan": "pan", "tilt": "tilt", "zoom": "zoom"}


def measured_text(columns: Mapping[str, Any]) -> str:
    """What was measured of a clip, a line each."""
    lines: list[str] = []
    if camera := columns.get("camera_motion"):
        lines.append(
            f"- The camera {camera_words(camera, columns.get('camera_speed'), columns.get('camera_direction'))}."
        )
    moving = columns.get("motion_class")
    if moving in _MOTION_WORDS:
        lines.append(f"- Motion in the picture: {_MOTION_WORDS[moving]}.")
    text = columns.get("text")
    if text is not None:
        shown = " ".join(text.split())[:MAX_TEXT]
        lines.append(f'- Text in the picture reads: "{shown}".' if shown else "- No text was found in the picture.")
    speech = columns.get("speech_share")
    if speech is not None:
        lines.append(f"- {speech_words(speech)}.")
    return "\n".join(lines) or "- Nothing."


def speech_words(share: float) -> str:
    """How much is spoken in a clip, as a sentence; of the share of its time, 0 to 1."""
    if share < NO_SPEECH:
        return "Nobody is heard speaking"
    return f"Somebody is heard speaking, about {max(5, 5 * round(20 * share))} % of the time"


def camera_words(motion: str, speed: float | None, direction: str | None) -> str:
    """What the camera does, after "The camera"."""
    words = _CAMERA_WORDS.get(motion, motion)
    if motion in ("static", "shake"):
        return words
    ways = [_DIRECTION_WORDS.get(way, way) for way in direction.split("+")] if direction else ["to and fro"]
    pace = "" if speed is None else next((word for limit, word in _SPEEDS if speed < limit), _FAST)
    return " ".join(part for part in (words, " and ".join(ways), pace) if part)


def contradiction(text: str, fields: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> str | None:
    """What of an answer contradicts what was measured; None where nothing does, or nothing was measured.

    Args:
        text: the caption.
        fields: of a structured answer; ``camera_move`` and ``on_screen_text`` are checked. None for plain words.
        columns: of the clip, `MEASURED_COLUMNS`.
    """
    said = text
    if fields is not None and isinstance(fields.get("camera_move"), str):
        move = fields["camera_move"]
        said = f"{text} The camera is static." if move == "static" else f"{text} The camera {_verb(move)}."
    return (
        _camera_contradiction(said, columns)
        or _text_contradiction(text, fields, columns)
        or _speech_contradiction(text, columns)
    )


def _verb(move: str) -> str:
    """Makes "pans left" of "pan left"."""
    first, _, rest = move.partition(" ")
    return f"{first}s {rest}".strip()


def _camera_contradiction(text: str, columns: Mapping[str, Any]) -> str | None:
    camera, speed = columns.get("camera_motion"), columns.get("camera_speed") or 0.0
    if camera is None:
        return None
    stands, moves = _STANDS.search(text), list(_MOVES.finditer(text))
    measured = camera_words(camera, columns.get("camera_speed"), columns.get("camera_direction"))
    if camera == "static":
        told = next((each for each in moves if each["verb"].lower() in ("pan", "tilt", "zoom", "roll", "rotat")), None)
        return _message(told.group().strip(), measured) if told is not None and stands is None else None
    if stands is not None and not moves and camera != "shake" and speed >= CERTAIN_SPEED:
        return _message(stands.group(), measured)
    ways = set((columns.get("camera_direction") or "").split("+"))
    for each in moves:
        way = (each["way"] or "").lower().removesuffix("s").removesuffix("ward")
        same_kind = _KIND_OF_VERB.get(each["verb"].lower()) == camera
        if same_kind and way in _OPPOSITE and _OPPOSITE[way] in ways and way not in ways:
            return _message(each.group().strip(), measured)
    return None


def _text_contradiction(text: str, fields: Mapping[str, Any] | None, columns: Mapping[str, Any]) -> str | None:
    read = columns.get("text") or ""
    if sum(letter.isalnum() for letter in read) < LEAST_TEXT:
        return None
    told = (fields or {}).get("on_screen_text")
    is_missed = isinstance(told, str) and told.strip().lower() in ("", "none", "n/a", "no text")
    if is_missed or _NO_TEXT.search(text):
        return f'The answer says that there is no text, and "{" ".join(read.split())[:60]}" was read in the picture.'
    return None


def _speech_contradiction(text: str, columns: Mapping[str, Any]) -> str | None:
    """Somebody may be seen to speak who is not heard; only what an answer says of voices is compared."""
    share = columns.get("speech_share")
    if share is None:
        return None
    denied = _NO_VOICE.search(text)
    voice = _VOICE.search(_NO_VOICE.sub("", text))
    told = denied if denied and share >= MUCH_SPEECH else voice if voice and share < NO_SPEECH else None
    return f'The answer says "{told.group()}", and as measured: {speech_words(share)}.' if told is not None else None


def _message(said: str, measured: str) -> str:
    return f'The answer says "{said}", and as measured the camera {measured}.'
