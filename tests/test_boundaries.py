"""What importing one half must not pull in, each tried in a clean process; and what the import contracts cover."""

import ast
import json
import pkgutil
import sys
import tomllib
from pathlib import Path

import pytest

import stages
from tests.faults.waiting import run_command

HEAVY = {"av", "torch", "cv2", "PIL", "transformers", "faiss", "onnxruntime", "rapidocr"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = run_command([sys.executable, "-c", script])
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_code_location_loads_without_codecs_models_pandas_or_ray() -> None:
    assert not (HEAVY | {"ray", "pandas"}) & modules_after("import curator_dagster.definitions")


@pytest.mark.parametrize("code", ["import curator_dagster", "import curator_dagster.cli"])
def test_package_and_command_line_load_without_dagster(code: str) -> None:
    assert not (HEAVY | {"ray", "dagster", "pyarrow", "numpy"}) & modules_after(code)


@pytest.mark.parametrize("name", ["run_and_retry", "direct_run", "dry_run"])
def test_a_run_without_an_instance_loads_without_dagster(name: str) -> None:
    assert not (HEAVY | {"ray", "dagster", "pandas"}) & modules_after(f"import curator_dagster.commands.{name}")


def test_phases_are_built_without_codecs_or_models() -> None:
    code = (
        "from stages import params\nfrom stages.run.phases import PHASE_CLASSES\n"
        "for name, kind in params.PHASES.items(): PHASE_CLASSES[name](kind(), '/nowhere').pipeline().build()"
    )
    assert not (HEAVY | {"ray", "dagster"}) & modules_after(code)


def test_every_package_of_stages_is_entered_without_codecs_models_or_ray() -> None:
    code = (
        "import importlib, pkgutil, stages\n"
        "for module in pkgutil.iter_modules(stages.__path__, 'stages.'): importlib.import_module(module.name)"
    )
    assert not (HEAVY | {"ray", "dagster"}) & modules_after(code)


@pytest.mark.system
def test_no_module_of_stages_imports_dagster() -> None:
    code = (
        "import importlib, pkgutil, sys, stages\n"
        "for module in pkgutil.walk_packages(stages.__path__, 'stages.'):\n"
        "    try:\n"
        "        importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert error.name == 'cosmos_xenna', module.name\n"  # of an extra with an environment of its own
        "    assert 'dagster' not in sys.modules, module.name\n"
    )
    assert "dagster" not in modules_after(code)


PROJECT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
PACKAGES = {module.name for module in pkgutil.iter_modules(stages.__path__) if module.ispkg}


def test_every_package_of_stages_has_a_contract_on_its_public_interface() -> None:
    protected = {
        tuple(contract["protected_modules"]): contract["allowed_importers"]
        for contract in CONTRACTS
        if contract["type"] == "protected"
    }
    for name in PACKAGES:
        assert protected[(f"stages.{name}.*",)] == [f"stages.{name}"]


def test_what_curator_dagster_may_enter_is_decided_for_every_unit_of_stages() -> None:
    (contract,) = [each for each in CONTRACTS if each.get("allow_indirect_imports")]
    allowed = {"run", "pictures", "maintenance", "search", "sources", "manifest", "write", "params", "storage"}
    allowed |= {"schemas", "table_names", "errors", "tasks", "retry", "run_records"}
    forbidden = {name.removeprefix("stages.") for name in contract["forbidden_modules"]}
    assert not allowed & forbidden
    assert allowed | forbidden == {module.name for module in pkgutil.iter_modules(stages.__path__)}


def test_late_imports_stay_inside_their_package() -> None:
    """import-linter reads no strings, so that a late import could reach past a public interface."""
    seen = 0
    for path in (PROJECT / "stages").rglob("*.py"):
        package = path.relative_to(PROJECT).parts[1]
        values = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        dotted = [value for value in values if str(value).startswith("stages.") and ":" in str(value)]
        if path.name != "table.py" or package != "registry":
            assert all(str(value).startswith(f"stages.{package}.") for value in dotted), (path, dotted)
            seen += len(dotted)
    assert seen >= 8
