"""One stage on one batch: the outcome of each task where the stage raises."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from stages.errors import DeviceLost, Reason, StorageError, is_device_lost
from stages.executors.batch_runner import collect_rows, run_batch
from stages.failures import failure_of
from stages.stage import ProcessingStage
from stages.tasks import Failed, Rejected, Task


class UnavailableStore(ProcessingStage[Task, Task]):
    """Fails as a stage whose store does not answer within all retries."""

    name = "away"
    batch_size = 16
    calls = 0

    def process(self, task: Task) -> Task | Rejected | Failed:
        self.calls += 1
        raise StorageError("s3://b", "s3://b must answer")


def test_run_batch_waits_for_a_store_once_a_batch() -> None:
    stage, tasks = UnavailableStore(), [Task(str(number)) for number in range(16)]
    done = run_batch(stage, tasks)
    assert done.results == [Failed(Reason.STORAGE, "StorageError: s3://b must answer", is_lasting=True)] * 16
    assert stage.calls == 1


def huge_picture() -> Any:
    return cv2.resize(np.zeros((4, 4), np.uint8), (1 << 30, 1 << 30))


def huge_tensor() -> Any:
    return torch.empty(1 << 60)


@pytest.mark.parametrize("make", [huge_picture, huge_tensor])
def test_failure_of_takes_what_libraries_say_of_memory_for_passing(make: Any) -> None:
    with pytest.raises((cv2.error, RuntimeError)) as raised:
        make()
    assert failure_of(raised.value).reason is Reason.OUT_OF_MEMORY


def test_failure_of_takes_other_words_of_libraries_for_the_stages_own() -> None:
    for make in (lambda: cv2.resize(np.zeros((0, 0), np.uint8), (4, 4)), lambda: torch.ones(2) @ torch.ones(3)):
        with pytest.raises((cv2.error, RuntimeError)) as raised:
            make()
        assert failure_of(raised.value).reason is Reason.STAGE_ERROR


def test_collect_rows_that_find_no_memory_fail_in_passing() -> None:
    outcome = collect_rows(lambda task: [{"a": np.empty(1 << 50)}], [Task("1")])
    assert isinstance(outcome, Failed)
    assert outcome.reason is Reason.OUT_OF_MEMORY


ASSERTED = (
    "CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert' in the documentation of CUDA.\n"
    "CUDA kernel errors might be asynchronously reported at some other API call."
)
"""As torch 2.11 tells an index out of bounds."""


class LostGpu(ProcessingStage[Task, Task]):
    """Fails as a stage whose process has lost its GPU: every call does."""

    name = "lost"
    batch_size = 4

    def process(self, task: Task) -> Task | Rejected | Failed:
        raise RuntimeError(ASSERTED)


def test_a_lost_gpu_ends_the_worker_instead_of_failing_all_that_comes() -> None:
    with pytest.raises(DeviceLost, match=r"^The GPU answers this process no more: RuntimeError: CUDA error: device-"):
        run_batch(LostGpu(), [Task("a"), Task("b")])


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        (ASSERTED, True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: unspecified launch failure", True),
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", False),
        ("CUDA error: no kernel image is available for execution on the device", False),
        ("CUDA error: invalid argument", False),
        ("device-side assert triggered", False),
    ],
)
def test_faults_that_pass_with_their_call_are_no_lost_gpu(text: str, is_lost: bool) -> None:
    assert is_device_lost(RuntimeError(text)) is is_lost
    assert not is_device_lost(ValueError(text))
