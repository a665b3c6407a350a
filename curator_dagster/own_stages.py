"""The package `stages` that belongs to this one, also in a project that has a folder of that name.

Whatever is found first on the path under the name `stages`, here it is the one that lies beside this package. Modules
that only the project's own has are still found by its name.
"""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

NAME = "stages"
OURS = str(Path(__file__).resolve().parent.parent / NAME)


class _Places:
    """Where submodules are looked for: here first, then wherever the path has a folder of that name."""

    def __iter__(self) -> Iterator[str]:
        yield OURS
        for entry in sys.path:
            place = os.path.join(entry or os.getcwd(), NAME)
            if os.path.isdir(place) and not os.path.samefile(place, OURS):
                yield place


def import_stages() -> ModuleType:
    """Make `stages` ours in this process, if it is not yet.

    Raises:
        ImportError: it is another package already, from which modules were imported that ours has too.
    """
    package = sys.modules.get(NAME)
    if package is None:
        spec = importlib.util.spec_from_file_location(NAME, os.path.join(OURS, "__init__.py"))
        assert spec is not None
        assert spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = package
        spec.loader.exec_module(package)
    else:
        _refuse_mixture(package)
    package.__path__ = _Places()  # type: ignore[assignment]  # importlib takes whatever can be iterated
    return package


def _refuse_mixture(package: ModuleType) -> None:
    """Modules of another package `stages` that were imported under names of ours would be taken for ours."""
    ours = {name.removesuffix(".py") for name in os.listdir(OURS)}
    for name, module in sys.modules.items():
        parent, _, child = name.partition(".")
        where = getattr(module, "__file__", None) or ""
        if parent == NAME and child in ours and not where.startswith(OURS + os.sep):
            raise ImportError(
                f"curator_dagster must be imported before a module {name} of the project's own, or that one be called "
                f"otherwise: the package {NAME} of curator_dagster has a module of that name. Got {where}."
            )
