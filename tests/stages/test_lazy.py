import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import stages
from stages import lazy
from stages.errors import ParamsError

PACKAGES = [module.name for module in pkgutil.iter_modules(stages.__path__, "stages.") if module.ispkg]


def test_load_imports_what_is_named() -> None:
    assert lazy.load("fractions:Fraction").__name__ == "Fraction"


@pytest.mark.parametrize(
    ("dotted", "missing"), [("nowhere.at_all:Name", "No module named 'nowhere'"), ("fractions:Nothing", "'Nothing'")]
)
def test_load_rejects_what_is_not_there(dotted: str, missing: str) -> None:
    with pytest.raises(ParamsError, match=f"A test requires {dotted}, which cannot be imported: .*{missing}"):
        lazy.load(dotted, wanted_by="A test")


@pytest.mark.parametrize(
    ("dotted", "advice"),
    [
        ("stages.models.nothing:Name", "Install the extra"),
        ("nowhere.at_all:Name", "or put the folder that holds it on PYTHONPATH"),
        ("their_filters:Nothing", "Correct the name, or define Nothing in their_filters"),
        ("their_filters.blur:Blur", "Install not_installed, which their_filters.blur imports"),
    ],
)
def test_load_tells_of_extras_only_for_modules_of_this_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dotted: str, advice: str
) -> None:
    (tmp_path / "their_filters").mkdir()
    (tmp_path / "their_filters" / "__init__.py").touch()
    (tmp_path / "their_filters" / "blur.py").write_text("import not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ParamsError, match=advice) as raised:
        lazy.load(dotted)
    assert ("extra" in str(raised.value)) is dotted.startswith("stages.")


def test_package_rejects_a_name_that_it_does_not_export() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from stages.media import nothing  # noqa: F401  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_of_a_package_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__, package
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_called_like_a_module_of_its_package(package: str) -> None:
    """Importing the module would put it in the place of the name."""
    module = importlib.import_module(package)
    assert not set(module.__all__) & {each.name for each in pkgutil.iter_modules(module.__path__)}


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_names_that_are_imported_late(package: str) -> None:
    """An ``if TYPE_CHECKING`` of a package names what its ``__getattr__`` gives out, from the same modules."""
    source = importlib.import_module(package).__file__
    assert source is not None
    branches = [node for node in ast.parse(Path(source).read_text()).body if isinstance(node, ast.If)]
    for branch in branches:
        imports = [node for node in branch.body if isinstance(node, ast.ImportFrom)]
        (call,) = [node for node in ast.walk(ast.Module(branch.orelse, [])) if isinstance(node, ast.Call)]
        modules = {f"{package}.{keyword.arg}": ast.literal_eval(keyword.value) for keyword in call.keywords}
        assert {each.module: tuple(alias.name for alias in each.names) for each in imports} == modules
    late = ("dataset", "dedup", "executors", "media", "models", "search", "signals")
    assert bool(branches) == (package in {f"stages.{name}" for name in late})
