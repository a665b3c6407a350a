"""The version of a user's own class: the one that it declares, or a hash of its source.

The hash covers the modules of the class and of its base classes, and every module that these import, directly or not,
from the user's own code, with the ``__init__.py`` of the packages above. The user's own code is the top-level package
or module of the class; where that lies in a folder of a project (not among installed packages), it is all that lies in
this folder. Not covered are files that are no Python, such as weights and word lists, which a plug-in names in its
`identity`, and modules that are imported by a text (`importlib.import_module(name)`). A plug-in that depends on these
declares a version.
"""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from stages.errors import ParamsError
from stages.registry.table import load

HASH_DIGITS = 12
_BUNDLED = {"stages", "curator_dagster"}
"""Top-level packages whose versions are those of their phases."""
_INSTALLED_FOLDERS = {"site-packages", "dist-packages"}
"""Names of folders whose packages are installed, in a virtual environment inside of a project too."""

_VERSIONS: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()
"""Versions of classes as they were when they were loaded: their files may be edited while this process works."""


def code_identity(kind: str, name: str) -> dict[str, str]:
    """What enters the row keys for the code of a plug-in: nothing for a bundled one, else one entry.

    The entry's key is a readable label, such as "text_overlay's code"; its value is "version 2" where the class
    declares ``version = "2"`` itself, else "source 0f3a..." with a hash of the source.

    Raises:
        ParamsError: the class cannot be loaded, its declared version is no text or number, or it has no source file.
    """
    if ":" not in name:
        return {}
    loaded = load(kind, name)
    if loaded not in _VERSIONS:
        _VERSIONS[loaded] = _code_version(loaded, name)
    label = getattr(loaded, "name", None)
    return {f"{label if isinstance(label, str) else name}'s code": _VERSIONS[loaded]}


def _code_version(loaded: type[Any], name: str) -> str:
    # One that is inherited says nothing about the code of this class.
    declared = vars(loaded).get("version")
    if declared is None:
        return f"source {_source_hash(loaded, name)}"
    if isinstance(declared, bool) or not isinstance(declared, str | int) or declared == "":
        raise ParamsError(f"The version of {name} must be a text or a whole number, got {declared!r}.")
    return f"version {declared}"


def _source_hash(loaded: type[Any], name: str) -> str:
    if _find_spec(loaded.__module__) is None:
        raise ParamsError(
            f"{name} must come from a file, so that a change of its code is noticed; its module {loaded.__module__!r} "
            'has none. Move it into a module, or declare its version: `version = "1"`.'
        )
    own = _OwnCode(loaded.__module__)
    contents: dict[str, bytes] = {}
    pending = [base.__module__ for base in inspect.getmro(loaded)]
    while pending:
        module = pending.pop()
        if module in contents or not own.holds(module) or (spec := _find_spec(module)) is None:
            continue
        contents[module] = _content(spec)
        pending.extend(_imported_modules(own, module, spec))
    for module in list(contents):  # what their imports bring is followed only where they are imported themselves
        for package in _packages_above(module):
            if package not in contents and (spec := _find_spec(package)) is not None:
                contents[package] = _content(spec)
    hasher = hashlib.sha256()
    for module, data in sorted(contents.items()):
        hasher.update(f"{module} {len(data)}\n".encode())
        hasher.update(data)
    return hasher.hexdigest()[:HASH_DIGITS]


class _OwnCode:
    """Tells the user's own modules from bundled, standard and installed ones."""

    def __init__(self, module: str) -> None:
        self._top = module.partition(".")[0]
        file = _origin(_find_spec(self._top))
        folder = None
        if file is not None and not _is_installed(file):
            folder = file.parent.parent if file.name.startswith("__init__.") else file.parent
        self._folder = folder

    def holds(self, module: str) -> bool:
        """True for a module of the user's own code."""
        top = module.partition(".")[0]
        if top == self._top:
            return True
        if self._folder is None or not top or top in _BUNDLED or top in sys.stdlib_module_names:
            return False
        file = _origin(_find_spec(top))
        return file is not None and file.is_relative_to(self._folder) and not _is_installed(file)


def _is_installed(file: Path) -> bool:
    return not _INSTALLED_FOLDERS.isdisjoint(file.parts)


def _find_spec(module: str) -> ModuleSpec | None:
    """The spec of a module, found without importing the packages above it; None where there is none."""
    top, *names = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # no name of a module; `__main__`
        return None
    found = top
    for name in names:
        if spec is None or spec.submodule_search_locations is None:
            return None
        found = f"{found}.{name}"
        spec = PathFinder.find_spec(found, list(spec.submodule_search_locations))
    return spec


def _origin(spec: ModuleSpec | None) -> Path | None:
    return Path(spec.origin).resolve() if spec is not None and spec.has_location and spec.origin else None


def _content(spec: ModuleSpec) -> bytes:
    """The bytes of a module's file, with line ends as on Linux; also from a zip file. A namespace package has none."""
    if spec.loader is None or spec.origin is None or not spec.has_location:
        return b""
    loader: Any = spec.loader
    data: bytes = loader.get_data(spec.origin)
    return data.replace(b"\r\n", b"\n") if spec.origin.endswith(".py") else data


def _imported_modules(own: _OwnCode, module: str, spec: ModuleSpec) -> Iterator[str]:
    """The modules that a module imports anywhere in its source; none where this Python cannot parse it."""
    if spec.origin is None or not spec.origin.endswith(".py"):
        return
    try:
        tree = ast.parse(_content(spec))
    except SyntaxError:  # imported under a newer Python only, if at all
        return
    package = module if spec.submodule_search_locations is not None else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            if not own.holds(base):
                continue
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            existing = [name for name in submodules if _find_spec(name) is not None]
            yield from existing
            if len(existing) < len(submodules):  # a name that the package itself defines
                yield base


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _packages_above(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts)))
