"""Runs of nothing but phases take one process; others go on as with Dagster's default."""

import os
from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.project_executor import PHASE_TAG, project_executor


def _record(context: dg.OpExecutionContext, folder: str) -> None:
    (Path(folder) / f"{context.op.name}-{os.getpid()}").touch()


@dg.op(tags={PHASE_TAG: "read"}, config_schema={"folder": str})
def first(context: dg.OpExecutionContext) -> None:
    _record(context, context.op_config["folder"])


@dg.op(tags={PHASE_TAG: "split"}, config_schema={"folder": str})
def second(context: dg.OpExecutionContext) -> None:
    _record(context, context.op_config["folder"])


@dg.op(config_schema={"folder": str})
def own(context: dg.OpExecutionContext) -> None:
    _record(context, context.op_config["folder"])


@dg.job(executor_def=project_executor)
def phases() -> None:
    first()
    second()


@dg.job(executor_def=project_executor)
def phases_and_own() -> None:
    first()
    own()


@pytest.mark.parametrize(("job", "is_one_process"), [(phases, True), (phases_and_own, False)])
def test_phases_run_in_the_process_of_the_run(job: dg.JobDefinition, is_one_process: bool, tmp_path: Path) -> None:
    names = [node.name for node in job.nodes]
    config = {"ops": {name: {"config": {"folder": str(tmp_path)}} for name in names}}
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        pointer = dg.reconstructable(job)
        assert dg.execute_job(pointer, instance, run_config=config, raise_on_error=True).success
    ran = dict(path.name.rsplit("-", 1) for path in tmp_path.iterdir() if path.name != "home")
    assert set(ran) == set(names)
    assert (set(ran.values()) == {str(os.getpid())}) == is_one_process
    assert len(set(ran.values())) == (1 if is_one_process else 2)
