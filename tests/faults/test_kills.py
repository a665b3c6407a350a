"""SIGKILL of a driver, of a worker, of the private Ray's raylet and GCS, in every phase.

1. A run whose worker is killed finishes.
2. A run whose Ray is killed ends soon, with code 1 and a message that says what to do.
3. No process and no temporary file of a run is left soon after it ended, however it ended.
4. The run after a kill finishes, and the tables are row for row those of a run that was never disturbed.
5. No phase computes more items twice than one writer may hold back.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stages.executors.cleanup_process import DRIVER_LOST_MESSAGE
from stages.manifest import committed_partitions
from stages.manifest.row_writer import FLUSH_ITEMS
from stages.params import PHASES
from stages.storage import Storage
from tests.faults.curator_process import CuratorProcess, ProgressStep, done_by_phase, reference_tables, running_curator
from tests.faults.measurements import record
from tests.faults.tables import Tables, tables
from tests.videos import noise_shot, write_video

pytestmark = [pytest.mark.system, pytest.mark.timeout(1800)]

PHASE_ORDER = ("read", "split", "filter", "caption", "embed", "dedup", "write")
"""As Dagster runs them: of two that do not need each other, first the one whose asset is first by name."""
END_LIMIT_S = 40.0
"""A run whose Ray is gone must have ended by then, or in the time that it had run; it takes 2 to 8 s, idle."""
SETTINGS = {
    "split.method": "fixed_stride",
    "split.clip_length_s": 0.5,
    "split.min_length_s": 0.2,
    "split.frames_fps": 4,
    "embed.frames_per_clip": 1,
    "embed.batch_size": 4,
    "dedup.eps": 1e-4,
    "filter.score_only": ["all"],
    "executor.num_workers": 2,
}
"""Many small items, so that a kill finds some written, some held back and some in work."""


@pytest.fixture(scope="module")
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight videos, or as many as the test's parameter says, of 18 clips each."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(getattr(request, "param", 8)):
        write_video(folder / f"{number}.mp4", noise_shot(number, 225, height=64, width=64), rate=25)
    return folder


@pytest.fixture(scope="module")
def expected(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of a run in this process, without Ray."""
    made = reference_tables(sources, tmp_path_factory.mktemp("reference"), SETTINGS)
    videos = len(list(sources.iterdir()))
    assert [asset for asset, rows in made.items() if len(rows) < 18 * videos] == ["videos"]
    return made


@dataclass
class RunSeries:
    """Runs over the same root, one after another, and measurements of them.

    Attributes:
        random: chooses moments and targets.
        done: number of items finished by all runs together, by phase.
        kills: number of kills.
        inside: number of kills that hit the phase that they were meant for.
        ended_s: seconds from a kill to the end of the driver.
        gone_s: seconds from the end of a driver until nothing was left of it.
        recovered_s: seconds from a kill until the phase that it hit had all its rows.
        unrecovered: phases that were hit and lack rows yet, each with the time of the kill by the monotonic clock.
    """

    sources: Path
    root: Path
    random: random.Random
    done: Counter[str] = field(default_factory=lambda: Counter())
    kills: int = 0
    inside: int = 0
    ended_s: list[float] = field(default_factory=lambda: [])
    gone_s: list[float] = field(default_factory=lambda: [])
    recovered_s: list[float] = field(default_factory=lambda: [])
    unrecovered: list[tuple[str, float]] = field(default_factory=lambda: [])

    @contextmanager
    def run(self) -> Iterator[CuratorProcess]:
        """Start a run; the block ends with it."""
        with running_curator(self.sources, self.root, SETTINGS) as run:
            yield run
            run.wait_for_exit()
            ended_s = time.monotonic()
            self.gone_s.append(run.seconds_until_gone())
            self.done.update(done_by_phase(run.steps()))
            self._record_recoveries(run.steps(), ended_s)

    def kill(self, run: CuratorProcess, target: str, phase: str) -> None:
        """Kill the driver, or a process of its Ray, at a random moment of a phase."""
        before = PHASE_ORDER.index(phase) - 1
        if phase == "dedup":  # one item: there is no step to wait for
            run.wait_for(lambda: self._is_committed(PHASE_ORDER[before]))
            self._kill_soon(run, target, phase, within_s=0.4)
        else:
            videos = len(list(self.sources.iterdir()))
            done = int(self.random.uniform(0, 0.7) * (18 * videos if before > 0 else videos))
            with run.held_in(phase, max(1, done)):
                self._kill_soon(run, target, phase, within_s=0.1)
        if target != "worker":
            at_s = self.unrecovered[-1][1]
            run.wait_for_exit()
            self.ended_s.append(time.monotonic() - at_s)

    def _kill_soon(self, run: CuratorProcess, target: str, phase: str, *, within_s: float) -> None:
        time.sleep(self.random.uniform(0, within_s))
        at_s = run.kill(target, self.random.randrange(4))
        self.unrecovered.append((phase, at_s))
        self.kills += 1
        self.inside += not self._is_committed(phase)

    def check(self, expected: Tables) -> dict[str, int]:
        """Compare the tables with those of an undisturbed run; return the number of items computed twice, by phase.

        One kill may come when its phase is just over: dedup is one item, and takes less than a second.
        """
        assert self.inside >= self.kills - 1
        made = tables(self.root)
        for asset, rows in expected.items():
            assert made[asset] == rows, asset
        recomputed = {
            phase: self.done[phase] - len({row["row_key"] for row in made[params.asset]})
            for phase, params in PHASES.items()
        }
        return recomputed

    def record(self, target: str, recomputed: dict[str, int]) -> None:
        """Record the measurements."""
        record(
            f"kill {target}",
            faults=self.kills,
            inside_the_phase=self.inside,
            rows_in=sum(self.done.values()) - sum(recomputed.values()),
            rows_computed_twice=sum(recomputed.values()),
            most_in_a_phase=max(recomputed.values()),
            slowest_recovery_s=round(max(self.recovered_s), 1),
            slowest_end_s=round(max(self.ended_s, default=0), 1),
            slowest_gone_s=round(max(self.gone_s), 1),
        )

    def _is_committed(self, phase: str) -> bool:
        return bool(committed_partitions(Storage(self.root), PHASES[phase].asset))

    def _record_recoveries(self, steps: list[ProgressStep], ended_s: float) -> None:
        """Find the moments at which phases that had been hit had all their rows."""
        order = PHASE_ORDER.index
        for phase, at_s in list(self.unrecovered):
            after = [
                step.at_s
                for step in steps
                if step.at_s > at_s
                and (order(step.phase) > order(phase) or (step.phase == phase and step.done == step.total))
            ]
            if after or self._is_committed(phase):
                self.recovered_s.append(min(after, default=ended_s) - at_s)
                self.unrecovered.remove((phase, at_s))


