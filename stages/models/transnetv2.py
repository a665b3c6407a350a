"""TransNetV2 over a whole video: both probabilities of each frame, from overlapping windows."""

import functools
from array import array
from collections.abc import Callable
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray

from stages import heartbeat
from stages.models.transnetv2_network import CONTEXT, STEP, WINDOW, TransNetV2, load_transnetv2
from stages.stage import WorkerMetadata


def published_end_padding(num_frames: int) -> int:
    """Copies of the last frame that the network's authors append to a video, so that the last windows are complete."""
    return CONTEXT + STEP - (num_frames % STEP or STEP)


def no_end_padding(num_frames: int) -> int:
    """NeMo Curator appends none; its last windows are shorter."""
    return 0


class SlidingWindows:
    """Divides a stream of pictures into overlapping windows; keeps no more than one window between calls.

    Args:
        process: called with each window, uint8 ``[<= 100, 27, 48, 3]``.
        end_padding: gives the copies of the last frame to append to a video of so many frames.
    """

    def __init__(
        self, process: Callable[[NDArray[np.uint8]], None], end_padding: Callable[[int], int] = published_end_padding
    ) -> None:
        self._process = process
        self._end_padding = end_padding
        self._buffered: NDArray[np.uint8] | None = None
        self._num_processed = 0
        self.num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next pictures, uint8 ``[N, 27, 48, 3]``."""
        if not len(pictures):
            return
        buffered = self._buffered if self._buffered is not None else np.repeat(pictures[:1], CONTEXT, axis=0)
        self._buffered = np.concatenate([buffered, pictures])
        self.num_frames += len(pictures)
        while len(self._buffered) >= WINDOW:
            self._process_window()

    def finish(self) -> None:
        """Process the remaining pictures."""
        if self._buffered is None:
            return
        self._buffered = np.concatenate(
            [self._buffered, np.repeat(self._buffered[-1:], self._end_padding(self.num_frames), axis=0)]
        )
        while self._num_processed < self.num_frames:
            self._process_window()

    def _process_window(self) -> None:
        if self._buffered is not None:
            self._process(self._buffered[:WINDOW])
            self._buffered = self._buffered[STEP:]
            self._num_processed += STEP


class ShotDetector:
    """Computes shot change probabilities of one video while it is decoded.

    Args:
        network: from `load_transnetv2`.
        device: device of the network.
        end_padding: see `SlidingWindows`.
    """

    def __init__(
        self, network: TransNetV2, device: str, end_padding: Callable[[int], int] = published_end_padding
    ) -> None:
        self._network = network
        self._device = device
        self._windows = SlidingWindows(self._predict, end_padding)
        # Growing arrays: small ones per window would fragment the heap between the windows' allocations.
        self._probabilities = (array("f"), array("f"))

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next pictures, uint8 ``[N, 27, 48, 3]``, RGB."""
        self._windows.push(pictures)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """End the video; of each frame the probability of a shot change there, and of lying in a transition.

        Both float32 ``[N]``, 0 to 1.
        """
        self._windows.finish()
        shot, transition = (np.array(each, np.float32)[: self._windows.num_frames] for each in self._probabilities)
        return shot, transition

    def _predict(self, window: NDArray[np.uint8]) -> None:
        probabilities = self._network(torch.from_numpy(np.ascontiguousarray(window)).to(self._device))
        for taken, values in zip(self._probabilities, probabilities.tolist(), strict=True):
            taken.extend(values)
        heartbeat.beat()


def padded_detector_factory(
    weights: str | PathLike[str], worker: WorkerMetadata, dtype: str = "float32"
) -> Callable[[], ShotDetector]:
    """A factory of detectors, one per video, with windows padded as the network's authors do."""
    return _detector_factory(weights, worker, dtype, published_end_padding)


def nemo_detector_factory(
    weights: str | PathLike[str], worker: WorkerMetadata, dtype: str = "float32"
) -> Callable[[], ShotDetector]:
    """A factory of detectors, one per video, with the windows of NeMo Curator."""
    return _detector_factory(weights, worker, dtype, no_end_padding)


def _detector_factory(
    weights: str | PathLike[str], worker: WorkerMetadata, dtype: str, end_padding: Callable[[int], int]
) -> Callable[[], ShotDetector]:
    torch.set_num_threads(max(1, worker.num_threads))
    network = load_transnetv2(weights, worker.device, dtype)
    return functools.partial(ShotDetector, network, worker.device, end_padding)
