"""A linear head over embeddings: one number of a vector, as LAION's aesthetic predictors make it. Light to import.

Read are safetensors, npz, and PyTorch's pth where it holds tensors alone. Either one layer (``weight``, ``bias``), or
several without anything in between (``layers.0.weight``, ``layers.2.weight``, ...), as in LAION's improved predictor:
such a chain is one layer, and is made one here.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages import lazy
from stages.errors import ParamsError

FORMATS = (".safetensors", ".npz", ".pth")

_Arrays = Mapping[str, NDArray[Any]]


class LinearHead:
    """``vectors @ weights + bias``.

    Args:
        file: the head, see above.
        parameter: that named the file, for messages.

    Raises:
        ParamsError: the file is missing, damaged or pickled code, or what it holds is no linear head.
    """

    def __init__(self, file: str, parameter: str) -> None:
        path = Path(file)
        if not path.is_file() or path.suffix not in FORMATS:
            raise ParamsError(
                f"{parameter} must be a file of {', '.join(FORMATS)} with the weight and bias of a linear head, got "
                f"{file!r}{'' if path.is_file() else ', which does not exist'}.",
                parameter,
            )
        try:
            self.weights, self.bias = _composed(_READERS[path.suffix](path))
        except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise ParamsError(
                f"{parameter} must hold a linear head: 'weight' of 1 row and 'bias', or a chain of such layers; {file} "
                f"does not: {error}",
                parameter,
            ) from error

    @property
    def size(self) -> int:
        """Numbers of a vector that it takes."""
        return len(self.weights)

    def __call__(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Float64 ``[N]`` of vectors ``[N, size]``."""
        return vectors @ self.weights + self.bias


def _composed(arrays: _Arrays) -> tuple[NDArray[np.float64], float]:
    """Weights ``[D]`` and bias of the chain of layers.

    Raises:
        ValueError: the arrays are no such chain, end in more than one number, or are not finite.
    """
    layers = sorted({name.rpartition(".")[0] for name in arrays}, key=_numbers)
    wanted = {f"{layer}.{part}" if layer else part for layer in layers for part in ("weight", "bias")}
    if not arrays or wanted != set(arrays):
        raise ValueError(f"expected weight and bias of each layer, got {sorted(arrays)[:8]}")
    weights, bias = np.empty((0, 0)), np.empty(0)
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        matrix = np.atleast_2d(np.asarray(arrays[f"{prefix}weight"], np.float64))
        offset = np.atleast_1d(np.asarray(arrays[f"{prefix}bias"], np.float64))
        fits = matrix.ndim == 2 and offset.shape == (len(matrix),) and weights.shape[0] in (0, matrix.shape[-1])
        if not fits:
            raise ValueError(f"{prefix}weight of {matrix.shape} and bias of {offset.shape} do not follow each other")
        bias = offset if not len(weights) else matrix @ bias + offset
        weights = matrix if not len(weights) else matrix @ weights
    if len(weights) != 1:
        raise ValueError(f"expected one number as its output, got {len(weights)}")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ValueError("its weights are not finite")
    return weights[0], float(bias[0])


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _read_safetensors(path: Path) -> _Arrays:
    return lazy.load("stages.models.head_files:read_safetensors", wanted_by="A head of safetensors")(path)


def _read_pth(path: Path) -> _Arrays:
    return lazy.load("stages.models.head_files:read_pth", wanted_by="A head of PyTorch")(path)


def _read_npz(path: Path) -> _Arrays:
    with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


_READERS = {".safetensors": _read_safetensors, ".pth": _read_pth, ".npz": _read_npz}
