"""The version of users' own classes: it changes with their code, and with nothing else."""

import importlib
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages import registry
from stages.errors import ParamsError

CLASS = """from stages.filter import Filter
class Overlay(Filter):
    name = 'text_overlay'
    def score(self, clip): return 0.5
"""
FILES = {
    "acme/__init__.py": "",
    "acme/filters/__init__.py": "from .overlay import Overlay",
    "acme/filters/overlay.py": f"from ..measures import text\n{CLASS}",
    "acme/measures/__init__.py": "",
    "acme/measures/text.py": "import neighbour, installed\ndef share(clip):\n    from acme import words\n",
    "acme/words.py": "WORDS = 3\n",
    "acme/unrelated.py": "X = 1\n",
    "neighbour.py": "import json\n",
    "other/__init__.py": "",
    ".venv/lib/python3/site-packages/installed.py": "",
}
NAME = "acme.filters:Overlay"

Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files of a user's project that can be imported; what was imported from it is forgotten."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path / ".venv" / "lib" / "python3" / "site-packages")
    monkeypatch.syspath_prepend(tmp_path)

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in {"acme", "neighbour", "other"}:
                del sys.modules[name]
        importlib.invalidate_caches()

    def put(files: dict[str, str]) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        forget()

    put(FILES)
    yield put
    forget()


def version() -> str:
    (label, value), *more = registry.code_identity("filter", NAME).items()
    assert (label, more) == ("text_overlay's code", [])
    return value


@pytest.mark.parametrize(
    "path",
    [
        "acme/__init__.py",
        "acme/filters/__init__.py",
        "acme/filters/overlay.py",
        "acme/measures/text.py",
        "acme/words.py",
        "neighbour.py",
    ],
)
def test_version_changes_with_the_module_and_with_what_it_imports(write: Write, path: str) -> None:
    before = version()
    assert version() == before
    write({path: FILES[path] + "\nCHANGED = True\n"})
    assert version() != before


@pytest.mark.parametrize(
    "path", ["acme/unrelated.py", "other/__init__.py", ".venv/lib/python3/site-packages/installed.py"]
)
def test_version_stays_where_other_code_changes(write: Write, path: str) -> None:
    before = version()
    write({path: FILES[path] + "\nCHANGED = True\n"})
    assert version() == before


def test_version_stays_where_only_line_ends_change(write: Write) -> None:
    before = version()
    write({"acme/words.py": "WORDS = 3\r\n"})
    assert version() == before


def test_version_does_not_depend_on_where_the_project_lies(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version()
    elsewhere = tmp_path / "elsewhere"
    write({f"elsewhere/{name}": text for name, text in FILES.items()})
    monkeypatch.syspath_prepend(elsewhere)
    assert sys.path[0] == str(elsewhere)
    assert version() == before


def test_version_of_a_module_in_a_zip_file_is_that_of_its_source(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"acme/measures/text.py": "from acme import words\n"})
    before = version()
    with zipfile.ZipFile(tmp_path / "acme.zip", "w") as archive:
        for path in sorted((tmp_path / "acme").rglob("*.py")):
            archive.write(path, path.relative_to(tmp_path))
    write({})
    monkeypatch.syspath_prepend(tmp_path / "acme.zip")
    assert version() == before
    assert "acme.zip" in (sys.modules["acme"].__file__ or "")


def test_declared_version_takes_the_place_of_the_source(write: Write) -> None:
    write({"acme/filters/overlay.py": f"{CLASS}    version = '2'\n"})
    assert version() == "version 2"
    write({"acme/filters/overlay.py": f"# changed\n{CLASS}    version = '2'\n"})
    assert version() == "version 2"


def test_inherited_version_says_nothing_about_the_code_of_a_class(write: Write) -> None:
    base = {"acme/measures/base.py": f"{CLASS}    version = '2'\n"}
    derived = "from acme.measures.base import Overlay as Base\nclass Overlay(Base):\n    name = 'text_overlay'\n"
    write({**base, "acme/filters/overlay.py": derived})
    before = version()
    assert before.startswith("source ")
    write({"acme/filters/overlay.py": f"{derived}    changed = True\n"})
    assert version() != before


def test_version_is_that_of_the_code_that_was_loaded(write: Write, tmp_path: Path) -> None:
    before = version()
    (tmp_path / "acme/words.py").write_text("WORDS = 4\n")  # an editor, while this process goes on
    assert version() == before
    write({})
    assert version() != before


def test_version_of_code_that_imports_what_cannot_be_imported_here(write: Write) -> None:
    """A package that needs a GPU, and a module for a newer Python, are imported by the worker only."""
    code = f"{CLASS}    def setup(self, worker):\n        import acme.gpu.network, acme.newer\n"
    write({"acme/gpu/__init__.py": "raise OSError('no GPU')\n", "acme/gpu/network.py": "X = 1\n"})
    write({"acme/newer.py": "match x:\n  case\n", "acme/filters/overlay.py": code})
    before = version()
    write({"acme/gpu/network.py": "X = 2\n"})
    second = version()
    write({"acme/newer.py": "match x:\n  case 1\n"})
    assert len({before, second, version()}) == 3


@pytest.mark.parametrize("declared", ["''", "1.5", "True", "['1']"])
def test_declared_version_must_be_a_text_or_a_number(write: Write, declared: str) -> None:
    write({"acme/filters/overlay.py": f"{CLASS}    version = {declared}\n"})
    with pytest.raises(ParamsError, match=r"The version of acme\.filters:Overlay must be a text or a whole number"):
        registry.code_identity("filter", NAME)


def test_class_without_a_file_must_declare_a_version(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    write({"acme/filters/__init__.py": f"{CLASS}Overlay.__module__ = 'nowhere'\n"})
    with pytest.raises(ParamsError, match="must come from a file"):
        registry.code_identity("filter", NAME)


def test_bundled_classes_have_the_version_of_their_phase() -> None:
    assert [registry.code_identity(kind, name) for kind, name in registry.TABLE] == [{}] * len(registry.TABLE)
