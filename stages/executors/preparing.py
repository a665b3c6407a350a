"""Stages that are set up ahead: those of the next phase, in workers that have nothing left to do in this one."""

import hashlib
import pickle
from collections.abc import Sequence

from ray import cloudpickle

from stages.errors import PhaseError
from stages.executors.worker_handle import CallKind, RemoteCall, WorkerHandle
from stages.executors.worker_pool import WorkerPool
from stages.pipeline import AnyStage


def stage_key(stage: AnyStage) -> str:
    """A hash of all that a stage is; stages with one key are set up to the same, whatever pipeline they are of.

    Raises:
        PhaseError: the stage cannot be pickled.
    """
    try:
        return hashlib.sha256(cloudpickle.dumps(stage)).hexdigest()[:16]
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise PhaseError(
            f"Stage {stage.name} must be picklable to reach a worker, got {type(error).__name__}: {error}. "
            "Make in setup() what cannot travel."
        ) from error


def can_be_prepared(stage: AnyStage) -> bool:
    """Whether a stage may be set up before its phase: not one that takes a GPU, which the phase at work may fill.

    Nor one that is set up in a few workers only.
    """
    return not stage.resources.requires_gpu and not stage.waits_for_others and not stage.max_workers


class Preparation:
    """Sets stages up ahead of their phase.

    Args:
        stages: of the next phase, in their order.
        shapes: of the workers of each of them.
    """

    def __init__(self, pool: WorkerPool, stages: Sequence[AnyStage], shapes: Sequence[object]) -> None:
        self._pool = pool
        self._stages = [
            (stage_key(stage), stage, shape)
            for stage, shape in zip(stages, shapes, strict=True)
            if can_be_prepared(stage)
        ]

    def use(self, workers: Sequence[WorkerHandle]) -> None:
        """Let workers that have nothing to do set up a stage each, until all have them all."""
        for worker in workers:
            for key, stage, shape in self._stages:
                if worker.shape == shape and key not in worker.prepared and not worker.is_draining:
                    self.submit(worker, key, stage)
                    break

    def submit(self, worker: WorkerHandle, key: str, stage: AnyStage) -> None:
        """Let a worker set a stage up, whether it has started or not."""
        result = worker.actor.prepare.remote(key, stage)
        self._pool.begin_call(worker, RemoteCall(CallKind.SET_UP, result, run_id=key, prepares=key))

    def submit_all(self, worker: WorkerHandle) -> None:
        """Let a worker that starts set up all stages that it can have."""
        for key, stage, shape in self._stages:
            if worker.shape == shape:
                self.submit(worker, key, stage)
