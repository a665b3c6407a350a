"""A captioner without a language model: one sentence per window, made only of measurements.

The subject comes from a classifier of 1000 things (EfficientNet-Lite0 on ImageNet), motion and camera from the optical
flow of the split phase, light from the luma of the frames. An uncertain subject is worded with "maybe" or left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.models.captioner import Caption, CaptionInput
from stages.models.efficientnet import EfficientNetLite0, weights_hash
from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams, Dtype
from stages.stage import WorkerMetadata
from stages.tasks import Failed

CLASS_NAMES_FILE = Path(__file__).parent / "data" / "imagenet_classes.tsv"

CERTAIN_PROBABILITY = 0.5
"""A thing or a kind of things with at least this probability is stated."""
MAYBE_PROBABILITY = 0.3
"""A thing with at least this probability is mentioned with "maybe", one below it is not. A kind below
`CERTAIN_PROBABILITY` is not mentioned either: on real video those were wrong more often than right."""

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

BRIGHTNESS_WORDS = ((40.0, "dark"), (80.0, "dim"), (170.0, ""), (256.0, "bright"))
"""Upper limits of the mean luma, of 255, with their words."""
MAX_GREY_DIFFERENCE = 16
"""Limit of max(R, G, B) - min(R, G, B) of a grey pixel; hardly a pixel of black-and-white video exceeds it."""


@dataclass(frozen=True)
class Vocabulary:
    """Names of the classifier's classes.

    Attributes:
        phrases: the thing with its article, by class index.
        kinds: class indices of each kind of things, by the kind with its article.
    """

    phrases: list[str]
    kinds: dict[str, list[int]]

    def kind_of(self, label: int) -> str | None:
        """The kind that a class belongs to; None for a class without one."""
        return next((kind for kind, members in self.kinds.items() if label in members), None)


def read_vocabulary() -> Vocabulary:
    """Read the class names that come with this package, one per class of ImageNet-1k."""
    lines = [line for line in CLASS_NAMES_FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("\t") for line in lines]
    kinds: dict[str, list[int]] = {}
    for label, (_, kind) in enumerate(pairs):
        if kind:
            kinds.setdefault(kind, []).append(label)
    return Vocabulary([phrase for phrase, _ in pairs], kinds)


class MeasuredCaptioner:
    """Captions a window with a sentence of measurements. Deterministic; uses no prompt."""

    columns = ("flow_mean", "camera_motion", "camera_speed", "camera_direction", "subject_motion")
    reads_prompt = False

    def __init__(self, params: CaptionParams) -> None:
        self.dtype: str | None = None
        self._asked: Dtype = params.dtype
        self._network: Any = None
        self._vocabulary = Vocabulary([], {})

    def identity(self) -> ModelIdentity:
        """A model name that lists the measurements, and the hash of the classifier's weights."""
        return ModelIdentity("measured:efficientnet-lite0+flow+camera+luma", weights_hash())

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the classifier and its class names."""
        self._network = EfficientNetLite0(worker_metadata.device, worker_metadata.num_threads, self._asked)
        self.dtype = self._network.dtype
        self._vocabulary = read_vocabulary()

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One sentence per window."""
        return [Caption(self._sentence(window)) for window in windows]

    def _sentence(self, window: CaptionInput) -> str:
        subject = subject_phrase(self._network.class_probabilities(window.images).mean(axis=0), self._vocabulary)
        motion = movement_phrase(window.columns)
        words = (*light_words(window.images), f"{seconds_text(window.duration_s)}-second view")
        opening = " ".join(word for word in words if word)
        parts = [with_article(opening), motion]
        return " ".join(part for part in parts if part) + (f", {subject}." if subject else ".")


def subject_phrase(probabilities: NDArray[np.floating[Any]], vocabulary: Vocabulary) -> str:
    """The window's subject, as the end of a sentence; empty where all probabilities are too low.

    Args:
        probabilities: float ``[1000]``, mean over the window's frames.
        vocabulary: names of the classes.
    """
    best = int(probabilities.argmax())
    sums = {kind: float(probabilities[members].sum()) for kind, members in vocabulary.kinds.items()}
    kind = max(sums, key=lambda name: sums[name])
    probability, thing = float(probabilities[best]), vocabulary.phrases[best]
    if probability >= CERTAIN_PROBABILITY:
        stated = f"showing {thing}"
    elif sums[kind] >= CERTAIN_PROBABILITY:
        is_maybe = probability >= MAYBE_PROBABILITY and best in vocabulary.kinds[kind]
        stated = f"showing {kind}" + (f", maybe {thing}" if is_maybe else "")
    elif probability >= MAYBE_PROBABILITY:
        stated = f"maybe showing {thing}"
    else:
        return ""
    return stated + _second_subject(probabilities, vocabulary, {kind, vocabulary.kind_of(best)}, best)


def _second_subject(
    probabilities: NDArray[np.floating[Any]], vocabulary: Vocabulary, mentioned: set[str | None], best: int
) -> str:
    """A phrase for a second thing, of none of the mentioned kinds; may be empty."""
    for label in np.argsort(-probabilities, kind="stable")[:5]:
        kind = vocabulary.kind_of(int(label))
        if probabilities[label] < MAYBE_PROBABILITY:
            return ""
        if label != best and (kind is None or kind not in mentioned):
            return f" and maybe {vocabulary.phrases[label]}"
    return ""


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
