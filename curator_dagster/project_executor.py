"""The executor that a component gives to its project: all steps of a curation in the run's own process.

Dagster's default runs each step in a process of its own. The steps of a curation leave their work to Ray: a process
each costs them a start of Python and of Ray, and their models are loaded again. Runs that hold other steps too, those
of the project's own assets, go on as with Dagster's default.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor

PHASE_TAG = "curator/phase"
"""Tag of an op that runs a phase, with the phase's name."""

_DEFAULT = dg.multi_or_in_process_executor
_CONFIG_SCHEMA: Any = _DEFAULT.config_schema


class _ProjectExecutor(Executor):
    """Runs the steps of a plan in this process where all are phases, else by Dagster's default executor."""

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
        executor = self._default
        if all(PHASE_TAG in step.tags for step in steps):
            executor = InProcessExecutor(self.retries, self.step_dependency_config)
        yield from executor.execute(plan_context, execution_plan)


@dg.executor(
    name="multi_or_in_process_executor",
    config_schema=_CONFIG_SCHEMA,
    requirements=_DEFAULT.get_requirements,
)
def project_executor(init_context: dg.InitExecutorContext) -> Executor:
    """Dagster's default executor, but for runs of nothing but phases; its config is the same."""
    make_default: Any = _DEFAULT.executor_creation_fn
    return _ProjectExecutor(make_default(init_context))
