"""The one process in which the phases of a run take turns, where the run holds other steps too.

Dagster's multiprocess executor decides when each step starts and what follows from its end, and runs the step of any
other asset in a process of its own. A phase is handed to the process of the phases instead, which keeps its resources,
and so its workers and their Ray, from the first phase until no phase of the run is to come.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.executor.child_process_executor import (
    ChildProcessCrashException,
    ChildProcessEvent,
    ChildProcessSystemErrorEvent,
    execute_child_process_command,
)
from dagster._core.executor.multiprocess import execute_step_out_of_process
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_shared.error import SerializableErrorInfo

from curator_dagster.phase_command import PhaseCommand, Step, StepEnded

PHASE_TAG = "curator/phase"
"""Tag of an op that runs a phase, with the phase's name."""


class PhaseProcess:
    """The process, as the run sees it. Starts with the first phase, and again where it died before another one."""

    def __init__(self, execution_plan: Any) -> None:
        self._deps: Mapping[str, set[str]] = execution_plan.get_executable_step_deps()
        self._step_keys = [key for key in self._deps if PHASE_TAG in execution_plan.get_step_by_key(key).tags]
        self._to_come = set(self._step_keys)
        self._is_busy = False
        self._process: Any = None
        self._steps: Connection | None = None
        self._events: Iterator[Any] = iter(())

    def execute_step(
        self,
        multiproc_ctx: Any,
        recon_job: Any,
        step_context: Any,
        step: Any,
        errors: dict[int, SerializableErrorInfo],
        processes: dict[str, Any],
        term_events: dict[str, Any],
        *rest: Any,
    ) -> Iterator[dg.DagsterEvent | None]:
        """The events of a step, None where there is none yet; takes the place of `execute_step_out_of_process`."""
        if PHASE_TAG not in step.tags:
            yield from execute_step_out_of_process(
                multiproc_ctx, recon_job, step_context, step, errors, processes, term_events, *rest
            )
            return
        retry_mode, known_state, repository_load_data = rest
        yield dg.DagsterEvent.step_worker_starting(
            step_context, f'Handing "{step.key}" to the process of the phases.', metadata={}
        )
        if not self._can_take_a_step():
            self.end(step_context)
            self._start(
                multiproc_ctx,
                step_keys=self._step_keys,
                known_state=known_state,
                run_config=step_context.run_config,
                dagster_run=step_context.dagster_run,
                instance_ref=step_context.instance.get_ref(),
                job=recon_job,
                retry_mode=retry_mode,
                repository_load_data=repository_load_data,
            )
        processes[step.key] = self._process
        yield from self._events_of(Step(step.key, known_state), errors, term_events[step.key])

    def _can_take_a_step(self) -> bool:
        return self._steps is not None and not self._steps.closed and self._process.is_alive()

    def _start(self, multiproc_ctx: Any, **fields: Any) -> None:
        received, self._steps = multiproc_ctx.Pipe(duplex=False)
        self._events = execute_child_process_command(multiproc_ctx, PhaseCommand(steps=received, **fields))
        self._process = next(self._events)
        received.close()  # the process has a copy; with this one open the run would not see that it died

    def _events_of(
        self, step: Step, errors: dict[int, SerializableErrorInfo], is_terminated: Any
    ) -> Iterator[dg.DagsterEvent | None]:
        """The events of a step. What ends it comes last, when the process is free: then Dagster starts the next."""
        assert self._steps is not None
        ending = None
        self._is_busy = True
        try:
            with suppress(BrokenPipeError):  # it died just now, which the events tell
                self._steps.send(step)
            for event in self._events:
                if isinstance(event, StepEnded):
                    break
                if isinstance(event, ChildProcessSystemErrorEvent):
                    errors[event.pid] = event.error_info
                elif event is not None and not isinstance(event, ChildProcessEvent) and _ends_a_step(event):
                    ending = event._replace(step_key=step.key)  # resources of several steps name none
                elif not isinstance(event, ChildProcessEvent):
                    yield event
                if is_terminated.is_set():
                    self._steps.close()
        except ChildProcessCrashException:
            if ending is None:
                raise
        finally:
            self._is_busy = False
        if ending is not None:
            yield ending

    def note(self, event: dg.DagsterEvent) -> None:
        """Let the process end where, after this event of the run, no phase is to come."""
        if event.is_step_failure:
            self._to_come -= self._with_downstream(str(event.step_key))
        elif event.is_step_success or event.is_step_skipped:
            self._to_come.discard(str(event.step_key))
        self._end_where_no_phase_is_to_come()

    def _with_downstream(self, key: str) -> set[str]:
        found = {key}
        while more := {step for step, upstream in self._deps.items() if upstream & found} - found:
            found |= more
        return found

    def _end_where_no_phase_is_to_come(self) -> None:
        if not self._to_come and not self._is_busy and self._steps is not None:
            self._steps.close()

    def end(self, context: Any) -> None:
        """Wait until the process has closed its resources; an event of the run says so where it ended otherwise."""
        if self._steps is not None:
            self._steps.close()
        error = None
        try:
            for event in self._events:
                if isinstance(event, ChildProcessSystemErrorEvent):
                    error = event.error_info
        except ChildProcessCrashException:
            error = serializable_error_info_from_exc_info(sys.exc_info())
        if error is not None:
            message = f"The process of the phases ended with exit code {self._process.exitcode}."
            dg.DagsterEvent.engine_event(context, message, EngineEventData.engine_error(error))


def _ends_a_step(event: dg.DagsterEvent) -> bool:
    return (
        event.is_step_success or event.is_step_failure or event.is_step_up_for_retry or event.is_resource_init_failure
    )
