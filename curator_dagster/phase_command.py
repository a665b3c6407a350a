"""What the process of the phases does: it runs steps that it is sent, one after another, with one set of resources."""

import os
import queue
import signal
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import dagster as dg
from dagster._core.execution.api import ExecuteRunWithPlanIterable, create_execution_plan
from dagster._core.execution.context_creation_job import PlanExecutionContextManager, create_context_free_log_manager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.executor.child_process_executor import ChildProcessCommand, ChildProcessEvent


@dataclass(frozen=True)
class Step:
    """What the process is asked for: a step, and what the run knows of the steps before it."""

    key: str
    known_state: Any


class StepEnded(ChildProcessEvent):
    """What the process answers after the last event of a step."""


@dataclass(frozen=True)
class PhaseCommand(ChildProcessCommand):
    """What the process does."""

    steps: Connection
    """Sends each `Step`. Its end means that no more follow, and interrupts the one that runs."""
    step_keys: Collection[str]
    """Of all phases of the run, for their resources."""
    known_state: Any
    run_config: Mapping[str, object]
    dagster_run: dg.DagsterRun
    instance_ref: Any
    job: Any
    retry_mode: Any
    repository_load_data: Any

    def execute(self) -> Iterator[Any]:
        """The events of resources and steps, a `StepEnded` after those of each step."""
        with dg.DagsterInstance.from_ref(self.instance_ref) as instance:
            plan = self._plan(self.step_keys, self.known_state)
            context_manager = PlanExecutionContextManager(
                job=self.job.with_repository_load_data(plan.repository_load_data),
                execution_plan=plan,
                run_config=self.run_config,
                dagster_run=self.dagster_run,
                instance=instance,
                retry_mode=self.retry_mode.for_inner_plan(),
            )
            run_steps = partial(self._run_steps, instance, _Receiver(self.steps))
            yield from ExecuteRunWithPlanIterable(plan, run_steps, context_manager)

    def _run_steps(
        self, instance: dg.DagsterInstance, receiver: "_Receiver", job_context: Any, execution_plan: Any
    ) -> Iterator[Any]:
        """Run each step as Dagster runs a step in a process of its own, but with the resources of all."""
        log_manager = create_context_free_log_manager(instance, self.dagster_run)
        for step in receiver.steps():
            yield dg.DagsterEvent.step_worker_started(
                log_manager,
                self.dagster_run.job_name,
                message=f'Executing step "{step.key}" in the process of the phases.',
                metadata={"pid": dg.MetadataValue.text(str(os.getpid()))},
                step_key=step.key,
            )
            yield from inner_plan_execution_iterator(job_context, self._plan([step.key], step.known_state))
            receiver.step_ended()
            yield StepEnded()

    def _plan(self, step_keys: Collection[str], known_state: Any) -> Any:
        return create_execution_plan(
            self.job,
            self.run_config,
            step_keys_to_execute=list(step_keys),
            known_state=known_state,
            repository_load_data=self.repository_load_data,
        )


class _Receiver:
    """Receives steps for the main thread. Interrupts it where the run closes the connection, or dies, during one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._received: queue.SimpleQueue[Step | None] = queue.SimpleQueue()
        self._is_busy = threading.Event()
        threading.Thread(target=self._receive, daemon=True).start()

    def steps(self) -> Iterator[Step]:
        """Each step as it comes, until the connection is closed."""
        yield from iter(self._received.get, None)

    def step_ended(self) -> None:
        """From now until the next step there is nothing to interrupt."""
        self._is_busy.clear()

    def _receive(self) -> None:
        try:
            while True:
                step = self._connection.recv()
                self._is_busy.set()
                self._received.put(step)
        except EOFError:
            self._received.put(None)
            if self._is_busy.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
