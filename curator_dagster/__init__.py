"""The Dagster side: declares, schedules and reports; the work itself is in `stages`.

Names are loaded when they are first asked for: every `dg` command imports this package, and so does `curator --help`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from curator_dagster.own_stages import import_stages

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

import_stages()

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
    """A public name, from the module that holds it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """What `dg` looks through for components, and so loads: no more than there is already, and the component."""
    return [*globals(), "VideoCurationComponent"]
