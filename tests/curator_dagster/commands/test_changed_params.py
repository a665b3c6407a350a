"""A run that makes tables with other parameters than before says so first, and asks on a terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app
from stages.manifest import ManifestRef, committed_partitions, last_commit
from stages.storage import Storage
from tests.curator_dagster.conftest import write_sources

LINE = "made with other parameters than before: clips: split.threshold changed from 0.4 to 0.3"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    source = write_sources(tmp_path / "sources", ("a", "b"))
    return ["run", str(source), "--root", str(tmp_path / "root"), "--set", "executor.mode=local", "--until", "clips"]


def versions(tmp_path: Path) -> list[int]:
    storage = Storage(str(tmp_path / "root"))
    refs = [ManifestRef(storage.root, "clips", key) for key in committed_partitions(storage, "clips")]
    return [commit.number for ref in refs if (commit := last_commit(storage, ref))]


@pytest.mark.usefixtures("_tiny_phases")
def test_run_without_a_terminal_says_so_and_goes_on(arguments: list[str], tmp_path: Path) -> None:
    changed = [*arguments, "--set", "split.threshold=0.3"]
    results = [CliRunner().invoke(app, given) for given in (arguments, arguments, changed, changed, arguments)]
    assert [result.exit_code for result in results] == [0] * 5
    assert [LINE in " ".join(result.stderr.split()) for result in results] == [False, False, True, False, False]
    assert "split.threshold changed from 0.3 to 0.4" in " ".join(results[4].stderr.split())
    back = " ".join(results[4].stdout.split())
    assert "because split.threshold changed from 0.3 to 0.4, rows made earlier are used again" in back
    assert versions(tmp_path) == [3]


PROGRAM = """
import sys
from stages.run.phases import PHASE_CLASSES
from tests.curator_dagster import tiny_phases
from curator_dagster.cli import main
PHASE_CLASSES.update(tiny_phases.PHASES)
main()
"""


def on_a_terminal(arguments: list[str], answer: str) -> tuple[int, str]:
    """Exit code and standard error of the command where standard input is a terminal at which a person answers."""
    terminal, end = os.openpty()
    env = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    try:
        os.write(terminal, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=end,
            capture_output=True,
            text=True,
            check=False,
            env={**env, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
    finally:
        os.close(end)
        os.close(terminal)
    return done.returncode, done.stderr


@pytest.mark.system
def test_run_asks_on_a_terminal(arguments: list[str], tmp_path: Path) -> None:
    changed = [*arguments, "--set", "split.threshold=0.3"]
    assert on_a_terminal(arguments, "")[0] == 0
    code, printed = on_a_terminal(changed, "n")
    assert (code, versions(tmp_path)) == (130, [1])
    assert LINE in " ".join(printed.split())
    assert "Go on?" in printed
    assert "Nothing was curated; new videos are registered." in printed
    code, printed = on_a_terminal([*changed, "--yes"], "")
    assert (code, versions(tmp_path), "Go on?" in printed) == (0, [2], False)
    code, printed = on_a_terminal(arguments, "y")
    assert (code, versions(tmp_path), "Go on?" in printed) == (0, [3], True)
