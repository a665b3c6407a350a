"""CPUs and GPUs that a worker of a stage needs."""

import math
from dataclasses import dataclass
from typing import Literal

from stages.errors import ParamsError

GIB = 1 << 30

MIN_GPU_SHARE = 0.1
"""Share of a GPU of a stage that asks for its decoder or encoder alone; with NeMo's rounding the smallest share."""

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""The precision that is asked for; `stages.models.choose_dtype` says what ``auto`` becomes."""

GpuRounding = Literal["up", "nemo"]
"""How memory becomes a share of a device: ``up`` to hundredths, so that all workers of a device fit into its memory;
``nemo`` to the nearest tenth, as NeMo Curator does."""

SOLD_SIZE = 1.02
"""A request is one whole device up to this multiple of its memory: a card sold as 80 GB reports 79.6 GiB."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources that one worker of a stage occupies while it lives.

    Attributes:
        cpus: CPU cores; also the number of threads of torch and the decoder.
        gpu_memory_gb: GiB of one GPU; becomes a share of a device of the cluster that runs the stage.
        entire_gpu: a whole device with its decode and encode units, whatever its memory.
        gpus: devices, for a stage that spreads over several; a fraction only below 1.
        nvdecs: hardware decoders; Ray does not count them, so they take `MIN_GPU_SHARE` where no GPU is requested.
        nvencs: hardware encoders, likewise.

    Raises:
        ParamsError: a negative figure, `gpus` above 1 that is not whole, `gpu_memory_gb` together with `gpus` or
            `entire_gpu`.
    """

    cpus: float = 1.0
    gpu_memory_gb: float = 0.0
    entire_gpu: bool = False
    gpus: float = 0.0
    nvdecs: int = 0
    nvencs: int = 0

    def __post_init__(self) -> None:
        for name in ("cpus", "gpu_memory_gb", "gpus", "nvdecs", "nvencs"):
            value = getattr(self, name)
            if value < 0:
                raise ParamsError(f"Resources.{name} must be 0 or more, got {value}.")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ParamsError(f"Resources.gpus above 1 must be a whole number, got {self.gpus}.")
        if self.gpus and self.gpu_memory_gb:
            raise ParamsError(
                f"Cannot specify both gpus and gpu_memory_gb, got gpus={self.gpus} and "
                f"gpu_memory_gb={self.gpu_memory_gb}. Use gpu_memory_gb for a share of one GPU and "
                "gpus for a stage that spreads over several."
            )
        if self.entire_gpu and (self.gpus or self.gpu_memory_gb):
            raise ParamsError("entire_gpu already takes one whole device; leave gpus and gpu_memory_gb at 0.")

    @property
    def requires_gpu(self) -> bool:
        """True where the stage must run on a worker with a GPU."""
        return self.entire_gpu or any((self.gpus, self.gpu_memory_gb, self.nvdecs, self.nvencs))

    def gpu_share(self, device_memory_gb: float, rounding: GpuRounding = "up") -> float:
        """The number of GPUs to request from Ray, on a cluster whose smallest GPU has `device_memory_gb` GiB.

        `gpu_memory_gb` becomes a share of that device.

        Raises:
            ParamsError: the memory asked for is more than one device.
        """
        if self.entire_gpu:
            return 1.0
        if not self.gpu_memory_gb:
            return self.gpus or (MIN_GPU_SHARE if self.requires_gpu else 0.0)
        share = _share(self.gpu_memory_gb / device_memory_gb, rounding)
        if share > 1:
            raise ParamsError(
                f"gpu_memory_gb is too large for a single GPU: asked for {self.gpu_memory_gb}, the smallest "
                f"device has {device_memory_gb}. Use gpus for a stage that spreads over several."
            )
        return share


ONE_CPU = Resources()
"""What a stage occupies that says nothing else."""


def _share(ratio: float, rounding: GpuRounding) -> float:
    if rounding == "nemo":
        return max(MIN_GPU_SHARE, round(ratio, 1))
    if 1 < ratio <= SOLD_SIZE:
        return 1.0
    return math.ceil(round(ratio * 100, 6)) / 100  # rounded before, for 0.29 * 100 is above 29
