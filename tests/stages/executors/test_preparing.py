"""Stages that are set up before their run, and workers that keep those that the next run has too."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import heartbeat
from stages.executors.preparing import can_be_prepared, stage_key
from stages.executors.ray import RayExecutor
from stages.resources import Resources
from stages.stage import WorkerMetadata
from stages.tasks import Failed, Rejected
from tests.faults.faulty_stages import PayloadTask, Step, executor, make_tasks, run


class Noted(Step):
    """Notes each of its set-ups and teardowns as a line in a file of its name."""

    def __init__(self, name: str, folder: Path, **options: float) -> None:
        super().__init__(name, **options)  # pyrefly: ignore[bad-argument-type]
        self.file = folder / name

    def _note(self, what: str) -> None:
        with self.file.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        self._note("up")

    def teardown(self) -> None:
        self._note("down")


class Unwilling(Noted):
    """Can be set up at the second try only."""

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        super().setup(worker_metadata)
        if len(notes(self)) == 1:
            raise OSError("not yet")


class WaitsForNote(Step):
    """Ends its task "last" when another stage has noted something."""

    def __init__(self, other: Noted) -> None:
        super().__init__("waits")
        self.other = other

    def process(self, task: PayloadTask) -> PayloadTask | list[PayloadTask] | Rejected | Failed:
        until = time.monotonic() + 90
        while task.task_id == "last" and not notes(self.other):
            heartbeat.beat()
            time.sleep(0.02)
            if time.monotonic() > until:
                raise TimeoutError(self.other.name)
        return super().process(task)


def notes(stage: Noted) -> list[list[str]]:
    """What a stage noted, and the process of each note."""
    return [line.split() for line in stage.file.read_text().splitlines()] if stage.file.exists() else []


@pytest.fixture
def pool(ray_cluster: None) -> Iterator[RayExecutor]:
    with executor() as ready:
        yield ready


def test_stages_are_alike_where_all_their_parts_are(tmp_path: Path) -> None:
    assert stage_key(Noted("a", tmp_path)) == stage_key(Noted("a", tmp_path))
    others = [Noted("b", tmp_path), Noted("a", tmp_path / "x"), Noted("a", tmp_path, seconds=1), Step("a")]
    assert len({stage_key(each) for each in [Noted("a", tmp_path), *others]}) == 5


def test_only_stages_that_take_no_device_and_any_worker_are_set_up_ahead(tmp_path: Path) -> None:
    def stage(**attributes: object) -> Step:
        step = Step("a")
        for name, value in attributes.items():
            setattr(step, name, value)
        return step

    assert can_be_prepared(stage())
    unfit = [{"resources": Resources(gpu_memory_gb=1)}, {"max_workers": 1}, {"waits_for_others": True}]
    assert not any(can_be_prepared(stage(**each)) for each in unfit)


def test_stage_of_the_next_run_is_set_up_while_this_one_ends(pool: RayExecutor, tmp_path: Path) -> None:
    following = Noted("b", tmp_path)
    pool.expect([[following], [Noted("c", tmp_path)]])
    run(pool, [WaitsForNote(following)], make_tasks("first", "last"))
    assert [what for what, _ in notes(following)] == ["up"]  # in the worker that has no task
    pool.expect([])
    result = run(pool, [Noted("b", tmp_path)], make_tasks("1"))
    assert result.outcomes["1"] == ([{"id": "1", "path": "b0"}],)
    assert [what for what, _ in notes(following)] == ["up"]
    assert not notes(Noted("c", tmp_path))


def test_stage_that_the_next_run_has_too_stays_set_up(pool: RayExecutor, tmp_path: Path) -> None:
    for _ in range(2):
        stages = [Noted("a", tmp_path), Noted("b", tmp_path)]
        assert run(pool, stages, make_tasks("1")).outcomes["1"] == ([{"id": "1", "path": "a0b0"}],)
    assert [what for what, _ in notes(Noted("a", tmp_path))] == ["up"]
    run(pool, [Step("c"), Noted("b", tmp_path)], make_tasks("1"))
    assert [what for what, _ in notes(Noted("a", tmp_path))] == ["up", "down"]
    assert [what for what, _ in notes(Noted("b", tmp_path))] == ["up"]


def test_start_sets_up_the_first_two_phases_in_a_worker_each(ray_cluster: None, tmp_path: Path) -> None:
    first, second = Noted("a", tmp_path), Noted("b", tmp_path)
    with executor() as pool:
        pool.expect([[first], [second], [Noted("c", tmp_path)]])
        pool.start()
        pool.expect([])
        assert run(pool, [Noted("a", tmp_path)], make_tasks("1")).outcomes["1"] == ([{"id": "1", "path": "a0"}],)
        assert run(pool, [Noted("b", tmp_path)], make_tasks("1")).outcomes["1"] == ([{"id": "1", "path": "b0"}],)
        ((_, of_first),), ((_, of_second),) = notes(first), notes(second)
        assert of_first != of_second
        assert not notes(Noted("c", tmp_path))


def test_stage_that_cannot_be_set_up_ahead_is_tried_again_in_its_run(pool: RayExecutor, tmp_path: Path) -> None:
    stage = Unwilling("a", tmp_path)
    pool.expect([[stage]])
    run(pool, [WaitsForNote(stage)], make_tasks("first", "last"))
    assert [what for what, _ in notes(stage)] == ["up"]
    pool.expect([])
    assert run(pool, [Unwilling("a", tmp_path)], make_tasks("1")).outcomes["1"] == ([{"id": "1", "path": "a0"}],)
    assert [what for what, _ in notes(stage)] == ["up", "up"]
