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
from tests.faults.curator_process import Curation, Step, begun, done_by_phase, undisturbed_tables
from tests.faults.measurements import note
from tests.faults.tables import Tables, tables
from tests.videos import noise_shot, write_video

pytestmark = pytest.mark.timeout(1800)

ORDER = ("read", "split", "filter", "caption", "embed", "dedup", "write")
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
def undisturbed(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The tables of a run in this process, without Ray."""
    made = undisturbed_tables(sources, tmp_path_factory.mktemp("undisturbed"), SETTINGS)
    videos = len(list(sources.iterdir()))
    assert [asset for asset, rows in made.items() if len(rows) < 18 * videos] == ["videos"]
    return made


@dataclass
class Chain:
    """One run after another over the same root, and what was seen of them.

    Attributes:
        random: chooses moments and victims.
        done: items finished by all runs together, by phase.
        kills: how many there were.
        inside: how many of them hit the phase that they were meant for.
        ended_s: from a kill to the end of the driver.
        gone_s: from the end of a driver until nothing was left of it.
        recovered_s: from a kill until the phase that it hit had all its rows.
        struck: phases that were hit and have not recovered yet, each with when: seconds of the monotonic clock.
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
    struck: list[tuple[str, float]] = field(default_factory=lambda: [])

    @contextmanager
    def run(self) -> Iterator[Curation]:
        """One run, whose end is waited for."""
        with begun(self.sources, self.root, SETTINGS) as run:
            yield run
            run.end()
            ended_s = time.monotonic()
            self.gone_s.append(run.seconds_until_gone())
            self.done.update(done_by_phase(run.steps()))
            self._note_recoveries(run.steps(), ended_s)

    def strike(self, run: Curation, victim: str, phase: str) -> None:
        """Kill at a random moment of a phase."""
        before = ORDER.index(phase) - 1
        if phase == "dedup":  # one item: there is no step to wait for
            run.wait_for(lambda: self._is_committed(ORDER[before]))
            time.sleep(self.random.uniform(0, 0.4))
        else:
            videos = len(list(self.sources.iterdir()))
            run.wait_for_phase(phase, int(self.random.uniform(0, 0.7) * (18 * videos if before > 0 else videos)))
            time.sleep(self.random.uniform(0, 0.1))
        at_s = run.strike(victim, self.random.randrange(4))
        self.struck.append((phase, at_s))
        self.kills += 1
        self.inside += not self._is_committed(phase)
        if victim != "worker":
            run.end()
            self.ended_s.append(time.monotonic() - at_s)

    def check(self, undisturbed: Tables) -> dict[str, int]:
        """Compare with the tables of an undisturbed run; returns the items computed twice, by phase.

        One kill may come when its phase is just over: dedup is one item, and takes less than a second.
        """
        assert self.inside >= self.kills - 1
        made = tables(self.root)
        for asset, rows in undisturbed.items():
            assert made[asset] == rows, asset
        twice = {
            phase: self.done[phase] - len({row["row_key"] for row in made[params.asset]})
            for phase, params in PHASES.items()
        }
        return twice

    def note(self, victim: str, twice: dict[str, int]) -> None:
        """Keep the figures."""
        note(
            f"kill {victim}",
            faults=self.kills,
            inside_the_phase=self.inside,
            rows_in=sum(self.done.values()) - sum(twice.values()),
            rows_computed_twice=sum(twice.values()),
            most_in_a_phase=max(twice.values()),
            slowest_recovery_s=round(max(self.recovered_s), 1),
            slowest_end_s=round(max(self.ended_s, default=0), 1),
            slowest_gone_s=round(max(self.gone_s), 1),
        )

    def _is_committed(self, phase: str) -> bool:
        return bool(committed_partitions(Storage(self.root), PHASES[phase].asset))

    def _note_recoveries(self, steps: list[Step], ended_s: float) -> None:
        """Look for the moments at which phases that had been hit had all their rows."""
        order = ORDER.index
        for phase, at_s in list(self.struck):
            after = [
                step.at_s
                for step in steps
                if step.at_s > at_s
                and (order(step.phase) > order(phase) or (step.phase == phase and step.done == step.total))
            ]
            if after or self._is_committed(phase):
                self.recovered_s.append(min(after, default=ended_s) - at_s)
                self.struck.remove((phase, at_s))


@pytest.fixture
def chain(sources: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Chain:
    return Chain(sources, tmp_path / "root", random.Random(request.node.name))


def finish(chain: Chain) -> None:
    with chain.run() as run:
        code, text = run.end()
        assert code == 0, text


def lose_ray(chain: Chain, victim: str, phase: str) -> None:
    """A run whose Ray is killed."""
    began = time.monotonic()
    with chain.run() as run:
        chain.strike(run, victim, phase)
        code, text = run.end()
        ran_s = time.monotonic() - began - chain.ended_s[-1]
        assert code == 1, text
        assert (
            f"its process {victim} ended" in text or DRIVER_LOST_MESSAGE in text or "Failed to connect to GCS" in text
        ), text
        assert "Traceback" not in text, text
    assert chain.ended_s[-1] < max(END_LIMIT_S, ran_s)


@pytest.mark.parametrize("sources", [4], indirect=True)
def test_lost_worker_and_lost_ray_cost_no_row(chain: Chain, undisturbed: Tables) -> None:
    with chain.run() as run:
        chain.strike(run, "worker", "filter")
        chain.strike(run, "raylet", "embed")
        code, text = run.end()
        assert code == 1, text
        assert "its process raylet ended" in text or DRIVER_LOST_MESSAGE in text, text
        assert "Traceback" not in text, text
    finish(chain)
    twice = chain.check(undisturbed)
    assert max(twice.values()) <= FLUSH_ITEMS
    chain.note("worker and raylet", twice)


@pytest.mark.long
def test_workers_killed_in_every_phase(chain: Chain, undisturbed: Tables) -> None:
    with chain.run() as run:
        for phase in ORDER:
            chain.strike(run, "worker", phase)
        code, text = run.end()
        assert code == 0, text
    twice = chain.check(undisturbed)
    assert set(twice.values()) == {0}
    chain.note("worker", twice)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_ray_killed_in_every_phase(victim: str, chain: Chain, undisturbed: Tables) -> None:
    for phase in ORDER:
        lose_ray(chain, victim, phase)
    finish(chain)
    twice = chain.check(undisturbed)
    assert max(twice.values()) <= FLUSH_ITEMS
    chain.note(victim, twice)


@pytest.mark.long
def test_driver_killed_in_every_phase(chain: Chain, undisturbed: Tables) -> None:
    for phase in ORDER:
        with chain.run() as run:
            chain.strike(run, "driver", phase)
    finish(chain)
    twice = chain.check(undisturbed)
    assert max(twice.values()) <= FLUSH_ITEMS
    chain.note("driver", twice)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_interrupted_while_ray_starts_says_so_and_leaves_nothing(number: signal.Signals, chain: Chain) -> None:
    with chain.run() as run:
        run.wait_for(lambda: any(run.temporary.glob("curator-*/session_*/logs/raylet.out")))
        run.processes()
        run.process.send_signal(number)
        code, text = run.end()
        assert (code, "interrupted; what is done stays" in text) == (130, True), text
