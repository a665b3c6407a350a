"""Where the checks run, and how large they are."""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Setting:
    """What all checks are given.

    Attributes:
        device: for torch.
        folder: an empty one, for checkpoints.
    """

    device: str
    folder: Path

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU; on a CPU sizes are small."""
        return self.device.startswith("cuda")

    def size(self, on_gpu: int, on_cpu: int) -> int:
        """A size that depends on the device."""
        return on_gpu if self.is_cuda else on_cpu

    def describe(self) -> str:
        """The device and the libraries, for the heading of the table."""
        import transformers

        name = torch.cuda.get_device_name(self.device) if self.is_cuda else "CPU"
        if self.is_cuda:
            major, minor = torch.cuda.get_device_capability(self.device)
            gib = torch.cuda.get_device_properties(self.device).total_memory / (1 << 30)
            name += f" (compute capability {major}.{minor}, {gib:.0f} GiB)"
        return f"{name}, torch {torch.__version__}, transformers {transformers.__version__}"
