"""Each network on the device against the CPU, and in half precision against the whole one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages.models import image_classifier_network, text_networks, transformers_network
from stages.models.checkpoints import resolve
from stages.models.dtype import choose_dtype
from stages.models.picture_processor import load_processor
from stages.models.transnetv2_network import WINDOW, load_transnetv2
from stages.resources import Dtype
from tests.gpu import inputs
from tests.gpu.report import Result, at_most, is_true, not_run
from tests.gpu.setting import Setting
from tests.stages.models import picture_checkpoints, text_checkpoints

MAX_DIFFERENCE = 1e-4
"""Of float32 on two devices, as a share of the largest number."""
MAX_HALF = {"float16": 1e-2, "bfloat16": 5e-2}
"""Of half precision from float32: of probabilities, and of 1 - cosine of vectors."""
TEXTS = ["a dog runs on grass", "red car", "water is poured into the glass"]
VIDEO_FRAMES = 4
ENCODERS = ("clip", "siglip2", "dinov2", "dinov3", "videomae", "xclip", "vjepa2")
SAME, HALF = "float32 as on the CPU", "half precision"

Vectors = NDArray[np.float32]


def relative(found: Any, expected: Any) -> float:
    """Largest difference as a share of the largest number; NaN where a number is none."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def furthest(found: Vectors, expected: Vectors) -> float:
    """The largest distance of two vectors by their angle: 1 - cosine."""
    one, other = found.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float((1 - (one * other).sum(1) / lengths).max())


def halves(setting: Setting) -> tuple[Dtype, ...]:
    """The half precisions that the device computes in; float16 is no kind of a CPU."""
    return ("float16", "bfloat16") if setting.is_cuda else ("bfloat16",)


def precision(setting: Setting) -> Iterator[Result]:
    """What ``dtype=auto`` becomes."""
    expected = "float16" if setting.is_cuda else "float32"
    found = choose_dtype("auto", setting.device)
    yield is_true("dtype=auto", "a checkpoint in float32", found, expected, holds=found == expected)
    found = choose_dtype("auto", setting.device, stored="bfloat16")
    expected = "bfloat16" if setting.is_cuda else "float32"
    yield is_true("dtype=auto", "a checkpoint in bfloat16", found, expected, holds=found == expected)


def shot_network(setting: Setting) -> Iterator[Result]:
    """TransNetV2, whose probabilities of two windows are compared."""
    path = inputs.transnetv2_weights(setting.folder)
    pictures = torch.from_numpy(inputs.shots(2 * WINDOW, 27, 48))

    def probabilities(device: str, dtype: str) -> NDArray[np.float32]:
        network = load_transnetv2(path, device, dtype)
        windows = [network(each.to(device)) for each in pictures.split(WINDOW)]
        return torch.cat(windows, 1).float().cpu().numpy()

    expected = probabilities("cpu", "float32")
    yield at_most(SAME, "TransNetV2", float(np.abs(probabilities(setting.device, "float32") - expected).max()), 1e-4)
    for dtype in halves(setting):
        found = float(np.abs(probabilities(setting.device, dtype) - expected).max())
        yield at_most(f"{HALF}, {dtype}", "TransNetV2", found, MAX_HALF[dtype])


def efficientnet(setting: Setting) -> Iterator[Result]:
    """EfficientNet-Lite0, whose features are compared."""
    try:
        path = inputs.efficientnet_weights(setting.folder)
    except ImportError as error:
        yield not_run(SAME, "EfficientNet-Lite0", f"{error.name} is not installed")
        return
    from stages.models.efficientnet_network import Network

    pictures = inputs.shots(setting.size(8, 2), 96, 128, shot_frames=1)

    def features(device: str, dtype: str) -> Vectors:
        return Network(str(path), device, dtype).features(pictures)

    yield from _compared(setting, "EfficientNet-Lite0", features)


def encoders(setting: Setting) -> Iterator[Result]:
    """Image and video encoders of transformers, on small random checkpoints."""
    for name in ENCODERS:
        folder = setting.folder / name
        picture_checkpoints.saved(folder, getattr(picture_checkpoints, name))
        yield from _compared(setting, name, _encoder(folder, is_video=name in ENCODERS[4:]))


def _encoder(folder: Path, *, is_video: bool) -> Callable[[str, str], Vectors]:
    pictures = load_processor(folder, is_video=is_video).prepare(inputs.shots(8, 48, 64, shot_frames=1))
    units = pictures.reshape(2, VIDEO_FRAMES, *pictures.shape[1:]) if is_video else pictures

    def vectors(device: str, dtype: Any) -> Vectors:
        return transformers_network.load(resolve(str(folder), ""), device, 1, dtype, is_video=is_video).encode(units)

    return vectors


def _compared(setting: Setting, name: str, vectors: Callable[[str, str], Vectors]) -> Iterator[Result]:
    expected = vectors("cpu", "float32")
    yield at_most(SAME, name, relative(vectors(setting.device, "float32"), expected), MAX_DIFFERENCE)
    for dtype in halves(setting):
        yield at_most(f"{HALF}, {dtype}", name, furthest(vectors(setting.device, dtype), expected), MAX_HALF[dtype])


def texts(setting: Setting) -> Iterator[Result]:
    """Text towers of CLIP and SigLIP, and the network of sentences."""
    networks = (
        ("text tower of CLIP", text_checkpoints.save_clip, text_networks.load_tower),
        ("text tower of SigLIP", text_checkpoints.save_siglip, text_networks.load_tower),
        ("sentences (BERT)", text_checkpoints.save_sentence_model, text_networks.load_sentence_network),
    )
    for number, (name, save, load) in enumerate(networks):
        folder = str(save(setting.folder / f"texts{number}"))
        expected = load(folder, "cpu", 1).features(TEXTS)
        yield at_most(SAME, name, relative(load(folder, setting.device, 1).features(TEXTS), expected), MAX_DIFFERENCE)


def classifier(setting: Setting) -> Iterator[Result]:
    """An image classifier, as filter nsfw runs one."""
    checkpoint = resolve(str(picture_checkpoints.save_classifier(setting.folder / "classifier")), "")
    pictures = inputs.shots(6, 48, 64, shot_frames=1)

    def probabilities(device: str, dtype: Any) -> NDArray[np.float32]:
        network = image_classifier_network.load(checkpoint, ("porn", "sexy"), device, 1, dtype)
        return network.probabilities(pictures)

    expected, name = probabilities("cpu", "float32"), "image classifier (ViT)"
    yield at_most(SAME, name, relative(probabilities(setting.device, "float32"), expected), MAX_DIFFERENCE)
    for dtype in halves(setting):
        found = float(np.abs(probabilities(setting.device, dtype) - expected).max())
        yield at_most(f"{HALF}, {dtype}", name, found, MAX_HALF[dtype])
