"""An image classifier of the `transformers` library, from a checkpoint of safetensors."""

import functools
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoModelForImageClassification

from stages.errors import ParamsError
from stages.models.checkpoints import Checkpoint
from stages.models.device_batches import DeviceBatches
from stages.models.dtype import choose_dtype
from stages.models.picture_processor import load_processor
from stages.models.torch_device import release, use_whole_float32
from stages.resources import Dtype

_LOAD_ERRORS = (OSError, ValueError, KeyError, RuntimeError, SafetensorError, EOFError, pickle.UnpicklingError)


class ImageClassifier:
    """A classifier in evaluation mode on one device.

    Attributes:
        dtype: precision that it computes in.
    """

    def __init__(self, checkpoint: Checkpoint, labels: tuple[str, ...], device: str, dtype: Dtype) -> None:
        use_whole_float32()
        folder, self._device = checkpoint.folder, torch.device(device)
        self.dtype = choose_dtype(dtype, device)
        self._torch_dtype = getattr(torch, self.dtype)
        self._processor = load_processor(folder, is_video=False, param=checkpoint.param)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model, info = AutoModelForImageClassification.from_pretrained(
                folder,
                use_safetensors=not checkpoint.is_pickled,
                weights_only=True,
                output_loading_info=True,
                dtype=self._torch_dtype,
                **local,
            )
        except _LOAD_ERRORS as error:
            raise _refused(checkpoint, str(error)) from error
        # What the file lacks would be drawn at random, with a warning.
        if missing := [*info["missing_keys"], *info["mismatched_keys"]]:
            raise _refused(checkpoint, f"its weights are of another architecture; missing: {missing[:3]}")
        self._model = model.eval().to(self._device)
        by_label = {label: index for index, label in model.config.id2label.items()}
        if unknown := sorted(set(labels) - set(by_label)):
            raise ParamsError(
                f"filter.nsfw_labels must be among the classes of {folder}, {sorted(by_label)[:20]}, got {unknown}.",
                "filter.nsfw_labels",
            )
        self._classes = [by_label[label] for label in labels]
        self._are_independent = model.config.problem_type == "multi_label_classification"
        normalisation = self._processor.normalisation
        self._scale = normalisation.scale
        self._mean, self._std = (
            torch.tensor(values, device=self._device).view(3, 1, 1)
            for values in (normalisation.mean, normalisation.std)
        )

    def probabilities(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], first: int = 8, largest: int = 8
    ) -> NDArray[np.float32]:
        """Float32 ``[N]``, of the labels together, of RGB images, uint8 ``[H, W, 3]`` of any sizes.

        Args:
            images: at least one.
            first: pictures of the first call of the network, see `DeviceBatches`.
            largest: pictures of a call at most.
        """
        batches = DeviceBatches(self._of_units, first=first, largest=largest, release=release)
        return batches.run([self._processor.prepare(images)])[:, 0]

    def _of_units(self, units: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities ``[B, 1]`` of pictures of the input size, in one call of the network."""
        with torch.inference_mode():
            pixels = torch.from_numpy(units).to(self._device).permute(0, 3, 1, 2).float()
            pixels = pixels.mul_(self._scale).sub_(self._mean).div_(self._std).to(self._torch_dtype)
            logits = self._model(pixel_values=pixels).logits.float()
            if self._are_independent:
                found = logits.sigmoid()[:, self._classes].amax(dim=1)
            else:
                found = logits.softmax(dim=1)[:, self._classes].sum(dim=1)
            return found[:, None].cpu().numpy()


def _refused(checkpoint: Checkpoint, why: str) -> ParamsError:
    return ParamsError(
        f"{checkpoint.param} must be a folder with an image classifier that transformers can load from safetensors, "
        f"got {str(checkpoint.folder)!r}: {why}",
        checkpoint.param,
    )


@functools.lru_cache(maxsize=2)
def _classifier(checkpoint: Checkpoint, labels: tuple[str, ...], device: str, dtype: Dtype) -> ImageClassifier:
    return ImageClassifier(checkpoint, labels, device, dtype)


def load(
    checkpoint: Checkpoint, labels: tuple[str, ...], device: str, num_threads: int, dtype: Dtype = "auto"
) -> ImageClassifier:
    """The classifier on this device, one copy per process.

    Raises:
        ParamsError: it cannot be loaded, or has no such labels.
    """
    torch.set_num_threads(max(1, num_threads))
    return _classifier(checkpoint, labels, device, dtype)
