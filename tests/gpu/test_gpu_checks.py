"""The checks for a GPU, on a CPU against the CPU: that their code works, and without what such a machine may lack."""

import sys
from pathlib import Path

import pytest

from tests.faults.waiting import run_command
from tests.gpu import batches, faults, networks, report
from tests.gpu.report import Result
from tests.gpu.setting import Setting

pytest.importorskip("transformers")

WITHOUT = """
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "av", "pydantic", "pyarrow", "dagster", "curator_dagster", "faiss"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv[1:] = ["--device", "cpu"]
runpy.run_module("tests.gpu", run_name="__main__")
"""


@pytest.mark.system
def test_all_checks_run_on_a_cpu_without_ray_ffmpeg_and_pydantic() -> None:
    done = run_command([sys.executable, "-c", WITHOUT])
    lines = [line.strip("|").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]
    results = {(cells[0].strip(), cells[1]): cells[4] for cells in lines[2:]}
    not_run = {key for key, outcome in results.items() if outcome == "not run"}
    assert not_run == {(batches.BACK_OFF, "CLIP ViT-B/32's size, bounded memory"), (faults.CHECK, faults.OF)}
    assert set(results.values()) == {"passed", "measured", "not run"}
    same = {of for check, of in results if check == networks.SAME}
    assert {"TransNetV2", "EfficientNet-Lite0", *networks.ENCODERS} < same
    assert " 0 failed" in done.stdout.splitlines()[-1]


def test_back_off_loses_no_unit(tmp_path: Path) -> None:
    outcomes = [result.outcome for result in batches.back_off(Setting("cpu", tmp_path))]
    assert outcomes == ["passed", "passed"]


def test_company_is_looked_at_in_every_place(tmp_path: Path) -> None:
    assert [result.outcome for result in batches.company(Setting("cpu", tmp_path))] == ["passed", "passed"]


def test_a_check_that_raises_fails_and_the_others_are_run() -> None:
    def broken() -> list[Result]:
        raise RuntimeError("CUDA error: no kernel image\nmore")

    def fine() -> list[Result]:
        return [report.at_most("same", "x", 0.5, 1.0), report.at_most("same", "y", float("nan"), 1.0)]

    found = [result for result, _ in report.run([("first", broken), ("second", fine)])]
    assert [result.outcome for result in found] == ["failed", "passed", "failed"]
    assert found[0].found == "RuntimeError: CUDA error: no kernel image more"
    assert report.summary(found) == "1 passed, 2 failed, 0 measured, 0 not run"
    assert report.line(found[1], 0.04) == "| same | x | 5.0e-01 | at most 1e+00 | passed | 0.0 |"


def test_differences_count_nan_as_a_failure() -> None:
    assert not networks.relative([1.0, float("nan")], [1.0, 2.0]) <= 1
    assert networks.relative([1.0, 2.5], [1.0, 2.0]) == 0.25
