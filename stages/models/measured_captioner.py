"""A caption without a language model: one plain sentence of what was measured, and no more than that.

What the pictures show comes from a classifier of 1000 things (EfficientNet-Lite0 on ImageNet), motion from the
optical flow of the split phase, light from the pictures' luma. What the classifier is unsure of is said with a maybe,
or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.models.captioner import Said, Shown
from stages.models.efficientnet import EfficientNetLite0, weights_hash
from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

CLASSES = Path(__file__).parent / "data" / "imagenet_classes.tsv"

SURE = 0.5
"""From this probability on a thing or a kind of things is stated."""
MAYBE = 0.3
"""From here on a thing is said with a maybe; below it is not mentioned, nor is a kind below SURE: on real video those
were wrong more often than right."""

MOTION = ((0.004, "in which almost nothing moves"), (0.04, "with slow motion"), (0.2, "with steady motion"))
"""Below so many picture diagonals a second; above the last, fast."""
FAST = "with fast motion"

LIGHT = ((40.0, "dark"), (80.0, "dim"), (170.0, ""), (256.0, "bright"))
"""Mean luma below, of 255."""
COLOURLESS = 16
"""Distance of the largest from the smallest of R, G and B that hardly a pixel of a colourless picture passes."""


@dataclass(frozen=True)
class Vocabulary:
    """What the classifier's outputs are called.

    Attributes:
        phrases: a thing with its article, by class.
        kinds: kinds of things with their article, each with its classes.
    """

    phrases: list[str]
    kinds: dict[str, list[int]]

    def kind_of(self, label: int) -> str | None:
        """The kind that a class belongs to."""
        return next((kind for kind, members in self.kinds.items() if label in members), None)


def read_vocabulary() -> Vocabulary:
    """The names that come with this package, one a class of ImageNet-1k."""
    lines = [line for line in CLASSES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pairs = [line.split("\t") for line in lines]
    kinds: dict[str, list[int]] = {}
    for label, (_, kind) in enumerate(pairs):
        if kind:
            kinds.setdefault(kind, []).append(label)
    return Vocabulary([phrase for phrase, _ in pairs], kinds)


class MeasuredCaptioner:
    """Writes the sentence. Deterministic, reads no prompt."""

    columns = ("flow_mean",)
    reads_prompt = False

    def __init__(self, params: CaptionParams) -> None:
        self._network: Any = None
        self._vocabulary = Vocabulary([], {})

    def identity(self) -> ModelIdentity:
        """Says what was measured, and that nothing else was."""
        return ModelIdentity("measured:efficientnet-lite0+flow+luma", weights_hash())

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the classifier and its names."""
        self._network = EfficientNetLite0(worker_metadata.device, worker_metadata.num_threads)
        self._vocabulary = read_vocabulary()

    def caption(self, windows: Sequence[Shown]) -> list[Said | Failed]:
        """One sentence a window."""
        return [Said(self._sentence(window)) for window in windows]

    def _sentence(self, window: Shown) -> str:
        seen = subject(self._network.class_probabilities(window.images).mean(axis=0), self._vocabulary)
        moving = motion(window.columns.get("flow_mean"))
        opening = " ".join(word for word in (*light(window.images), f"{length(window.duration_s)}-second view") if word)
        parts = [with_article(opening), moving]
        return " ".join(part for part in parts if part) + (f", {seen}." if seen else ".")


def subject(probabilities: NDArray[np.floating[Any]], vocabulary: Vocabulary) -> str:
    """What the window shows, as the end of a sentence; empty where the classifier is sure of nothing.

    Args:
        probabilities: float ``[1000]``, mean over the window's pictures.
        vocabulary: names of the classes.
    """
    best = int(probabilities.argmax())
    sums = {kind: float(probabilities[members].sum()) for kind, members in vocabulary.kinds.items()}
    kind = max(sums, key=lambda name: sums[name])
    chance, thing = float(probabilities[best]), vocabulary.phrases[best]
    if chance >= SURE:
        stated = f"showing {thing}"
    elif sums[kind] >= SURE:
        stated = f"showing {kind}" + (f", maybe {thing}" if chance >= MAYBE and best in vocabulary.kinds[kind] else "")
    elif chance >= MAYBE:
        stated = f"maybe showing {thing}"
    else:
        return ""
    return stated + _also(probabilities, vocabulary, {kind, vocabulary.kind_of(best)}, best)


def _also(probabilities: NDArray[np.floating[Any]], vocabulary: Vocabulary, told: set[str | None], best: int) -> str:
    """A second thing of another kind than what was told."""
    for label in np.argsort(-probabilities, kind="stable")[:5]:
        kind = vocabulary.kind_of(int(label))
        if probabilities[label] < MAYBE:
            return ""
        if label != best and (kind is None or kind not in told):
            return f" and maybe {vocabulary.phrases[label]}"
    return ""


def motion(flow_mean: float | None) -> str:
    """How much moves, in words; empty where it was not measured.

    Args:
        flow_mean: picture diagonals a second.
    """
    if flow_mean is None:
        return ""
    return next((words for limit, words in MOTION if flow_mean < limit), FAST)


def light(images: NDArray[np.uint8]) -> tuple[str, str]:
    """Words for brightness and for missing colour of uint8 ``[N, H, W, 3]`` RGB; each may be empty."""
    luma = float((images @ np.array([0.299, 0.587, 0.114])).mean())
    brightness = next(word for limit, word in LIGHT if luma < limit)
    coloured = float((images.max(axis=-1) - images.min(axis=-1) > COLOURLESS).mean())
    return brightness, "black-and-white" if coloured < 0.01 else ""


def length(duration_s: float) -> str:
    """Seconds with at most one decimal."""
    return f"{max(duration_s, 0.1):.1f}".removesuffix(".0")


def with_article(words: str) -> str:
    """The words after A or An, as they are spoken: "An 8-second view"."""
    number = words.split("-")[0].split(".")[0]
    spoken_vowel = words[0] in "aeiou" or number in ("11", "18") or number.startswith("8")
    return f"{'An' if spoken_vowel else 'A'} {words}"
