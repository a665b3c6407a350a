"""Runs of the scaled toy phase in a process of their own: `python -m tests.faults.scaled_run '{"roots": [...], ...}'`.

Prints one JSON line per run: the items done, the time taken, and the growth of the process's memory.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from stages.errors import PhaseError
from stages.manifest import ManifestRef, read_manifest, row_writer
from stages.params import ExecutorParams
from stages.run import open_session
from stages.run.phases import PHASE_CLASSES
from stages.sources import registered_partitions
from stages.storage import Storage
from tests.faults.waiting import wait_until
from tests.phases import ScaledParams, ScaledPhase, register_names

MAX_PAUSE_S = 0.003


def peak_bytes() -> int:
    """Peak memory of this process. ru_maxrss is not used: it includes the memory of the parent process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def wait_at_barrier(folder: Path, *, num_processes: int) -> None:
    """Return when so many processes have called this for the folder. Fails if one of them does not come."""
    folder.mkdir(exist_ok=True)
    (folder / str(os.getpid())).touch()
    wait_until(
        lambda: len(list(folder.iterdir())) >= num_processes,
        describe=lambda: f"{len(list(folder.iterdir()))} of {num_processes} processes at barrier {folder}",
        interval_s=0.001,
    )


def run(root: str, partition: str | None, params: dict[str, Any]) -> dict[str, Any]:
    """Run the phase on one partition, or on all if it is None; a run that another one supersedes ends too."""
    partitions = registered_partitions(Storage(root)) if partition is None else [partition]
    with open_session(ExecutorParams(mode="local", max_tries=1)) as session:
        outputs = [ManifestRef(root, "videos", each) for each in partitions]
        try:
            found = session.run_phase(ScaledParams(max_failed_fraction=1, **params), {}, outputs)
        except PhaseError as error:
            found = error.reports
            if not any(report.superseded for report in found.values()):
                raise
    reports = found.values()
    sums = {name: sum(getattr(each, name) for each in reports) for name in ("rows", "reused", "redecided", "computed")}
    return {**sums, "missing": sum(each.missing for each in reports), "commit": max(each.commit for each in reports)}


def main(request: dict[str, Any]) -> None:
    """Serve the request in each root: run the phase with "params", or only read the table if there are no "params".

    With "num_processes", that many processes begin each root together, by a barrier in the folder "barrier"; each
    registers "names", and pauses by its "seed".
    """
    PHASE_CLASSES["read"] = ScaledPhase
    row_writer.FLUSH_ITEMS = request.get("flush_items", row_writer.FLUSH_ITEMS)
    rng = random.Random(request.get("seed"))
    for number, root in enumerate(request["roots"]):
        if "num_processes" in request:
            barrier = Path(request["barrier"])
            wait_at_barrier(barrier / f"register-{number}", num_processes=request["num_processes"])
            register_names(root, request["names"], partition_size=7)
            wait_at_barrier(barrier / f"run-{number}", num_processes=request["num_processes"])
            time.sleep(rng.uniform(0, 20 * MAX_PAUSE_S))
            ScaledPhase.pause_s = rng.uniform(0, MAX_PAUSE_S)
        before, started = peak_bytes(), time.perf_counter()
        if "params" in request:
            done = run(root, request.get("partition"), request["params"])
        else:
            done = {"rows": len(read_manifest(root, "videos", request["partition"]))}
        seconds = time.perf_counter() - started
        sys.stdout.write(json.dumps({**done, "seconds": seconds, "grown_bytes": peak_bytes() - before}) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
