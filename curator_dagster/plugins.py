"""What a filter, splitter, embedder or captioner of your own is made from: base classes, their inputs and outputs.

Names are imported on first access (PEP 562): the modules of `stages` stay out of a code location until a class of
your own is imported, and none of them brings a codec or a model library. docs/extending.md has a complete package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stages.errors import ParamsError, Reason, StageError
    from stages.filter import Filter, Limit, Scores
    from stages.models import (
        BatchedEmbedder,
        Caption,
        Captioner,
        CaptionInput,
        Embedder,
        ModelIdentity,
        file_hash,
        mean_pool,
    )
    from stages.params import CaptionParams, EmbedParams, SplitParams
    from stages.split import Piece, Shot, Splitter, Timeline, Transition, TransitionDetector
    from stages.stage import NodeInfo, WorkerMetadata
    from stages.tasks import Clip, Failed, Frames, Size, Span

__all__ = [
    "BatchedEmbedder",
    "Caption",
    "CaptionInput",
    "CaptionParams",
    "Captioner",
    "Clip",
    "EmbedParams",
    "Embedder",
    "Failed",
    "Filter",
    "Frames",
    "Limit",
    "ModelIdentity",
    "NodeInfo",
    "ParamsError",
    "Piece",
    "Reason",
    "Scores",
    "Shot",
    "Size",
    "Span",
    "SplitParams",
    "Splitter",
    "StageError",
    "Timeline",
    "Transition",
    "TransitionDetector",
    "WorkerMetadata",
    "file_hash",
    "mean_pool",
]

_NAMES = {
    "errors": ("ParamsError", "Reason", "StageError"),
    "filter": ("Filter", "Limit", "Scores"),
    "models": (
        "BatchedEmbedder",
        "Caption",
        "Captioner",
        "CaptionInput",
        "Embedder",
        "ModelIdentity",
        "file_hash",
        "mean_pool",
    ),
    "params": ("CaptionParams", "EmbedParams", "SplitParams"),
    "split": ("Piece", "Shot", "Splitter", "Timeline", "Transition", "TransitionDetector"),
    "stage": ("NodeInfo", "WorkerMetadata"),
    "tasks": ("Clip", "Failed", "Frames", "Size", "Span"),
}
"""By package or module of `stages`, the names that it gives; those of the imports above."""
_MODULE_OF_NAME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from the part of `stages` that defines it."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"stages.{_MODULE_OF_NAME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
