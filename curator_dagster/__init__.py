"""The Dagster side: declares assets, schedules runs and reports results; `stages` does the work.

Public names are imported on first access, because every `dg` command and `curator --help` import this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

from curator_dagster.bundled_stages import import_bundled_stages

if TYPE_CHECKING:
    from curator_dagster.component import VideoCurationComponent
    from curator_dagster.curation import Curation
    from curator_dagster.curation_in_dagster import curation_definitions
    from curator_dagster.definitions import defs
    from curator_dagster.resources import RayPool, Storage
    from curator_dagster.watch.source import SourceBucket
    from stages.dataset import ClipDataset, open_dataset
    from stages.search import search

__all__ = [
    "ClipDataset",
    "Curation",
    "RayPool",
    "SourceBucket",
    "Storage",
    "VideoCurationComponent",
    "curation_definitions",
    "defs",
    "open_dataset",
    "search",
]

import_bundled_stages()

_MODULES = {
    "ClipDataset": "stages.dataset",
    "Curation": "curator_dagster.curation",
    "RayPool": "curator_dagster.resources",
    "SourceBucket": "curator_dagster.watch.source",
    "Storage": "curator_dagster.resources",
    "VideoCurationComponent": "curator_dagster.component",
    "curation_definitions": "curator_dagster.curation_in_dagster",
    "defs": "curator_dagster.definitions",
    "open_dataset": "stages.dataset",
    "search": "stages.search",
}
"""By name, so that no import statement leads from here to torch and FFmpeg, which reading a dataset takes."""


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Names that `dg` inspects for components, and so imports: those imported already, and the component."""
    return [*globals(), "VideoCurationComponent"]
