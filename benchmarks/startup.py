"""Say what each second of `curator run` is, and how long a run takes that has nothing to do.

    PYTHONPATH=. python benchmarks/startup.py trace VIDEO [--again]
    PYTHONPATH=. python benchmarks/startup.py repeat VIDEO [--times 5] [--against OTHER_CHECKOUT]

`trace` runs the command in a fresh process, on a new root, and prints a line for each step of it: when it began and
ended, by the clock, seconds of the CPU of the command and all that it started meanwhile, and what it was. Steps of
workers are those that the command sees of them. `--again` runs it once more, with nothing to do.

`repeat` runs the command so often on a new root and then on the same one, in turn with that of another checkout of
this project, so that what else the machine does falls on both, and prints the least seconds and CPU seconds of each.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.cpu_time import CpuTime

WATCH_S = 0.2
TRACED = [
    ("curator_dagster.commands.run_and_retry", "plan_run", "list and register sources"),
    ("curator_dagster.commands.run_and_retry", "changed_tables", "compare parameters with those of earlier tables"),
    ("curator_dagster.commands.direct_run", "_check", "checks"),
    ("stages.run.session", "Session.run_phase", "phase {0.phase}"),
    ("stages.run.session", "Session.close", "end of workers and Ray"),
    ("stages.run.table_run", "TableRun.__init__", "plan a table"),
    ("stages.run.table_run", "TableRun.commit", "commit a table"),
]
"""Module, function, and what it does; the arguments after `self` may be named."""
TRACED_WITH_RAY = [("stages.executors.cluster", "Cluster.__init__", "start Ray")]


@dataclass
class Step:
    """A step, seconds after the start of the process."""

    began: float
    ended: float
    cpu: float
    name: str
    thread: str


class Trace:
    """The steps of this process, with CPU seconds of its whole tree."""

    def __init__(self, started: float) -> None:
        self.steps: list[Step] = []
        self._started = started
        self._cpu = CpuTime(os.getpid())
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.cpu_s()
            time.sleep(WATCH_S)

    def cpu_s(self) -> float:
        """CPU seconds of the tree so far, looked at so often that little of a short process is missed."""
        with self._lock:
            return self._cpu.seconds()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note the block."""
        began, cpu = time.time(), self.cpu_s()
        try:
            yield
        finally:
            self.note(name, began, cpu)

    def note(self, name: str, began: float, cpu: float) -> None:
        """Note what ends now."""
        ended, thread = time.time(), threading.current_thread().name
        self.steps.append(Step(began - self._started, ended - self._started, self.cpu_s() - cpu, name, thread))

    def wrap(self, module: str, dotted: str, name: str) -> None:
        """Note each call of a function of a module."""
        owner: Any = sys.modules[module]
        *path, last = dotted.split(".")
        for part in path:
            owner = getattr(owner, part)
        function: Callable[..., Any] = getattr(owner, last)

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with self.step(name.format(*args[bool(path) :])):
                return function(*args, **kwargs)

        setattr(owner, last, traced)


def run_traced(arguments: list[str], started: float) -> None:
    """Run the command in this process, and print the steps as JSON."""
    trace = Trace(started)
    trace.steps.append(Step(0.0, time.time() - started, trace.cpu_s(), "start Python, read this file", "MainThread"))
    with trace.step("import the command line"):
        from curator_dagster.cli.application import app
    with trace.step("import what plans and runs"):
        import curator_dagster.commands.direct_run
        import curator_dagster.commands.run_and_retry  # noqa: F401
    for module, dotted, name in TRACED:
        trace.wrap(module, dotted, name)
    _trace_executors(trace)
    with trace.step("the command"):
        app(arguments, standalone_mode=False)
    print("STEPS", json.dumps([vars(each) for each in sorted(trace.steps, key=lambda each: (each.began, -each.ended))]))


def _trace_executors(trace: Trace) -> None:
    """Note the import of Ray's executor where it happens, and then what that does."""
    import stages.executors

    build = stages.executors.build_executor

    def traced_build(*args: Any) -> Any:
        with trace.step("import Ray"):
            executor = build(*args)
        if "stages.executors.worker_pool" in sys.modules:
            for module, dotted, name in TRACED_WITH_RAY:
                trace.wrap(module, dotted, name)
            _trace_calls(trace)
        return executor

    stages.executors.build_executor = traced_build


