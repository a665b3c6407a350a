"""Imports the package `stages` that is installed beside this one, also in a project that has a folder of that name.

The search path of the package begins at the bundled folder. Modules that only the project's own `stages` has are still
found under that name.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

PACKAGE = "stages"
BUNDLED_PATH = str(Path(__file__).resolve().parent.parent / PACKAGE)


class _SearchPath:
    """Folders to search for submodules: the bundled one first, then each folder of that name on `sys.path`."""

    def __iter__(self) -> Iterator[str]:
        yield BUNDLED_PATH
        for entry in sys.path:
            place = os.path.join(entry or os.getcwd(), PACKAGE)
            if os.path.isdir(place) and not os.path.samefile(place, BUNDLED_PATH):
                yield place


def import_bundled_stages() -> ModuleType:
    """Make `stages` name the bundled package in this process; called again, it changes nothing.

    Raises:
        ImportError: another package `stages` is imported, with a module whose name the bundled package has too.
    """
    package = sys.modules.get(PACKAGE)
    if package is None:
        spec = importlib.util.spec_from_file_location(PACKAGE, os.path.join(BUNDLED_PATH, "__init__.py"))
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[PACKAGE] = package
        spec.loader.exec_module(package)
    else:
        _reject_foreign_modules(package)
    package.__path__ = _SearchPath()  # type: ignore[assignment]  # importlib takes whatever can be iterated
    return package


def _reject_foreign_modules(package: ModuleType) -> None:
    """A module of another package `stages`, imported before, would be used instead of the bundled one of its name."""
    bundled = {name.removesuffix(".py") for name in os.listdir(BUNDLED_PATH)}
    for name, module in sys.modules.items():
        parent, _, child = name.partition(".")
        file = getattr(module, "__file__", None) or ""
        if parent == PACKAGE and child in bundled and not file.startswith(BUNDLED_PATH + os.sep):
            raise ImportError(
                f"curator_dagster must be imported before a module {name} of the project's own, or that one be called "
                f"otherwise: the package {PACKAGE} of curator_dagster has a module of that name. Got {file}."
            )
