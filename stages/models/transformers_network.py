"""Loads and runs an image encoder of the `transformers` library."""

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoImageProcessor, AutoModel

from stages import heartbeat
from stages.errors import ParamsError


class Encoder:
    """An image encoder in evaluation mode on one device."""

    def __init__(self, model: str, revision: str, device: str) -> None:
        pinned: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        self._device = torch.device(device)
        try:
            # Always the Pillow backend: with torchvision installed, its resampling would give other vectors.
            self._processor = AutoImageProcessor.from_pretrained(model, backend="pil", **pinned)
            self._model = AutoModel.from_pretrained(model, use_safetensors=True, **pinned).eval().to(self._device)
        except (OSError, ValueError) as error:
            raise ParamsError(
                f"embed.model must be an image encoder that transformers can load with safetensors, got {model!r} "
                f"(revision {revision}): {error}",
                "embed.model",
            ) from error

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per image, float32 ``[N, D]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        heartbeat.beat()
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"].to(self._device)
        with torch.inference_mode():
            return self._pooled(pixels).float().cpu().numpy()

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's own image embedding or pooled output; the first token where it has neither."""
        if hasattr(self._model, "get_image_features"):
            output = self._model.get_image_features(pixel_values=pixels)
        else:
            output = self._model(pixel_values=pixels)
        if isinstance(output, torch.Tensor):
            return output
        pooler = getattr(output, "pooler_output", None)
        return output.last_hidden_state[:, 0] if pooler is None else pooler.flatten(1)


@functools.lru_cache(maxsize=2)
def _encoder(model: str, revision: str, device: str) -> Encoder:
    return Encoder(model, revision, device)


def load(model: str, revision: str, device: str, num_threads: int) -> Encoder:
    """The encoder on this device, one copy per process.

    Raises:
        ParamsError: the encoder cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    return _encoder(model, revision, device)