def _trace_calls(trace: Trace) -> None:
    """Note each call of a worker, from when it was made until the command knew that it ended."""
    from stages.executors.worker_pool import WorkerPool

    begun: dict[int, tuple[float, float]] = {}
    start, begin, end = WorkerPool.start_worker, WorkerPool.begin_call, WorkerPool.end_call

    def start_worker(pool: Any, shape: Any) -> None:
        start(pool, shape)
        begun[id(pool.workers[-1].calls[0])] = time.time(), trace.cpu_s()

    def begin_call(pool: Any, worker: Any, call: Any) -> None:
        begun[id(call)] = time.time(), trace.cpu_s()
        begin(pool, worker, call)

    def end_call(pool: Any, worker: Any, call: Any) -> None:
        end(pool, worker, call)
        if id(call) in begun:
            tasks = f", {len(call.tasks)} tasks" if call.tasks else ""
            stage = f" of stage {call.stage}" if call.stage >= 0 else ""
            began, cpu = begun.pop(id(call))
            trace.note(f"  worker {worker.worker_id[:4]}: {call.kind.name.lower()}{stage}{tasks}", began, cpu)

    WorkerPool.start_worker, WorkerPool.begin_call, WorkerPool.end_call = start_worker, begin_call, end_call


def environment(checkout: Path) -> dict[str, str]:
    """Of a command that imports this checkout, and knows of no instance of Dagster."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_HOME", "CURATOR_"))}
    return {**kept, "PYTHONPATH": str(checkout)}


def print_trace(source: str, root: str, arguments: list[str]) -> None:
    """Run the command traced, and print its steps."""
    here = Path(__file__).resolve().parents[1]
    command = [sys.executable, __file__, "traced", repr(time.time()), source, root, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(here), cwd=here, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("STEPS ")]
    if done.returncode or not lines:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    print("  began   ended      s   CPU s")
    for each in json.loads(lines[0].removeprefix("STEPS ")):
        beside = "" if each["thread"] == "MainThread" else f"   [{each['thread']}]"
        seconds = each["ended"] - each["began"]
        print(f"{each['began']:7.2f} {each['ended']:7.2f} {seconds:6.2f} {each['cpu']:7.2f}   {each['name']}{beside}")


def measure(checkout: Path, source: str, root: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds and CPU seconds of the command, with all that it started."""
    code = "from curator_dagster.cli.application import main; main()"
    command = [sys.executable, "-c", code, "run", source, "--root", root, *arguments]
    started, before = time.perf_counter(), CpuTime(os.getpid())
    first = before.seconds()
    process = subprocess.Popen(
        command, env=environment(checkout), cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        before.seconds()
        time.sleep(WATCH_S)
    assert process.returncode == 0, process.returncode
    return time.perf_counter() - started, before.seconds() - first


def main() -> None:
    if sys.argv[1:2] == ["traced"]:
        run_traced(["run", sys.argv[3], "--root", sys.argv[4], *sys.argv[5:]], float(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trace = commands.add_parser("trace")
    trace.add_argument("video")
    trace.add_argument("--again", action="store_true")
    repeat = commands.add_parser("repeat")
    repeat.add_argument("video")
    repeat.add_argument("--times", type=int, default=5)
    repeat.add_argument("--against", type=Path)
    for each in (trace, repeat):
        each.add_argument("--set", action="append", default=[], metavar="PHASE.PARAM=VALUE")
    args = parser.parse_args()
    arguments = [part for value in args.set for part in ("--set", value)]
    video = str(Path(args.video).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if args.command == "trace":
            print_trace(video, f"{folder}/root", arguments)
            if args.again:
                print_trace(video, f"{folder}/root", arguments)
            return
        checkouts = [Path(__file__).resolve().parents[1], *([args.against.resolve()] if args.against else [])]
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in range(args.times):
            for checkout in checkouts:
                root = f"{folder}/{number}-{checkouts.index(checkout)}"
                for what in ("cold", "nothing to do"):
                    found.setdefault((what, str(checkout)), []).append(measure(checkout, video, root, arguments))
    for (what, checkout), pairs in sorted(found.items()):
        wall, cpu = (min(pair[index] for pair in pairs) for index in (0, 1))
        print(f"{what:14} {wall:6.2f} s {cpu:6.2f} s of CPU   {checkout}")


if __name__ == "__main__":
    main()
