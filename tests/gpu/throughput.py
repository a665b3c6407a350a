"""How fast shots are found and pictures embedded, without decoding: what feeds them comes from memory."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from stages.models import transformers_network
from stages.models.checkpoints import resolve
from stages.models.device_batches import DeviceBatches
from stages.models.torch_device import release
from stages.models.transnetv2 import ShotDetector, StreamedDetector
from stages.models.transnetv2_network import load_transnetv2
from stages.resources import Dtype
from tests.gpu import inputs
from tests.gpu.networks import halves
from tests.gpu.report import Result
from tests.gpu.setting import Setting
from tests.stages.models import picture_checkpoints

DECODED_AT_ONCE = 50


def of_shots(setting: Setting) -> Iterator[Result]:
    """Frames a second of the shot detector, as split feeds it."""
    path = inputs.transnetv2_weights(setting.folder)
    pictures = np.tile(inputs.shots(500, 27, 48), (setting.size(12, 1), 1, 1, 1))[: setting.size(6000, 50)]
    for dtype in ("float32", *halves(setting)):
        network = load_transnetv2(path, setting.device, dtype)
        _detect(StreamedDetector(network, setting.device), pictures[:200])
        started = time.perf_counter()
        _detect(StreamedDetector(network, setting.device), pictures)
        rate = len(pictures) / (time.perf_counter() - started)
        yield Result("throughput", f"TransNetV2, {dtype}", f"{rate:.0f} frames/s")


def _detect(detector: ShotDetector, pictures: Any) -> None:
    for start in range(0, len(pictures), DECODED_AT_ONCE):
        detector.push(pictures[start : start + DECODED_AT_ONCE])
    detector.finish()


def of_embedding(setting: Setting) -> Iterator[Result]:
    """Pictures a second of an encoder, as the embed phase calls it, from bytes in memory to vectors in memory."""
    name = "CLIP ViT-B/32's size" if setting.is_cuda else "a small CLIP"
    folder = setting.folder / "throughput"
    picture_checkpoints.saved(folder, inputs.large_clip if setting.is_cuda else picture_checkpoints.clip)
    side = setting.size(224, 32)
    units = np.repeat(inputs.shots(64, side, side, shot_frames=1), setting.size(128, 4), axis=0)
    asked: tuple[Dtype, ...] = ("float32", *halves(setting))
    for dtype in asked:
        encoder = transformers_network.load(resolve(str(folder), ""), setting.device, 1, dtype, is_video=False)
        batches = DeviceBatches(encoder.encode, first=8, largest=setting.size(512, 8), release=release)
        batches.run([units[: 2 * batches.largest]])
        started = time.perf_counter()
        batches.run([units])
        rate = len(units) / (time.perf_counter() - started)
        yield Result("throughput", f"{name}, {dtype}, {batches.size} a call", f"{rate:.0f} pictures/s")
