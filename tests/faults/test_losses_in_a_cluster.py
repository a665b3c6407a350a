"""Twenty losses of nodes and of workers, at random moments over all seven phases of one run on three nodes.

1. The run ends well.
2. The tables of all phases are row for row those of a run that was never disturbed.
3. No row failed.
4. Nothing of the run's temporary files is left on the nodes that are alive.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path
from shutil import copy

import pytest

from stages.manifest import committed_partitions
from stages.params import PHASES
from stages.storage import Storage
from tests.faults import test_kills
from tests.faults.curator_process import CuratorProcess, reference_tables, running_curator
from tests.faults.lossy_nodes import ENVIRONMENT, LossyNodes, lossy_nodes
from tests.faults.measurements import record
from tests.faults.tables import tables
from tests.videos import noise_shot, write_video

NUM_NODES = 3
NUM_VIDEOS = 12
CLIPS_OF_A_VIDEO = 18
REAL_VIDEOS = ("door_pan_4s.mp4", "sintel_trailer_first5s.mp4")
LOSSES = {"read": 2, "split": 3, "filter": 3, "caption": 3, "embed": 3, "dedup": 2, "write": 4}
SETTINGS = {name: value for name, value in test_kills.SETTINGS.items() if name != "executor.num_workers"}

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture
def sources(tmp_path: Path, shared_media: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(NUM_VIDEOS):
        write_video(folder / f"{number}.mp4", noise_shot(number, 225, height=64, width=64), rate=25)
    for name in REAL_VIDEOS:
        copy(shared_media / name, folder / name)
    return folder


class Losses:
    """Losses at random moments of a run.

    Args:
        nodes: of which some are lost.
        root: of the run.
        seed: of the moments and of what is lost.

    Attributes:
        done: number of losses by kind.
        inside: number of those that came before the phase that they were meant for was committed.
    """

    def __init__(self, nodes: LossyNodes, root: Path, seed: int) -> None:
        self.nodes = nodes
        self.root = root
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.inside = 0

    def during(self, run: CuratorProcess, phase: str, count: int) -> None:
        """So many losses within a phase; of a phase of many items each at another share of them."""
        if phase == "dedup":  # one item: there is no step to wait for
            before = test_kills.PHASE_ORDER[test_kills.PHASE_ORDER.index(phase) - 1]
            run.wait_for(lambda: self._is_committed(before))
            for _ in range(count):
                self._lose_soon(run, phase)
            return
        items = NUM_VIDEOS if phase in ("read", "split") else NUM_VIDEOS * CLIPS_OF_A_VIDEO
        for share in sorted(self.random.uniform(0, 0.8) for _ in range(count)):
            with run.held_in(phase, max(1, int(share * items))):
                # Of the last phase each one, since the run would be over before the loss.
                if is_held := phase == test_kills.PHASE_ORDER[-1] or self.random.random() < 0.7:
                    self._lose_soon(run, phase, is_held=True)
            if not is_held:
                self._lose_soon(run, phase)

    def _lose_soon(self, run: CuratorProcess, phase: str, *, is_held: bool = False) -> None:
        if is_held:  # the workers go on
            time.sleep(self.random.uniform(0, 0.3))
        assert run.process.poll() is None, "the run ended before all losses"
        self.inside += not self._is_committed(phase)
        # A driver that is held starts no worker, so there may be none until it goes on.
        if self.random.random() < 0.5 or (is_held and not self.nodes.worker_pids()):
            self.nodes.lose_node(self.random.choice(list(self.nodes.running)))
            self.done["node"] += 1
        else:
            run.wait_for(lambda: bool(self.nodes.worker_pids()))
            self.nodes.lose_worker(self.random.randrange(2 * NUM_NODES))
            self.done["worker"] += 1

    def _is_committed(self, phase: str) -> bool:
        return bool(committed_partitions(Storage(self.root), PHASES[phase].asset))


def test_losses_of_nodes_and_workers_cost_no_row(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reference_tables(sources, tmp_path / "reference", SETTINGS)
    assert len(expected) == len(test_kills.PHASE_ORDER)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "root"
    with lossy_nodes(tmp_path, NUM_NODES, num_cpus=2) as nodes:
        losses = Losses(nodes, root, seed=20)
        settings = {**SETTINGS, "executor.address": nodes.address}
        started = time.monotonic()
        with running_curator(sources, root, settings) as run:
            run.tree = os.getpid()  # the workers are children of the nodes
            for phase in test_kills.PHASE_ORDER:
                losses.during(run, phase, LOSSES[phase])
            code, output = run.wait_for_exit()
        assert code == 0, output
        seconds = time.monotonic() - started
        left = [path for number in nodes.running for path in nodes.temporary(number).glob("curator-*")]
    made = tables(root)
    for asset, rows in expected.items():
        assert made[asset] == rows, asset
    assert [row for rows in made.values() for row in rows if row["status"] == "failed"] == []
    assert losses.done.total() == sum(LOSSES.values()) == 20
    assert min(losses.done["node"], losses.done["worker"]) >= 6
    assert losses.inside > losses.done.total() / 2, "others came while the next phase began"
    assert left == []
    record("losses in a cluster", **losses.done, inside=losses.inside, rows=sum(map(len, made.values())), s=seconds)
