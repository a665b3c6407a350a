"""The network of EfficientNet-Lite0 in torch, with the preprocessing of its authors."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from stages import heartbeat
from stages.models.efficientnet_pictures import crop_square, crop_squares
from stages.models.torch_device import use_whole_float32

INPUT_MEAN, INPUT_SCALE = 127.0, 128.0
"""Input normalisation that the Lite models were trained with, instead of ImageNet's mean and deviation by channel."""
BATCH_IMAGES = 8
"""Images of one call where the caller gives any number: faster than larger batches on a CPU."""


class Network:
    """EfficientNet-Lite0 in evaluation mode on one device."""

    def __init__(self, path: str, device: str, dtype: str = "float32") -> None:
        use_whole_float32()
        self._device, self._dtype = torch.device(device), getattr(torch, dtype)
        model = EfficientNet.from_name("efficientnet-lite0")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        fold_batch_norms(model.eval())
        # torch's stub does not know that a module takes a memory format.
        model.to(self._device, self._dtype).to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]
        self._model = model

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[N, 1280]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return np.concatenate([self.encode(squares) for squares in _batches(images)])

    def encode(self, squares: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[N, 1280]``, of images from `crop_square`, in one call of the network."""
        with torch.inference_mode():
            return self._pooled_features(squares).float().cpu().numpy()

    def class_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of each class, float32 ``[N, 1000]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        with torch.inference_mode():
            logits = [self._model._fc(self._pooled_features(squares)) for squares in _batches(images)]
            return torch.softmax(torch.cat(logits).float(), 1).cpu().numpy()

    def _pooled_features(self, squares: NDArray[np.uint8]) -> torch.Tensor:
        """Pooled features ``[N, 1280]``; bytes go to the device, which makes floats of them."""
        pixels = torch.from_numpy(squares).to(self._device).permute(0, 3, 1, 2).float()
        return self._model.extract_features(pixels.sub_(INPUT_MEAN).div_(INPUT_SCALE).to(self._dtype)).mean((2, 3))


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), BATCH_IMAGES):
        heartbeat.beat()
        yield crop_squares(images[start : start + BATCH_IMAGES])


def fold_batch_norms(model: EfficientNet) -> None:
    """Fold every batch norm into the convolution before it: equal output up to rounding, in half the time."""
    _fold(model, ("_conv_stem", "_bn0"), ("_conv_head", "_bn1"))
    for block in model._blocks:
        if hasattr(block, "_expand_conv"):
            _fold(block, ("_expand_conv", "_bn0"))
        _fold(block, ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def _fold(module: nn.Module, *pairs: tuple[str, str]) -> None:
    for convolution, norm in ((getattr(module, first), getattr(module, second)) for first, second in pairs):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
    for _, second in pairs:
        setattr(module, second, nn.Identity())


def preprocess(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The network's input of one RGB image, about -1 to 1: float32 ``[224, 224, 3]``."""
    return (crop_square(image).astype(np.float32) - INPUT_MEAN) / INPUT_SCALE


@functools.lru_cache(maxsize=4)
def _network(path: str, device: str, dtype: str) -> Network:
    return Network(path, device, dtype)


def load(path: str, device: str, num_threads: int, dtype: str = "float32") -> Network:
    """The network with these weights on this device, one copy per process."""
    torch.set_num_threads(max(1, num_threads))
    return _network(path, device, dtype)
