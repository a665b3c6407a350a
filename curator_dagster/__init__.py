"""The Dagster side: declares, schedules and reports; the work itself is in `stages`.

Names are loaded when they are first asked for: every `dg` command imports this package, and so does `curator --help`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator_dagster.curation import Curation
    from curator_dagster.definitions import curation_definitions, defs
    from curator_dagster.resources import RayPool, Storage

__all__ = ["Curation", "RayPool", "Storage", "curation_definitions", "defs"]

_MODULES = {
    "Curation": "curation",
    "RayPool": "resources",
    "Storage": "resources",
    "curation_definitions": "definitions",
    "defs": "definitions",
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that holds it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
