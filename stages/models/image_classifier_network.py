"""An image classifier of the `transformers` library, from a folder of safetensors."""

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoImageProcessor, AutoModelForImageClassification

from stages import heartbeat
from stages.errors import ParamsError

_LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)


class ImageClassifier:
    """A classifier in evaluation mode on one device."""

    def __init__(self, folder: str, labels: tuple[str, ...], device: str) -> None:
        self._device = torch.device(device)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            # Always the Pillow backend: with torchvision installed, its resampling would give other numbers.
            self._processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **local)
            model, info = AutoModelForImageClassification.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **local
            )
        except _LOAD_ERRORS as error:
            raise _refused(folder, str(error)) from error
        # What the file lacks would be drawn at random, with a warning.
        if missing := [*info["missing_keys"], *info["mismatched_keys"]]:
            raise _refused(folder, f"its weights are of another architecture; missing: {missing[:3]}")
        self._model = model.eval().to(self._device)
        by_label = {label: index for index, label in model.config.id2label.items()}
        if unknown := sorted(set(labels) - set(by_label)):
            raise ParamsError(
                f"filter.nsfw_labels must be among the classes of {folder}, {sorted(by_label)[:20]}, got {unknown}.",
                "filter.nsfw_labels",
            )
        self._classes = [by_label[label] for label in labels]
        self._are_independent = model.config.problem_type == "multi_label_classification"

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Float32 ``[N]``, of the labels together, of RGB images, uint8 ``[N, H, W, 3]``."""
        heartbeat.beat()
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"].to(self._device)
        with torch.inference_mode():
            logits = self._model(pixel_values=pixels).logits.float()
        if self._are_independent:
            return logits.sigmoid()[:, self._classes].amax(dim=1).cpu().numpy()
        return logits.softmax(dim=1)[:, self._classes].sum(dim=1).cpu().numpy()


def _refused(folder: str, why: str) -> ParamsError:
    return ParamsError(
        f"filter.nsfw_model must be a folder with an image classifier that transformers can load from safetensors, got "
        f"{folder!r}: {why}",
        "filter.nsfw_model",
    )


@functools.lru_cache(maxsize=2)
def _classifier(folder: str, labels: tuple[str, ...], device: str) -> ImageClassifier:
    return ImageClassifier(folder, labels, device)


def load(folder: str, labels: tuple[str, ...], device: str, num_threads: int) -> ImageClassifier:
    """The classifier on this device, one copy per process.

    Raises:
        ParamsError: it cannot be loaded, or has no such labels.
    """
    torch.set_num_threads(max(1, num_threads))
    return _classifier(folder, labels, device)
