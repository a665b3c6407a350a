"""Measure how the driver's work grows with the videos and rows of a root, and fit the exponents.

    PYTHONPATH=. python benchmarks/growth.py [--only videos|rows] [--videos 1000] [--rows 1000000]
        [--plot docs/growth.svg]

CPU seconds of this process for so many videos: to list and register them, to plan and read all, and to do so again with
nothing new. For so many rows in one partition, with stages that do nothing: to write and commit the rows of a table
(`commit`), to plan the next table from it and take the results of all items (`plan`), and to find that all are there
(`resume`). Each figure is the least of the repeats.

An exponent of 1 is growth in proportion. n log n has, between two sizes that are a factor of four apart, an exponent
of 1.15 at a thousand and 1.1 at a million. Fitted is the upper half of the sizes, where constant costs do not count.
It ends with exit code 1 where an exponent is above 1.15.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from benchmarks.driver import NothingPhase, make_clips
from benchmarks.log_plot import log_plot
from curator_dagster.commands.direct_run import execute_without_dagster
from curator_dagster.commands.run_plan import plan_run
from stages.manifest import ManifestRef
from stages.params import EmbedParams, validate_all
from stages.pipeline import ItemResult
from stages.run import open_session
from stages.run.inputs import InputTables
from stages.run.phase_run import PhaseRun
from stages.storage import Storage

FACTOR = 4
MAX_EXPONENT = 1.15
Seconds = dict[str, float]


def sizes_up_to(most: int, least: int) -> list[int]:
    """Sizes a factor of four apart, the largest first given."""
    sizes = [most]
    while sizes[-1] // FACTOR >= least:
        sizes.append(sizes[-1] // FACTOR)
    return sizes[::-1]


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def write_videos(folder: Path, count: int) -> None:
    """Short videos, no two with the same bytes: each is followed by an empty box with its number."""
    folder.mkdir()
    with av.open(str(folder / "0.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        for level in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    whole = (folder / "0.mp4").read_bytes()
    for number in range(count):
        content = f"{number:016}".encode()
        (folder / f"{number}.mp4").write_bytes(whole + (8 + len(content)).to_bytes(4, "big") + b"free" + content)


def videos_cost(count: int) -> Seconds:
    """CPU seconds for so many videos."""
    params = validate_all({"executor": {"mode": "local"}})
    with tempfile.TemporaryDirectory() as folder:
        source, root = Path(folder, "videos"), f"{folder}/root"
        write_videos(source, count)

        def run() -> None:
            with open_session(params["executor"]) as session:
                execute_without_dagster(plan_run(str(source), root, params, until="videos"), session)
                (reports,) = session.reports
                assert sum(report.items for report in reports.values()) == count

        found = {"list and register": cpu_s(lambda: plan_run(str(source), root, params, until="videos"))}
        found["read"] = cpu_s(run)
        found["read, nothing new"] = cpu_s(run)
    return found


def rows_cost(count: int) -> Seconds:
    """CPU seconds for so many rows of one partition."""
    found: Seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        inputs: list[ManifestRef] = []
        found["commit"] = cpu_s(lambda: inputs.append(make_clips(storage, "all", count)))
        output = ManifestRef(storage.root, "embeddings", "all")
        for name in ("plan and take results", "resume"):
            phase = NothingPhase(EmbedParams(), storage.root)
            run = PhaseRun(phase, InputTables(phase, {"filtered_clips": inputs}), run_id="r", transient=())
            found[name] = cpu_s(lambda run=run, phase=phase: _finish(run, phase, output))
            report = run.reports["all"]
            assert (report.computed, report.reused) == ((0, count) if name == "resume" else (count, 0))
    return found


def _finish(run: PhaseRun, phase: NothingPhase, output: ManifestRef) -> None:
    """Plan, take what the stages would give, and commit."""
    collected = phase.pipeline().collect
    for task in run.tasks([output]):
        run.add_result(ItemResult(task.task_id, (collected(task),)))
    for _ in run.commits():
        pass
    run.close()


def least_of(cost: Callable[[int], Seconds], sizes: Sequence[int], repeat: int) -> dict[str, list[tuple[float, float]]]:
    """For each figure its points: the size and the least CPU seconds; the sizes have their turn in each repeat."""
    least: dict[tuple[str, int], float] = {}
    for _ in range(repeat):
        for size in sizes:
            for name, seconds in cost(size).items():
                least[name, size] = min(seconds, least.get((name, size), seconds))
    names = dict.fromkeys(name for name, _ in least)
    return {name: [(size, least[name, size]) for size in sizes] for name in names}


def exponent_of(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of growth in the upper half of the sizes, by least squares of the logarithms."""
    upper = np.log(np.array(points[len(points) // 2 - (len(points) % 2 == 0) :]))
    return float(np.polyfit(upper[:, 0], upper[:, 1], 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["videos", "rows"])
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    NothingPhase.dims = 8
    worst = 0.0
    lines: dict[str, list[tuple[float, float]]] = {}
    for unit, cost, sizes in (
        ("videos", videos_cost, sizes_up_to(args.videos, 1)),
        ("rows", rows_cost, sizes_up_to(args.rows, 1000)),
    ):
        if args.only not in (None, unit):
            continue
        print(f"| {unit} | {' | '.join(f'{size:,}' for size in sizes)} | exponent |")
        print("|" + " --- |" * (len(sizes) + 2))
        for name, points in least_of(cost, sizes, args.repeat).items():
            exponent = exponent_of(points)
            worst = max(worst, exponent)
            lines[f"{unit}: {name}"] = points
            print(f"| {name} | {' | '.join(f'{s:.3g} s' for _, s in points)} | {exponent:.2f} |", flush=True)
        print()
    if args.plot is not None:
        args.plot.write_text(log_plot("CPU time of the driver", "videos, rows", "CPU seconds", lines))
    if worst > MAX_EXPONENT:
        sys.exit(f"An exponent is {worst:.2f}, above {MAX_EXPONENT}.")


if __name__ == "__main__":
    main()
