"""TransNetV2 over a whole video: both probabilities of each frame, from one long window or from overlapping ones."""

import functools
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from os import PathLike
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stages import heartbeat
from stages.models.transnetv2_network import CONTEXT, STEP, WINDOW, TransNetV2, load_transnetv2
from stages.models.transnetv2_stream import OUTPUT_DELAY, TransNetV2Stream
from stages.stage import WorkerMetadata

Windows = Literal["whole", "published", "nemo"]


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


class ShotDetector(ABC):
    """Computes shot change probabilities of one video while it is decoded.

    Args:
        network: from `load_transnetv2`.
        device: device of the network.
    """

    def __init__(self, network: TransNetV2, device: str) -> None:
        self._network = network
        self._device = device
        # Growing arrays: small ones per window would fragment the heap between the windows' allocations.
        self._probabilities = (array("f"), array("f"))

    @abstractmethod
    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next pictures, uint8 ``[N, 27, 48, 3]``, RGB."""

    @abstractmethod
    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """End the video; of each frame the probability of a shot change there, and of lying in a transition.

        Both float32 ``[N]``, 0 to 1.
        """

    def _predict(self, pictures: NDArray[np.uint8], predict: Callable[[torch.Tensor], torch.Tensor]) -> None:
        probabilities = predict(torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device))
        for taken, values in zip(self._probabilities, probabilities.tolist(), strict=True):
            taken.extend(values)
        heartbeat.beat()

    def _taken(self, first: int, num_frames: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shot, transition = (np.array(each, np.float32)[first : first + num_frames] for each in self._probabilities)
        return shot, transition


class WindowedDetector(ShotDetector):
    """By windows of 100 frames, which overlap by half: each frame is computed twice, as by the network's authors.

    Args:
        end_padding: see `SlidingWindows`.
    """

    def __init__(
        self, network: TransNetV2, device: str, end_padding: Callable[[int], int] = published_end_padding
    ) -> None:
        super().__init__(network, device)
        self._windows = SlidingWindows(lambda window: self._predict(window, network), end_padding)

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next pictures."""
        self._windows.push(pictures)

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Process the last windows, which may be shorter."""
        self._windows.finish()
        return self._taken(0, self._windows.num_frames)


class StreamedDetector(ShotDetector):
    """By one window as long as the video, with copies of its first and last frame around it."""

    def __init__(self, network: TransNetV2, device: str) -> None:
        super().__init__(network, device)
        self._stream = TransNetV2Stream(network)
        self._buffered = np.empty((0, 27, 48, 3), np.uint8)
        self._last = self._buffered
        self._num_frames = 0

    def push(self, pictures: NDArray[np.uint8]) -> None:
        """Add the next pictures."""
        if not len(pictures):
            return
        if not self._num_frames:
            self._add(np.repeat(pictures[:1], CONTEXT, axis=0))
        self._num_frames += len(pictures)
        self._add(pictures)
        self._last = pictures[-1:].copy()

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Push what the last outputs wait for."""
        if self._num_frames:
            self._stream.end(self._num_frames + 2 * CONTEXT)
            self._add(np.repeat(self._last, CONTEXT, axis=0))
        first = OUTPUT_DELAY + CONTEXT
        while self._num_frames and len(self._probabilities[0]) < first + self._num_frames:
            self._add(np.zeros((STEP, *self._last.shape[1:]), np.uint8))
        return self._taken(first, self._num_frames)

    def _add(self, pictures: NDArray[np.uint8]) -> None:
        self._buffered = np.concatenate([self._buffered, pictures])
        while len(self._buffered) >= STEP:
            self._predict(self._buffered[:STEP], self._stream.push)
            self._buffered = self._buffered[STEP:]


def shot_detector_factory(
    weights: str | PathLike[str], worker: WorkerMetadata, windows: Windows, dtype: str = "float32"
) -> Callable[[], ShotDetector]:
    """A factory of detectors, one per video; one at a time is in use.

    Args:
        weights: file of the published weights.
        worker: on which it runs.
        windows: 'whole' for one window as long as the video; 'published' for those of the network's authors; 'nemo' for
            those of NeMo Curator, which are shorter at the end.
        dtype: precision of the convolutions.
    """
    torch.set_num_threads(max(1, worker.num_threads))
    network = load_transnetv2(weights, worker.device, dtype)
    if windows == "whole":
        return functools.partial(StreamedDetector, network, worker.device)
    end_padding = no_end_padding if windows == "nemo" else published_end_padding
    return functools.partial(WindowedDetector, network, worker.device, end_padding)
