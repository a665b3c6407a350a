"""The executor that a component gives to its project: all phases of a run in one process, and so with one Ray.

Dagster's default runs each step in a process of its own. The steps of a curation leave their work to Ray: a process
each costs them a start of Python and of Ray, and their models are loaded again. So a run of nothing but phases takes
the run's own process. In a run that holds other steps too, those of the project's own assets, the phases share a
process, one at a time, and all else is as with Dagster's default.
"""

from collections.abc import Iterator
from types import FunctionType
from typing import Any

import dagster as dg
from dagster._core.executor import multiprocess
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.multiprocess import MultiprocessExecutor

from curator_dagster.phase_process import PHASE_TAG, PhaseProcess

_DEFAULT = dg.multi_or_in_process_executor
_CONFIG_SCHEMA: Any = _DEFAULT.config_schema
_ONE_PHASE_AT_A_TIME = {"key": PHASE_TAG, "limit": 1}


class _ProjectExecutor(Executor):
    """Runs the phases of a plan in one process, and other steps by Dagster's default executor."""

    def __init__(self, default: Executor) -> None:
        self._default = default

    @property
    def retries(self) -> Any:
        """Whether steps are tried again, as the run's config says."""
        return self._default.retries

    @property
    def step_dependency_config(self) -> Any:
        """When a step may start, as the default executor has it."""
        return self._default.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """The events of the steps."""
        steps = [execution_plan.get_step_by_key(key) for key in execution_plan.step_keys_to_execute]
        if all(PHASE_TAG in step.tags for step in steps):
            executor = InProcessExecutor(self.retries, self.step_dependency_config)
            yield from executor.execute(plan_context, execution_plan)
        elif isinstance(self._default, MultiprocessExecutor):
            yield from _execute_mixed(self._default, plan_context, execution_plan)
        else:
            yield from self._default.execute(plan_context, execution_plan)


def _execute_mixed(default: MultiprocessExecutor, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
    """The events of steps of which some are phases.

    Dagster's executor has no option for how it runs a step: it calls a function of its module. So its method runs here
    with another function of that name, and the module stays as it is.
    """
    phases = PhaseProcess(execution_plan)
    names = {**vars(multiprocess), multiprocess.execute_step_out_of_process.__name__: phases.execute_step}
    execute = FunctionType(MultiprocessExecutor.execute.__code__, names)
    try:
        for event in execute(default, plan_context, execution_plan):
            yield event
            phases.note(event)
    finally:
        phases.end(plan_context)


@dg.executor(
    name="multi_or_in_process_executor",
    config_schema=_CONFIG_SCHEMA,
    requirements=_DEFAULT.get_requirements,
)
def project_executor(init_context: dg.InitExecutorContext) -> Executor:
    """Dagster's default executor, but for how it runs phases; its config is the same."""
    make_default: Any = _DEFAULT.executor_creation_fn
    config: dict[str, Any] = {**init_context.executor_config}
    if multiprocess_config := config.get("multiprocess"):
        limits = [*(multiprocess_config.get("tag_concurrency_limits") or []), _ONE_PHASE_AT_A_TIME]
        config["multiprocess"] = {**multiprocess_config, "tag_concurrency_limits": limits}
    return _ProjectExecutor(make_default(init_context._replace(executor_config=config)))
