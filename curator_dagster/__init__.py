"""The Dagster side: declares assets, schedules runs and reports results; `stages` does the work.

Public names are imported on first access, because every `dg` command and `curator --help` import this package.
"""

import importlib
from typing import TYPE_CHECKING, Any

from curator_dagster.bundled_stages import import_bundled_stages

if TYPE_CHECKING:
    from curator_dagster.component import VideoCurationComponent
    from curator_dagster.curation import Curation
    from curator_dagster.definitions import curation_definitions, defs
    from curator_dagster.resources import RayPool, Storage
    from curator_dagster.watch.source import SourceBucket

__all__ = [
    "Curation",
    "RayPool",
    "SourceBucket",
    "Storage",
    "VideoCurationComponent",
    "curation_definitions",
    "defs",
]

import_bundled_stages()

_MODULES = {
    "Curation": "curation",
    "RayPool": "resources",
    "SourceBucket": "watch.source",
    "Storage": "resources",
    "VideoCurationComponent": "component",
    "curation_definitions": "definitions",
    "defs": "definitions",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Names that `dg` inspects for components, and so imports: those imported already, and the component."""
    return [*globals(), "VideoCurationComponent"]
