"""Loads and runs image and video encoders of the `transformers` library."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel

from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint
from stages.models.dtype import choose_dtype
from stages.models.picture_processor import load_processor
from stages.models.torch_device import use_whole_float32
from stages.models.trust import trust_advice
from stages.resources import Dtype


class Encoder:
    """An encoder in evaluation mode on one device.

    Attributes:
        dtype: precision that it computes in.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: Dtype, *, is_video: bool) -> None:
        use_whole_float32()
        folder = checkpoint.folder
        trusted = {"trust_remote_code": checkpoint.may_run_code}
        self._device = torch.device(device)
        self._normalisation = load_processor(folder, is_video=is_video).normalisation
        try:
            self.dtype = choose_dtype(dtype, device, stored=_stored_dtype(folder, device, **trusted))
            self._torch_dtype = getattr(torch, self.dtype)
            model, report = AutoModel.from_pretrained(
                folder,
                use_safetensors=not checkpoint.is_pickled,
                weights_only=True,
                dtype=self._torch_dtype,
                output_loading_info=True,
                **trusted,
            )
        except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise _unusable(checkpoint, error) from error
        self._has_pooler = not _check_weights(checkpoint, report)
        self._model: Any = model.eval().to(self._device)
        self._mean, self._std = (
            torch.tensor(values, device=self._device).view(3, 1, 1)
            for values in (self._normalisation.mean, self._normalisation.std)
        )

    def encode(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One vector per unit, float32 ``[B, D]``: pictures ``[B, h, w, 3]``, or windows ``[B, T, h, w, 3]``."""
        with torch.inference_mode():
            pixels = torch.from_numpy(units).to(self._device).movedim(-1, -3).float()
            pixels = pixels.mul_(self._normalisation.scale).sub_(self._mean).div_(self._std).to(self._torch_dtype)
            vectors = self._of_windows(pixels) if units.ndim == 5 else self._of_pictures(pixels)
            return vectors.float().cpu().numpy()

    def _of_pictures(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's own image embedding or pooled output; the first token where it has neither."""
        if hasattr(self._model, "get_image_features"):
            return self._pooled(self._model.get_image_features(pixel_values=pixels))
        return self._pooled(self._model(pixel_values=pixels))

    def _of_windows(self, pixels: torch.Tensor) -> torch.Tensor:
        """The model's own video embedding; the mean of its tokens where it has none."""
        if hasattr(self._model, "get_video_features"):
            return self._pooled(self._model.get_video_features(pixel_values=pixels))
        if hasattr(self._model, "get_vision_features"):  # V-JEPA 2, without its predictor
            return self._model.get_vision_features(pixels).mean(1)
        return self._model(pixel_values=pixels).last_hidden_state.mean(1)

    def _pooled(self, output: Any) -> torch.Tensor:
        if isinstance(output, torch.Tensor):
            return output
        pooler = getattr(output, "pooler_output", None) if self._has_pooler else None
        return output.last_hidden_state[:, 0] if pooler is None else pooler.flatten(1)


def _stored_dtype(folder: Path, device: str, **trusted: bool) -> str:
    """The dtype of the checkpoint, as its configuration says; empty where the device does not compute in it."""
    stored = str(getattr(AutoConfig.from_pretrained(folder, **trusted), "dtype", None) or "").removeprefix("torch.")
    is_missing = stored == "bfloat16" and device != "cpu" and not torch.cuda.is_bf16_supported()
    return "" if is_missing else stored


def _unusable(checkpoint: Checkpoint, error: Exception) -> ParamsError:
    advice = f" {trust_advice(checkpoint.model)}" if "trust_remote_code" in str(error) else ""
    return ParamsError(
        f"embed.model must be an image encoder or video encoder that transformers can load with safetensors, got "
        f"{checkpoint.model!r} ({checkpoint.commit or checkpoint.folder}): {error}{advice}",
        "embed.model",
    )


def _check_weights(checkpoint: Checkpoint, report: dict[str, Any]) -> bool:
    """Check that the file gave every weight that the architecture has: the library draws the others at random.

    Returns whether it lacks the pooling layer alone, which checkpoints of classifiers do.

    Raises:
        ParamsError: names some that are missing or of another shape.
    """
    faults = [*sorted(report.get("missing_keys", ())), *map(str, report.get("mismatched_keys", ()))]
    needed = [name for name in faults if "position_ids" not in name and not name.startswith("mask_token")]
    if needed and all(name.startswith("pooler.") for name in needed):
        return True
    if needed:
        raise ParamsError(
            f"embed.model: weights of {checkpoint.model!r} must be those of its architecture, and {len(needed)} are "
            f"missing or of another shape, as {', '.join(needed[:3])}. Get the checkpoint again, or one whose "
            "config.json is its own.",
            "embed.model",
        )
    return False


_loaded: dict[tuple[Any, ...], Encoder] = {}
"""The last encoder of this process: a worker's share of a device is for one, though it may serve several embedders."""


def load(checkpoint: Checkpoint, device: str, num_threads: int, dtype: Dtype, *, is_video: bool) -> Encoder:
    """The encoder on this device, one per process: it stays until another is asked for.

    Raises:
        ParamsError: the encoder cannot be loaded.
    """
    torch.set_num_threads(max(1, num_threads))
    key = (checkpoint, device, dtype, is_video)
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = Encoder(checkpoint, device, dtype, is_video=is_video)
    return _loaded[key]
