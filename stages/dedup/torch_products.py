"""Products of vectors by torch on one device."""

import numpy as np
import torch
from numpy.typing import NDArray

from stages.dedup.arrays import Vectors


class TorchProducts:
    """Products in whole float32: TF32 would be wrong by more than the margin of a search."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        torch.backends.cuda.matmul.allow_tf32 = False

    def __call__(self, left: Vectors, right: Vectors) -> NDArray[np.float32]:
        """Products of each row of `left` with each of `right`: float32 ``[R, T]``."""
        sides = [torch.from_numpy(np.array(side, np.float32)).to(self._device) for side in (left, right)]
        return (sides[0] @ sides[1].T).cpu().numpy()
