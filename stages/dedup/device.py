"""Products of vectors on the worker's device: numpy on a CPU, torch on a GPU.

Both are float32 with errors far below `MARGIN`; who is near is decided by exact similarities, whatever the device.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.dedup.arrays import Vectors

Multiply = Callable[[Vectors, Vectors], NDArray[np.float32]]
"""Products of each row of the first with each row of the second: float32 ``[R, T]``."""


def multiply_on_cpu(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    """Products by numpy."""
    return left @ right.T


class TorchProducts:
    """Products by torch on one device, in whole float32: TF32 would be wrong by more than `MARGIN`."""

    def __init__(self, device: str) -> None:
        import torch  # a worker on a CPU does not need it

        self._torch: Any = torch
        self._device = torch.device(device)
        torch.backends.cuda.matmul.allow_tf32 = False

    def __call__(self, left: Vectors, right: Vectors) -> NDArray[np.float32]:
        """Products, see `Multiply`."""
        sides = [self._torch.from_numpy(np.array(side, np.float32)).to(self._device) for side in (left, right)]
        return (sides[0] @ sides[1].T).cpu().numpy()


_chosen: list[Multiply] = [multiply_on_cpu]


def use_device(device: str) -> None:
    """Multiply on this device from now on in this process; see `WorkerMetadata.device`."""
    _chosen[0] = multiply_on_cpu if device == "cpu" else TorchProducts(device)


def multiply(left: Vectors, right: Vectors) -> NDArray[np.float32]:
    """Products on the device in use."""
    return _chosen[0](left, right)
