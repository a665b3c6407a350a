"""Runs of nothing but phases take one process; in others the phases share one, and the rest goes as with Dagster.

Steps log what they do to a file that all processes of a run append to, the resource of the phases too.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.partition_keys import sync_partitions
from curator_dagster.phase_process import PHASE_TAG
from curator_dagster.project_executor import project_executor
from curator_dagster.resources import Storage
from stages.manifest import lineage_of, read_manifest
from stages.params import ReadParams
from stages.sources import list_sources, register_sources
from tests.curator_dagster import mixed_project
from tests.videos import three_shots

PHASE = {PHASE_TAG: "any"}
WAIT_S = 20.0
QUIET = {"telemetry": {"enabled": False}}


class Log(dg.ConfigurableResource["Log"]):
    """The file that all processes append to."""

    path: str

    def add(self, what: str) -> None:
        with Path(self.path).open("a") as file:
            file.write(f"{what} {os.getpid()}\n")

    def lines(self) -> list[tuple[str, int]]:
        """What was done and by which process, in order."""
        lines = Path(self.path).read_text().splitlines() if Path(self.path).exists() else []
        return [(what, int(pid)) for what, pid in map(str.split, lines)]

    def wait_for(self, what: str, count: int = 1) -> None:
        """Return once it was done so often."""
        until = time.monotonic() + WAIT_S
        while [done for done, _ in self.lines()].count(what) < count:
            assert time.monotonic() < until, f"{what} must come {count} times, got {self.lines()}"
            time.sleep(0.01)


@dg.resource(required_resource_keys={"log"})
def workers(context: dg.InitResourceContext) -> Iterator[str]:
    """What phases share."""
    context.resources.log.add("opened")
    yield "workers"
    context.resources.log.add("closed")


Act = Callable[[dg.OpExecutionContext, Log], None]


def step(name: str, act: Act = lambda context, log: None, **settings: Any) -> dg.OpDefinition:
    """An op that logs its name, and then acts."""

    def compute(context: dg.OpExecutionContext, after: list[Any]) -> str:
        context.resources.log.add(name)
        act(context, context.resources.log)
        return name

    resources = {"log", "workers"} if PHASE_TAG in settings.get("tags", {}) else {"log"}
    ins = {"after": dg.In(default_value=[])}
    return dg.op(name=name, ins=ins, required_resource_keys=resources, **settings)(compute)


def fail(context: dg.OpExecutionContext, log: Log) -> None:
    raise ValueError(context.op.name)


def fail_once(context: dg.OpExecutionContext, log: Log) -> None:
    if context.retry_number == 0:
        raise ValueError(context.op.name)


def crash(context: dg.OpExecutionContext, log: Log) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_until_closed(context: dg.OpExecutionContext, log: Log) -> None:
    log.wait_for("closed")


def cancel_the_run(context: dg.OpExecutionContext, log: Log) -> None:
    context.instance.report_run_canceling(context.run)  # as the button *Terminate* does
    os.kill(int(context.run.tags["pid"]), signal.SIGTERM)
    log.wait_for("what never comes")


def job(build: Callable[[], None]) -> dg.JobDefinition:
    resources = {"log": Log.configure_at_launch(), "workers": workers}
    return dg.job(executor_def=project_executor, resource_defs=resources)(build)


read, split, embed = step("read", tags=PHASE), step("split", tags=PHASE), step("embed", tags=PHASE)
own = step("own")


@job
def phases_only() -> None:
    split([read()])


@job
def phase_and_own() -> None:
    own([read()])


@job
def own_between_phases() -> None:
    again = step("again", fail_once, tags=PHASE, retry_policy=dg.RetryPolicy(max_retries=1))
    step("after", wait_until_closed)([again([own([read()])]), embed()])


@job
def failures() -> None:
    split.alias("not_run")([step("fails", fail, tags=PHASE)()])
    own([step("crashes", crash, tags={**PHASE, "dagster/priority": "1"})()])
    step("beside", wait_until_closed)()


@job
def cancelled() -> None:
    own([step("cancels", cancel_the_run, tags=PHASE)()])


def execute(
    job: dg.JobDefinition, folder: Path, execution: dict[str, Any] | None = None
) -> tuple[dg.DagsterRunStatus, set[str], list[tuple[str, int]]]:
    """The status of a run, the kinds of events of each step, and what it logged."""
    log = Log(path=str(folder / "log"))
    config = {"resources": {"log": {"config": {"path": log.path}}}}
    if execution is not None:
        config["execution"] = {"config": execution}
    with dg.DagsterInstance.local_temp(str(folder), overrides=QUIET) as instance:
        tags = {"pid": str(os.getpid())}
        result = dg.execute_job(dg.reconstructable(job), instance, run_config=config, tags=tags)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        events = {f"{event.step_key} {event.event_type_value}" for event in result.all_events}
        return run.status, events, log.lines()


FORKED: dict[str, Any] = {"multiprocess": {"start_method": {"forkserver": {}}, "max_concurrent": 3}}
"""Processes of steps that start at once, not after a second of imports."""


@pytest.mark.parametrize(("job", "execution"), [(phases_only, None), (phase_and_own, {"in_process": {}})])
def test_phases_alone_and_runs_in_process_take_the_process_of_the_run(
    job: dg.JobDefinition, execution: dict[str, Any] | None, tmp_path: Path
) -> None:
    status, _, lines = execute(job, tmp_path, execution)
    assert status is dg.DagsterRunStatus.SUCCESS
    names = [what for what, _ in lines]
    assert (names[:2], names[3:]) == (["opened", "read"], ["closed"])
    assert {pid for _, pid in lines} == {os.getpid()}


@pytest.mark.system
def test_phases_share_a_process_that_ends_with_the_last_of_them(tmp_path: Path) -> None:
    status, events, lines = execute(own_between_phases, tmp_path, FORKED)
    assert status is dg.DagsterRunStatus.SUCCESS
    assert "again STEP_UP_FOR_RETRY" in events
    names = [what for what, _ in lines]
    assert sorted(names) == sorted(["opened", "read", "embed", "own", "again", "again", "after", "closed"])
    processes = {what: pid for what, pid in lines}
    assert {pid for what, pid in lines if what not in ("own", "after")} == {processes["opened"]}
    assert len({processes[what] for what in ("opened", "own", "after")} | {os.getpid()}) == 4


@pytest.mark.system
def test_failure_of_a_phase_stops_only_what_follows_from_it(tmp_path: Path) -> None:
    status, events, lines = execute(failures, tmp_path, FORKED)
    assert status is dg.DagsterRunStatus.FAILURE
    assert {event for event in events if "STEP_SUCCESS" in event} == {"beside STEP_SUCCESS"}
    assert {"crashes STEP_FAILURE", "fails STEP_FAILURE"} <= events
    names = [what for what, _ in lines]
    assert sorted(names) == sorted(["opened", "crashes", "opened", "fails", "beside", "closed"])
    processes = {what: pid for what, pid in lines}
    assert len({processes[what] for what in ("crashes", "fails", "beside")}) == 3


@pytest.mark.system
def test_cancelled_run_closes_the_resources_of_its_phases(tmp_path: Path) -> None:
    status, events, lines = execute(cancelled, tmp_path, FORKED)
    assert status is dg.DagsterRunStatus.CANCELED
    assert "cancels STEP_FAILURE" in events
    assert [what for what, _ in lines] == ["opened", "cancels", "closed"]


@pytest.mark.system
def test_phases_of_a_mixed_run_share_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "videos").mkdir()
    three_shots(tmp_path / "videos" / "0.mp4")
    root = tmp_path / "root"
    monkeypatch.setenv("CURATOR_ROOT", str(root))
    storage = Storage(root=str(root))
    sources = list_sources(str(tmp_path / "videos"), ReadParams())
    (partition,) = register_sources(storage.open(), sources, ReadParams())
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=QUIET) as instance:
        sync_partitions(instance, storage.open())
        job = dg.reconstructable(mixed_project.curate_and_count)
        assert dg.execute_job(job, instance, tags={"dagster/partition": partition}).success
    rows = read_manifest(str(root), "clips").to_pylist()
    assert (root / "count").read_text() == str(len(rows))
    sessions = [made["made_by"]["run_id"] for made in lineage_of(str(root), rows[0]["clip_id"])]
    assert sessions == [sessions[0]] * 2
