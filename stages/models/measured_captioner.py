"""A captioner without a language model: plain sentences made only of measurements.

Motion and camera come from the optical flow of the split phase, light and colours from the frames, on-screen text from
filter text. A subject is named only where a classifier of 1000 things (EfficientNet-Lite0 on ImageNet) is as sure as it
was when it was right on real clips; most clips get none. It describes measurements, not what happens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.models.captioner import Caption, CaptionInput
from stages.models.colour_names import main_colours
from stages.models.efficientnet import EfficientNetLite0, weights_hash
from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams, Dtype
from stages.stage import WorkerMetadata
from stages.tasks import Failed

CLASS_NAMES_FILE = Path(__file__).parent / "data" / "imagenet_classes.tsv"

SURE_PROBABILITY = 0.9
"""Least probability, in the mean over a window's frames, of a kind of things that is named. Single things are not: on
real clips they were as often wrong as right, at any probability. docs/captions.md has what was looked at."""
UNTOLD_KINDS = frozenset({"a screen or computer"})
"""Kinds that are not named: the network takes whatever has letters in it for a web page."""

MOTION_PHRASES = ((0.004, "in which almost nothing moves"), (0.04, "with slow motion"), (0.2, "with steady motion"))
"""Upper limits of the mean flow, in frame diagonals per second, with their phrases."""
FAST_MOTION_PHRASE = "with fast motion"
"""From the last limit of `MOTION_PHRASES` on."""
CAMERA_VERBS = {"pan": "pans", "tilt": "tilts", "zoom": "zooms", "roll": "rolls", "mixed": "moves"}
CAMERA_ADVERBS = ((0.04, "slowly "), (0.2, ""))
"""Upper limits of the camera's speed, in frame diagonals per second, with their words."""
FAST_CAMERA_ADVERB = "quickly "
"""From the last limit of `CAMERA_ADVERBS` on."""
DIRECTION_WORDS = {"cw": "clockwise", "ccw": "counter-clockwise"}
"""Words of ``camera_direction`` that a sentence has otherwise."""

MAX_TEXT_CHARACTERS = 100
"""Of on-screen text that a caption repeats."""

BRIGHTNESS_WORDS = ((40.0, "dark"), (80.0, "dim"), (170.0, ""), (256.0, "bright"))
"""Upper limits of the mean luma, of 255, with their words."""
MAX_GREY_DIFFERENCE = 16
"""Limit of max(R, G, B) - min(R, G, B) of a grey pixel; hardly a pixel of black-and-white video exceeds it."""


