"""Reads the tensors of a head from files of safetensors and PyTorch; code in them is never run."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of the file by name.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: _array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"damaged safetensors: {error}") from error


def read_pth(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of the file by name; also where they stand under ``state_dict``.

    Raises:
        ValueError: the file is damaged, holds other things than tensors, or code.
    """
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        told = f"{error}".partition("\n")[0]
        raise ValueError(f"damaged, or more than tensors: {told or 'it ends early'}. Save safetensors.") from error
    tensors = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ValueError("expected tensors by name")
    return {str(name): _array(value) for name, value in tensors.items()}


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    return tensor.detach().to(torch.float64).numpy().astype(np.float64)
