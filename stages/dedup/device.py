"""Products of vectors on the worker's device: numpy on a CPU, torch on a GPU.

Both are float32 with errors far below `MARGIN`; who is near is decided by exact similarities, whatever the device.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.dedup.arrays import Vectors

Multiply = Callable[[Vectors, Vectors], NDArray[np.float32]]
"""Products of each row of the first with each row of the second: float32 ``[R, T]``."""


def multiply_on_cpu(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    """Products by numpy."""
    return left @ right.T


_chosen: list[Multiply] = [multiply_on_cpu]


def use_device(device: str) -> None:
    """Multiply on this device from now on in this process; see `WorkerMetadata.device`."""
    _chosen[0] = multiply_on_cpu if device == "cpu" else lazy.load("stages.dedup.torch_products:TorchProducts")(device)


def multiply(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    """Products on the device in use."""
    return _chosen[0](left, right)
