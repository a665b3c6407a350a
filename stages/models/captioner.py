"""What a captioner is: it is shown pictures of windows and says something about each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed


@dataclass(frozen=True, slots=True)
class Shown:
    """What a captioner sees of one window.

    Attributes:
        images: uint8 ``[N, H, W, 3]``, RGB, in presentation order, at least one.
        duration_s: length of the window.
        columns: what it asked for by `Captioner.columns`, of the clip's row.
    """

    images: NDArray[np.uint8]
    duration_s: float
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """A caption.

    Attributes:
        text: the words, not empty.
        tokens: output tokens; None where they are not counted.
    """

    text: str
    tokens: int | None = None


def storable(text: str) -> str:
    """The text with U+FFFD in place of what UTF-8 cannot hold: lone surrogates, which JSON can carry."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Captioner(Protocol):
    """Says something about windows. Built in the driver too, so it must be light until `setup`.

    Attributes:
        columns: of filtered_clips, what it reads beside the pictures; they enter the key of a clip's captions.
        reads_prompt: whether it is asked something; then the prompt's hash stands in each row.
    """

    columns: tuple[str, ...]
    reads_prompt: bool

    def __init__(self, params: CaptionParams) -> None: ...

    def identity(self) -> ModelIdentity:
        """The model and its weights, told without loading them; an empty hash where a server holds them."""
        ...

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model, in the worker, on the worker's device."""
        ...

    def caption(self, windows: Sequence[Shown]) -> list[Said | Failed]:
        """What it says of each window, in their order; a window that fails does not fail the others."""
        ...
