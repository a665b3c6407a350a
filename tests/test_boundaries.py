"""What importing one half must not pull in, each tried in a clean process."""

import json
import sys

import pytest

from tests.faults.waiting import finished

HEAVY = {"av", "torch", "cv2", "PIL", "transformers", "faiss"}


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = finished([sys.executable, "-c", script])
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_code_location_loads_without_codecs_models_or_ray() -> None:
    assert not (HEAVY | {"ray"}) & modules_after("import curator_dagster.definitions")


@pytest.mark.parametrize("code", ["import curator_dagster", "import curator_dagster.cli"])
def test_package_and_command_line_load_without_dagster(code: str) -> None:
    assert not (HEAVY | {"ray", "dagster", "pyarrow", "numpy"}) & modules_after(code)


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


def test_no_module_of_stages_imports_dagster() -> None:
    code = (
        "import importlib, pkgutil, sys, stages\n"
        "for module in pkgutil.walk_packages(stages.__path__, 'stages.'):\n"
        "    importlib.import_module(module.name)\n"
        "    assert 'dagster' not in sys.modules, module.name\n"
    )
    assert "dagster" not in modules_after(code)
