"""The interface of captioners, with their input and output."""

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
class CaptionInput:
    """A captioner's input for one window.

    Attributes:
        images: sampled frames, uint8 ``[N, H, W, 3]``, RGB, in presentation order, at least one; none where a caption
            is refined.
        duration_s: length of the window.
        columns: values of the clip's row for the names in `Captioner.columns`.
        times_s: when each frame was taken, since the window's start; empty where that is not known.
        prompt: what is asked, whole; empty for ``caption.prompt`` as it stands.
        json_schema: of the answer; None for plain words. The answer is checked against it in any case.
        max_tokens: of the answer; 0 for ``caption.max_tokens``.
    """

    images: NDArray[np.uint8]
    duration_s: float
    columns: Mapping[str, Any]
    times_s: tuple[float, ...] = ()
    prompt: str = ""
    json_schema: Mapping[str, Any] | None = None
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Caption:
    """A captioner's output for one window.

    Attributes:
        text: not empty, unless it is cut or filtered.
        tokens: output tokens; None where the captioner does not count them.
        prompt_tokens: input tokens, of pictures too; None likewise.
        is_cut: the answer ended at the largest number of tokens; it is rejected.
        is_filtered: a filter of the server withheld it, or ended it in the middle; it is rejected.
    """

    text: str
    tokens: int | None = None
    prompt_tokens: int | None = None
    is_cut: bool = False
    is_filtered: bool = False


def replace_surrogates(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Captioner(Protocol):
    """Captions windows. The driver constructs it too, so models must be loaded in `setup`.

    Attributes:
        columns: columns of filtered_clips that it reads beside the frames; they enter the row key of captions.
        reads_prompt: true if it uses ``caption.prompt``; each row then holds the prompt's hash.
        waits_for_server: optional; true if `caption` waits for a server more than it computes. It is then called by
            several threads at once, in one worker. A method ``close`` is called at the end.

    After `setup` it may have an attribute ``dtype``, the precision that it computes in, for the rows. A method
    ``pinned_params`` gives the parameters with which workers construct it, and ``fetch`` brings weights to a node.

    A user's own class may declare a ``version``; where it does not, a hash of its source enters the row keys.
    """

    columns: tuple[str, ...]
    reads_prompt: bool

    def __init__(self, params: CaptionParams) -> None: ...

    def identity(self) -> ModelIdentity:
        """The model and the hash of its weights, without loading them; the hash is empty for a remote server."""
        ...

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Load the model, in the worker, on the worker's device."""
        ...

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One caption per window, in their order. A window that fails must not fail the others."""
        ...
