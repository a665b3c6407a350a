"""Two runs at once of one partition, of which one knows newer sources, or has other parameters.

1. The newest version of the table is that of the newer view, whoever commits first; of equal views, that of the run
   that started later.
2. The run that does not prevail says so, with the other's version and why; with other parameters it ends there.
3. The run that prevails says what it was committed over.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from stages.manifest import read_manifest
from stages.params import ReadParams
from stages.sources import Source, register_sources
from stages.storage import Storage
from tests.faults.gated_run import wait_for

pytestmark = pytest.mark.system

OLD, NEW = Source("/videos/a.mp4", "1", 1), Source("/videos/a.mp4", "2", 1)
CASES = list(product(["sources", "params"], ["earlier first", "later first"]))


@contextmanager
def running(name: str, cases: list[dict[str, Any]]) -> Iterator[None]:
    """A process that serves the cases; fails unless it ends well."""
    request = json.dumps({"name": name, "factor": 1 if name == "earlier" else 2, "cases": cases})
    process = subprocess.Popen([sys.executable, "-m", "tests.faults.gated_run", request])
    try:
        yield
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()


def run_both(gates: Path, storage: Storage, what: str, order: str) -> dict[str, dict[str, Any]]:
    """Let both runs plan, then commit in this order; returns what became of each, by its name."""
    (gates / "earlier.start").touch()
    wait_for(gates / "earlier.working")
    if what == "sources":
        register_sources(storage, [NEW], ReadParams())
    (gates / "later.start").touch()
    wait_for(gates / "later.working")
    done: dict[str, dict[str, Any]] = {}
    for name in ("earlier", "later") if order == "earlier first" else ("later", "earlier"):
        (gates / f"{name}.go").touch()
        wait_for(gates / f"{name}.done")
        done[name] = json.loads((gates / f"{name}.done").read_text())
    return done


def check_case(what: str, order: str, root: str, done: dict[str, dict[str, Any]]) -> None:
    (row,) = [row for row in read_manifest(root, "videos").to_pylist() if row["etag"] == OLD.etag]
    assert (row["reason"], row["width"]) == (("superseded", None) if what == "sources" else (None, 2))
    if order == "earlier first":
        assert done["later"]["supersedes"].startswith("version 1 of run 1 (")
        assert (done["earlier"]["superseded"], done["later"]["superseded"]) == ("", "")
        assert done["later"]["commit"] == 2
    elif what == "sources":
        assert done["earlier"]["superseded"].startswith("version 1 of run 2 (")
        assert done["earlier"]["superseded"].endswith("which has a newer view of the sources")
        assert (done["earlier"]["commit"], done["earlier"]["counts"]["rejected"]) == (1, 1)
    else:
        assert "videos of partition" in done["earlier"]["error"]
        assert (
            "which started later; against it, this run has read.factor changed from 2 to 1" in done["earlier"]["error"]
        )


def check_all(folder: Path, base: str) -> None:
    cases = []
    for number, (what, order) in enumerate(CASES):
        gates = folder / f"gates-{number}"
        gates.mkdir()
        root = f"{base}/root-{number}"
        (partition,) = register_sources(Storage(root), [OLD], ReadParams())
        case = {"root": root, "partition": partition, "gates": str(gates), "is_other": what == "params"}
        cases.append((what, order, case))
    with ExitStack() as stack:
        for name in ("earlier", "later"):
            stack.enter_context(running(name, [case for _, _, case in cases]))
        for what, order, case in cases:
            check_case(what, order, case["root"], run_both(Path(case["gates"]), Storage(case["root"]), what, order))


def test_newer_view_and_later_parameters_prevail_in_a_folder(tmp_path: Path) -> None:
    check_all(tmp_path, str(tmp_path))


def test_newer_view_and_later_parameters_prevail_in_a_bucket(tmp_path: Path, s3_bucket: str) -> None:
    check_all(tmp_path, s3_bucket)
