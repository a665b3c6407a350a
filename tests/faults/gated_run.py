"""Runs of `read` that plan, wait in the midst of their work, and commit when they are told to.

`python -m tests.faults.gated_run '{"name": "a", "factor": 1, "cases": [{"root": ..., "gates": ..., ...}]}'`: in the
folder of gates ``a.start`` lets a run begin, ``a.working`` says that it has planned and works, ``a.go`` lets it go on,
``a.done`` holds what became of it.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from stages.errors import PhaseError, Reason
from stages.manifest import ManifestRef
from stages.params import ExecutorParams
from stages.pipeline import Pipeline
from stages.read import ReadPhase
from stages.run import open_session
from stages.run.phases import PHASE_CLASSES
from stages.stage import ProcessingStage
from stages.tasks import Rejected, VideoTask
from tests.faults.waiting import wait_until
from tests.phases import ScaledParams, collect_toy


def wait_for(gate: Path) -> None:
    """Wait until a file is there."""
    wait_until(gate.exists, describe=lambda: f"{gate} is not there")


class GatedStage(ProcessingStage[VideoTask, VideoTask]):
    """Waits for the gate once, then rejects what the register says was listed again."""

    name = "gated"

    def __init__(self, gate: str, factor: int) -> None:
        self.gate = gate
        self.factor = factor

    def process(self, task: VideoTask) -> VideoTask | Rejected:
        Path(f"{self.gate}.working").touch()
        wait_for(Path(f"{self.gate}.go"))
        if task.data.columns["superseded"]:
            return Rejected(Reason.SUPERSEDED, "listed again")
        return replace(task, data=replace(task.data, columns={**task.data.columns, "width": self.factor}))


class GatedPhase(ReadPhase):
    """`read` without looking into videos."""

    gate: ClassVar[str] = ""

    def pipeline(self) -> Pipeline:
        factor = self.params.factor if isinstance(self.params, ScaledParams) else 1
        return Pipeline("gated", [GatedStage(self.gate, factor)], collect=collect_toy)


def run(root: str, partition: str, params: ScaledParams) -> dict[str, Any]:
    """What became of the run: its report, or the error by which it ended."""
    with open_session(ExecutorParams(mode="local")) as session:
        try:
            reports = session.run_phase(params, {}, [ManifestRef(root, "videos", partition)])
        except PhaseError as error:
            return {"error": str(error)}
    return asdict(reports[partition])


def main(request: dict[str, Any]) -> None:
    """Serve the request, one case after another."""
    PHASE_CLASSES["read"] = GatedPhase
    for case in request["cases"]:
        gate = Path(case["gates"]) / request["name"]
        wait_for(gate.with_suffix(".start"))
        GatedPhase.gate = str(gate)
        params = ScaledParams(factor=request["factor"] if case["is_other"] else 1, exact_copies=False)
        done = run(case["root"], case["partition"], params)
        gate.with_suffix(".tmp").write_text(json.dumps(done))
        gate.with_suffix(".tmp").rename(gate.with_suffix(".done"))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
