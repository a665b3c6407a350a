"""The network of EfficientNet-Lite0 in torch, with the preprocessing of its authors."""

import functools

import cv2
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from stages import heartbeat

INPUT_PX = 224
CROP_SHARE = INPUT_PX / (INPUT_PX + 32)
"""Side of the centre crop as a fraction of the shorter side, as in the authors' evaluation."""
INPUT_MEAN, INPUT_SCALE = 127.0, 128.0
"""Input normalisation that the Lite models were trained with, instead of ImageNet's mean and deviation by channel."""
BATCH_IMAGES = 8
"""Faster than larger batches on a CPU. A batch never holds images of two clips, so features are the same to the last
bit whatever clips are processed together."""


class Network:
    """EfficientNet-Lite0 in evaluation mode on one device."""

    def __init__(self, path: str, device: str) -> None:
        self._device = torch.device(device)
        model = EfficientNet.from_name("efficientnet-lite0")
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        fold_batch_norms(model.eval())
        # torch's stub does not know that a module takes a memory format.
        self._model = model.to(self._device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features, float32 ``[N, 1280]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        return np.concatenate([features.cpu().numpy() for features in self._pooled_features(images)])

    def class_probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability of each class, float32 ``[N, 1000]``, of RGB images, uint8 ``[N, H, W, 3]``."""
        with torch.inference_mode():
            return np.concatenate(
                [
                    torch.softmax(self._model._fc(features), 1).cpu().numpy()
                    for features in self._pooled_features(images)
                ]
            )

    def _pooled_features(self, images: NDArray[np.uint8]) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH_IMAGES):
                heartbeat.beat()
                batch = np.stack([preprocess(image) for image in images[start : start + BATCH_IMAGES]])
                tensor = torch.from_numpy(batch).permute(0, 3, 1, 2).to(self._device)
                found.append(self._model.extract_features(tensor).mean((2, 3)))
        return found


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
    """Centre crop of one RGB image, scaled to 224 x 224 and about -1 to 1: float32 ``[224, 224, 3]``."""
    height, width = image.shape[:2]
    side = max(1, round(min(height, width) * CROP_SHARE))
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    # INTER_AREA averages, so that downscaling does not alias.
    interpolation = cv2.INTER_AREA if side >= INPUT_PX else cv2.INTER_CUBIC
    small = cv2.resize(square, (INPUT_PX, INPUT_PX), interpolation=interpolation)
    return (small.astype(np.float32) - INPUT_MEAN) / INPUT_SCALE


@functools.lru_cache(maxsize=4)
def _network(path: str, device: str) -> Network:
    return Network(path, device)


def load(path: str, device: str, num_threads: int) -> Network:
    """The network with these weights on this device, one copy per process."""
    torch.set_num_threads(max(1, num_threads))
    return _network(path, device)
