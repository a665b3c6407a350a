"""Pictures and weights that the checks make for themselves."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.models.transnetv2_network import DILATIONS, FILTERS


def shots(num_frames: int, height: int, width: int, *, seed: int = 1, shot_frames: int = 30) -> NDArray[np.uint8]:
    """Frames of shots, uint8 ``[N, H, W, 3]``: waves that pass over the picture, others after each cut."""
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for number in range(num_frames):
        shot, phase = divmod(number, shot_frames)
        random = np.random.default_rng(seed * 1000 + shot)
        for channel in range(3):
            across, down = random.uniform(2, 14, 2)
            wave = np.sin(across * columns + down * rows + phase * random.uniform(0.05, 0.3))
            frames[number, ..., channel] = random.uniform(70, 180) + wave * random.uniform(20, 60)
    return frames


def transnetv2_weights(folder: Path) -> Path:
    """Random weights of TransNetV2 under the names of the published ones, scaled so that no output is near 0 or 1."""
    torch.manual_seed(7)
    weights: dict[str, torch.Tensor] = {}

    def linear(name: str, inputs: int, outputs: int, gain: float = 1.0) -> None:
        weights[f"{name}.weight"] = torch.randn(outputs, inputs) * gain / inputs**0.5
        weights[f"{name}.bias"] = torch.randn(outputs) * 0.1

    channels = 3
    for stack, filters in enumerate(FILTERS):
        for block in range(2):
            source = f"SDDCNN.{stack}.DDCNN.{block}"
            for step in DILATIONS:
                spatial = torch.randn(2 * filters, channels, 1, 3, 3) / (9 * channels) ** 0.5
                weights[f"{source}.Conv3D_{step}.layers.0.weight"] = spatial
                temporal = torch.randn(filters, 2 * filters, 3, 1, 1) / (6 * filters) ** 0.5
                weights[f"{source}.Conv3D_{step}.layers.1.weight"] = temporal
            for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
                weights[f"{source}.bn.{name}"] = torch.full((4 * filters,), value)
            channels = 4 * filters
    linear("frame_sim_layer.projection", sum(4 * filters for filters in FILTERS), 128)
    linear("frame_sim_layer.fc", 101, 128)
    linear("color_hist_layer.fc", 101, 128)
    linear("fc1", channels * 3 * 6 + 256, 1024)
    linear("cls_layer1", 1024, 1)
    linear("cls_layer2", 1024, 1)
    path = folder / "transnetv2.pth"
    torch.save(weights, path)
    return path


def efficientnet_weights(folder: Path) -> Path:
    """Random weights of EfficientNet-Lite0.

    Raises:
        ImportError: the package of its architecture is not installed.
    """
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(8)
    path = folder / "efficientnet.pth"
    torch.save(EfficientNet.from_name("efficientnet-lite0").state_dict(), path)
    return path


def large_clip() -> tuple[Any, Any]:
    """A CLIP of the size of ViT-B/32 with random weights, and its processor."""
    import transformers

    text: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.CLIPConfig(text_config={**text, "num_attention_heads": 2, "vocab_size": 99})
    return transformers.CLIPModel(config), transformers.CLIPImageProcessorPil()
