"""Imports of this project's own modules on first use.

The command line, the web server and the driver import every phase, but none of av, cv2, torch, PIL and ray: these take
seconds to import and are needed by workers only. A package exports names that need one of them by `module_getattr`;
inside a package, a light module calls `load` for a heavy one when the work begins. `stages.registry` has the plug-ins.
"""

import importlib
from collections.abc import Callable
from typing import Any

from stages.errors import ParamsError

_OWN_PACKAGES = {"stages", "curator_dagster"}


def load(dotted: str, *, wanted_by: str = "This phase") -> Any:
    """Import and return the object that ``"package.module:name"`` names.

    Args:
        dotted: module and name.
        wanted_by: the part that needs it, for the message.

    Raises:
        ParamsError: there is no such module or name, or something that the module imports is not installed.
    """
    try:
        return _import(dotted)
    except (ImportError, AttributeError) as error:
        raise ParamsError(
            f"{wanted_by} requires {dotted}, which cannot be imported: {error}. {_advice(dotted, error)}"
        ) from error


def _advice(dotted: str, error: ImportError | AttributeError) -> str:
    """What to do about an import that failed. Extras exist of this project alone, not of a user's own module."""
    module, _, name = dotted.partition(":")
    top = module.partition(".")[0]
    if top in _OWN_PACKAGES:
        return "Install the extra that it belongs to, or correct the name."
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module}.".startswith(f"{missing}."):
        return f"Correct the name, install the package of {missing}, or put the folder that holds it on PYTHONPATH."
    if missing:
        return f"Install {missing}, which {module} imports."
    return (
        f"Correct the name, or define {name} in {module}." if isinstance(error, AttributeError) else f"Mend {module}."
    )


def module_getattr(package: str, **modules: tuple[str, ...]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package (PEP 562) that imports the module of a name when the name is first accessed.

    Args:
        package: its ``__name__``.
        modules: by module of the package, the names that it exports. None may equal the name of a module of the
            package, which Python sets as an attribute of the package too.
    """
    module_of_name = {name: f"{package}.{module}" for module, attributes in modules.items() for name in attributes}

    def get(name: str) -> Any:
        if name not in module_of_name:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return _import(f"{module_of_name[name]}:{name}")

    return get


def _import(dotted: str) -> Any:
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)