def read_kinds() -> dict[str, list[int]]:
    """Kinds of things with their articles, each with its classes of ImageNet-1k, of those that are named."""
    lines = [line for line in CLASS_NAMES_FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    kinds: dict[str, list[int]] = {}
    for label, line in enumerate(lines):
        kind = line.split("\t")[1]
        if kind and kind not in UNTOLD_KINDS:
            kinds.setdefault(kind, []).append(label)
    return kinds


class MeasuredCaptioner:
    """Captions a window with sentences of measurements. Deterministic; uses no prompt."""

    columns = ("flow_mean", "camera_motion", "camera_speed", "camera_direction", "subject_motion", "text")
    reads_prompt = False

    def __init__(self, params: CaptionParams) -> None:
        self.dtype: str | None = None
        self._asked: Dtype = params.dtype
        self._network: Any = None
        self._kinds: dict[str, list[int]] = {}

    def identity(self) -> ModelIdentity:
        """A model name that lists the measurements, and the hash of the classifier's weights."""
        return ModelIdentity("measured:flow+camera+light+colours+text+efficientnet-lite0", weights_hash())

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the classifier and the kinds of its classes."""
        self._network = EfficientNetLite0(worker_metadata.device, worker_metadata.num_threads, self._asked)
        self.dtype = self._network.dtype
        self._kinds = read_kinds()

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One or a few sentences per window."""
        return [Caption(self._sentence(window)) for window in windows]

    def _sentence(self, window: CaptionInput) -> str:
        subject = subject_phrase(self._network.class_probabilities(window.images).mean(axis=0), self._kinds)
        brightness, colourless = light_words(window.images)
        words = (brightness, colourless, f"{seconds_text(window.duration_s)}-second view")
        opening = with_article(" ".join(word for word in words if word))
        parts = [" ".join(part for part in (opening, movement_phrase(window.columns)) if part)]
        colours = [] if colourless else main_colours(window.images)
        sentences = [", ".join([*parts, *([subject] if subject else [])])]
        if colours:
            sentences.append(f"Mostly {' and '.join(colours)}")
        if text := text_phrase(window.columns.get("text")):
            sentences.append(text)
        return ". ".join(sentences) + "."


def subject_phrase(probabilities: NDArray[np.floating[Any]], kinds: Mapping[str, list[int]]) -> str:
    """The kind of the window's subject, as the end of a sentence; empty where no probability is high enough.

    Args:
        probabilities: float ``[1000]``, mean over the window's frames.
        kinds: classes by kind.
    """
    sums = {kind: float(probabilities[members].sum()) for kind, members in kinds.items()}
    kind = max(sums, key=lambda name: sums[name])
    return f"showing {kind}" if sums[kind] >= SURE_PROBABILITY else ""


def text_phrase(text: str | None) -> str:
    """A phrase for the text in the picture; empty where none was read, or nothing was."""
    words = " ".join((text or "").split())
    if not words:
        return ""
    shown = words if len(words) <= MAX_TEXT_CHARACTERS else f"{words[:MAX_TEXT_CHARACTERS].rsplit(' ', 1)[0]} ..."
    return f'The picture has the text "{shown}"'


def motion_phrase(flow_mean: float | None) -> str:
    """A phrase for the amount of motion; empty where it was not measured.

    Args:
        flow_mean: frame diagonals per second.
    """
    if flow_mean is None:
        return ""
    return next((words for limit, words in MOTION_PHRASES if flow_mean < limit), FAST_MOTION_PHRASE)


def movement_phrase(columns: Mapping[str, Any]) -> str:
    """A phrase for what moves and what the camera does; empty where neither was measured.

    Args:
        columns: of the clip. ``flow_mean`` says what moves where the camera stands; where it goes, ``subject_motion``.
    """
    flow, camera = columns.get("flow_mean"), columns.get("camera_motion")
    if camera in (None, "static", "shake"):
        motion = motion_phrase(flow)
        is_still = motion == MOTION_PHRASES[0][1]
        seen_from = {"static": "" if is_still else "from a still camera", "shake": "from a shaking camera"}
        return " ".join(part for part in (motion, seen_from.get(camera or "", "")) if part)
    subject = columns["subject_motion"]
    motion = "" if subject < MOTION_PHRASES[0][0] else motion_phrase(subject)
    goes = camera_phrase(camera, columns["camera_speed"], columns["camera_direction"])
    return " ".join(part for part in (motion, goes) if part)


def camera_phrase(motion: str, speed: float, direction: str | None) -> str:
    """A phrase for a camera that pans, tilts, zooms, rolls, or does several of them.

    Args:
        motion: a key of `CAMERA_VERBS`.
        speed: frame diagonals per second.
        direction: words joined by "+"; None where it goes to and fro.
    """
    adverb = next((word for limit, word in CAMERA_ADVERBS if speed < limit), FAST_CAMERA_ADVERB)
    words = [DIRECTION_WORDS.get(word, word) for word in (direction or "to and fro").split("+")]
    return f"as the camera {adverb}{CAMERA_VERBS[motion]} {' and '.join(words)}"


def light_words(images: NDArray[np.uint8]) -> tuple[str, str]:
    """Words for the brightness and for missing colour of RGB frames, uint8 ``[N, H, W, 3]``; each may be empty."""
    luma = float((images @ np.array([0.299, 0.587, 0.114])).mean())
    brightness = next(word for limit, word in BRIGHTNESS_WORDS if luma < limit)
    coloured = float((images.max(axis=-1) - images.min(axis=-1) > MAX_GREY_DIFFERENCE).mean())
    return brightness, "black-and-white" if coloured < 0.01 else ""


def seconds_text(duration_s: float) -> str:
    """Seconds with at most one decimal."""
    return f"{max(duration_s, 0.1):.1f}".removesuffix(".0")


def with_article(words: str) -> str:
    """The words after "A" or "An", by pronunciation: "An 8-second view"."""
    number = words.split("-")[0].split(".")[0]
    spoken_vowel = words[0] in "aeiou" or number in ("11", "18") or number.startswith("8")
    return f"{'An' if spoken_vowel else 'A'} {words}"