@pytest.fixture
def series(sources: Path, tmp_path: Path, request: pytest.FixtureRequest) -> RunSeries:
    return RunSeries(sources, tmp_path / "root", random.Random(request.node.name))


def finish(series: RunSeries) -> None:
    with series.run() as run:
        code, text = run.wait_for_exit()
        assert code == 0, text


def kill_ray(series: RunSeries, target: str, phase: str) -> None:
    """A run whose Ray is killed: it ends soon, with a message."""
    started = time.monotonic()
    with series.run() as run:
        series.kill(run, target, phase)
        code, text = run.wait_for_exit()
        ran_s = time.monotonic() - started - series.ended_s[-1]
        assert code == 1, text
        assert (
            f"its process {target} ended" in text or DRIVER_LOST_MESSAGE in text or "Failed to connect to GCS" in text
        ), text
        assert "Traceback" not in text, text
    assert series.ended_s[-1] < max(END_LIMIT_S, ran_s)


@pytest.mark.parametrize("sources", [3], indirect=True)
def test_lost_worker_and_lost_ray_cost_no_row(series: RunSeries, expected: Tables) -> None:
    with series.run() as run:
        series.kill(run, "worker", "filter")
        series.kill(run, "raylet", "embed")
        code, text = run.wait_for_exit()
        assert code == 1, text
        assert "its process raylet ended" in text or DRIVER_LOST_MESSAGE in text, text
        assert "Traceback" not in text, text
    finish(series)
    recomputed = series.check(expected)
    assert max(recomputed.values()) <= FLUSH_ITEMS
    series.record("worker and raylet", recomputed)


@pytest.mark.long
def test_workers_killed_in_every_phase(series: RunSeries, expected: Tables) -> None:
    with series.run() as run:
        for phase in PHASE_ORDER:
            series.kill(run, "worker", phase)
        code, text = run.wait_for_exit()
        assert code == 0, text
    recomputed = series.check(expected)
    assert set(recomputed.values()) == {0}
    series.record("worker", recomputed)


@pytest.mark.long
@pytest.mark.parametrize("target", ["raylet", "gcs_server"])
def test_ray_killed_in_every_phase(target: str, series: RunSeries, expected: Tables) -> None:
    for phase in PHASE_ORDER:
        kill_ray(series, target, phase)
    finish(series)
    recomputed = series.check(expected)
    assert max(recomputed.values()) <= FLUSH_ITEMS
    series.record(target, recomputed)


@pytest.mark.long
def test_driver_killed_in_every_phase(series: RunSeries, expected: Tables) -> None:
    for phase in PHASE_ORDER:
        with series.run() as run:
            series.kill(run, "driver", phase)
    finish(series)
    recomputed = series.check(expected)
    assert max(recomputed.values()) <= FLUSH_ITEMS
    series.record("driver", recomputed)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_interrupted_while_ray_starts_says_so_and_leaves_nothing(number: signal.Signals, series: RunSeries) -> None:
    with series.run() as run:
        run.wait_for(lambda: any(run.temporary.glob("curator-*/session_*/logs/raylet.out")))
        run.processes()
        run.process.send_signal(number)
        code, text = run.wait_for_exit()
        assert (code, "interrupted; what is done stays" in text) == (130, True), text
