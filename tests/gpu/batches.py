"""Batches: company, growth, memory that runs out."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from stages.models import transformers_network
from stages.models.checkpoints import resolve
from stages.models.device_batches import DeviceBatches
from stages.models.picture_processor import load_processor
from stages.models.torch_device import release
from tests.gpu import inputs
from tests.gpu.networks import relative
from tests.gpu.report import Result, at_most, is_true, not_run
from tests.gpu.setting import Setting
from tests.stages.models import picture_checkpoints

BATCH = 8
COMPANY = "a vector whatever its company"
BACK_OFF = "out of memory: smaller calls"
ROOM_BYTES = 768 << 20
"""Memory that is left beside the model: too little for the 512 pictures that a call would grow to."""


def company(setting: Setting) -> Iterator[Result]:
    """One unit at every place of a batch of one shape, among others each time."""
    folder = setting.folder / "company"
    picture_checkpoints.saved(folder, picture_checkpoints.clip)
    encoder = transformers_network.load(resolve(str(folder), ""), setting.device, 1, "float32", is_video=False)
    units = load_processor(folder, is_video=False).prepare(inputs.shots(BATCH * BATCH, 48, 64, shot_frames=1))
    alone = encoder.encode(np.repeat(units[:1], BATCH, axis=0))[0]
    found = []
    for place in range(BATCH):
        batch = units[place * BATCH : (place + 1) * BATCH].copy()
        batch[place] = units[0]
        found.append(encoder.encode(batch)[place])
    yield at_most(COMPANY, f"CLIP, float32, {BATCH} a call", relative(found, np.stack([alone] * BATCH)), 1e-5)
    parts = [units[:5], units[5:6], units[6:40]]
    single = np.concatenate([encoder.encode(unit[None]) for unit in units[:40]])
    together = DeviceBatches(encoder.encode, first=BATCH, largest=32, release=release).run(parts)
    yield at_most(COMPANY, "CLIP, float32, calls of 8 to 32 against one by one", relative(together, single), 1e-4)


class CappedModel(torch.nn.Module):
    """A layer that tells of memory as CUDA's allocator does, above a number of units."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(48, 16)
        self.capacity, self.largest = capacity, 0

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors ``[B, 16]`` of units ``[B, 48]``.

        Raises:
            torch.OutOfMemoryError: there are more units than it takes.
        """
        if len(pixels) > self.capacity:
            raise torch.OutOfMemoryError(f"out of memory with {len(pixels)} units")
        self.largest = max(self.largest, len(pixels))
        return self.layer(pixels)


def back_off(setting: Setting) -> Iterator[Result]:
    """A model that takes few units at once: no unit is lost, and vectors are those of small calls."""
    torch.manual_seed(2)
    model = CappedModel(capacity=21).eval().to(setting.device)
    units = np.random.default_rng(5).integers(0, 256, (100, 4, 4, 3), np.uint8)

    def encode(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return model(torch.from_numpy(batch).to(setting.device).flatten(1).float() / 255).cpu().numpy()

    expected = np.concatenate([encode(unit[None]) for unit in units])
    found = DeviceBatches(encode, first=4, largest=512, release=release).run([units[:37], units[37:]])
    yield at_most(BACK_OFF, "a module that takes 21 units", relative(found, expected), 1e-5)
    yield is_true(BACK_OFF, "its largest call", f"{model.largest} units", "16 units", holds=model.largest == 16)


def real_memory(setting: Setting) -> Iterator[Result]:
    """A network of the size of CLIP ViT-B/32 on a device whose memory is bounded."""
    of = "CLIP ViT-B/32's size, bounded memory"
    if not setting.is_cuda:
        yield not_run(BACK_OFF, of, "needs CUDA")
        return
    folder = setting.folder / "large"
    picture_checkpoints.saved(folder, inputs.large_clip)
    encoder = transformers_network.load(resolve(str(folder), ""), setting.device, 1, "float32", is_video=False)
    units = np.repeat(inputs.shots(16, 224, 224, shot_frames=1), 64, axis=0)
    expected = encoder.encode(units[::64].copy())
    release()
    total = torch.cuda.get_device_properties(setting.device).total_memory
    room = (torch.cuda.memory_reserved(setting.device) + ROOM_BYTES) / total
    torch.cuda.set_per_process_memory_fraction(room, setting.device)
    try:
        batches = DeviceBatches(encoder.encode, first=8, largest=512, release=release)
        found = batches.run([units])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setting.device)
    yield is_true(
        BACK_OFF, of, f"{batches.size} pictures a call", "8 to 256 pictures a call", holds=8 <= batches.size <= 256
    )
    yield at_most(BACK_OFF, f"{of}: its vectors", relative(found[::64], expected), 1e-4)
