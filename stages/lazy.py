"""Imports of our own modules that wait until they are needed.

The command line, the web server and the driver import every phase, and none of av, cv2, torch, PIL and ray: those take
seconds and belong to workers. A package with names that need one of them gives these out by `names`; inside a package,
a light module reaches its heavy neighbour by `load` when the work begins. What users may add is in `stages.registry`.
"""

import importlib
from collections.abc import Callable
from typing import Any

from stages.errors import ParamsError


def load(dotted: str, *, wanted_by: str = "This phase") -> Any:
    """What ``"package.module:name"`` names, imported now.

    Args:
        dotted: module and name.
        wanted_by: who needs it, for the message.

    Raises:
        ParamsError: there is no such module or name, or something that the module imports is not installed.
    """
    try:
        return _import(dotted)
    except (ImportError, AttributeError) as error:
        raise ParamsError(
            f"{wanted_by} requires {dotted}, which cannot be imported: {error}. "
            "Install the extra that it belongs to, or correct the name."
        ) from error


def names(package: str, **modules: tuple[str, ...]) -> Callable[[str], Any]:
    """A package's ``__getattr__`` (PEP 562): it imports a name's module when the name is first asked for.

    Args:
        package: its ``__name__``.
        modules: the names that each of its modules gives out. None may be called like a module of the package, which
            Python puts in the same place.
    """
    homes = {name: f"{package}.{module}" for module, given in modules.items() for name in given}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return _import(f"{homes[name]}:{name}")

    return get


def _import(dotted: str) -> Any:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)
