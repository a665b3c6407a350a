"""Silero VAD: the probability that somebody speaks, in each block of 32 ms of a sound."""

import functools
from os import PathLike, fspath

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stages import heartbeat
from stages.models.onnx_sessions import open_session
from stages.models.silero import BLOCK_SAMPLES, WANTED_BY

CONTEXT_SAMPLES = 64
"""Of the block before, which the network is given with each."""
CALL_BLOCKS = 256
"""Blocks of one call of the network at most, 8 s."""
_STATE_SHAPE = (1, 1, 128)


class SpeechDetector:
    """Hears one sound, as it comes. What it says of a block depends on all blocks before it.

    Args:
        session: from `load_speech_network`.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._begin()

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities, float32 ``[N]``, 0 to 1, of the blocks that are due.

        Args:
            samples: the next ones, float32 ``[S]``, -1 to 1, of 16 kHz.
        """
        self._waiting.append(samples)
        self._num_waiting += len(samples)
        is_due = self._num_waiting >= CALL_BLOCKS * BLOCK_SAMPLES
        return self._heard() if is_due else np.zeros(0, np.float32)

    def finish(self) -> NDArray[np.float32]:
        """End the sound: the remaining probabilities, of the last block filled up with silence."""
        missing = -self._num_waiting % BLOCK_SAMPLES
        self._waiting.append(np.zeros(missing, np.float32))
        self._num_waiting += missing
        heard = self._heard()
        self._begin()
        return heard

    def _begin(self) -> None:
        self._waiting: list[NDArray[np.float32]] = []
        self._num_waiting = 0
        self._context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._state = (np.zeros(_STATE_SHAPE, np.float32), np.zeros(_STATE_SHAPE, np.float32))

    def _heard(self) -> NDArray[np.float32]:
        number = self._num_waiting // BLOCK_SAMPLES
        if not number:
            return np.zeros(0, np.float32)
        joined = np.concatenate([self._context, *self._waiting])
        rest = joined[CONTEXT_SAMPLES + number * BLOCK_SAMPLES :]
        self._waiting, self._num_waiting = [rest], len(rest)
        self._context = joined[number * BLOCK_SAMPLES :][:CONTEXT_SAMPLES]
        # Each block stands behind the end of the one before it.
        windows = np.lib.stride_tricks.sliding_window_view(joined, CONTEXT_SAMPLES + BLOCK_SAMPLES)[::BLOCK_SAMPLES]
        calls = range(0, number, CALL_BLOCKS)
        found = [self._called(windows[first : min(number, first + CALL_BLOCKS)]) for first in calls]
        return np.concatenate(found)

    def _called(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        heartbeat.beat()
        hidden, cell = self._state
        given = {"input": np.ascontiguousarray(blocks), "h": hidden, "c": cell}
        probabilities, *state = (np.asarray(each) for each in self._session.run(["speech_probs", "hn", "cn"], given))
        self._state = (state[0], state[1])
        return probabilities.reshape(-1).astype(np.float32, copy=False)


@functools.lru_cache(maxsize=1)
def load_speech_network(path: str | PathLike[str], num_threads: int) -> onnxruntime.InferenceSession:
    """The network of a file, see `speech_weights`, on a CPU: it is small; one copy per process.

    Raises:
        ParamsError: the file is damaged.
    """
    return open_session(fspath(path), "cpu", num_threads, wanted_by=WANTED_BY)
