"""Memory of the device that torch works on."""

import torch


def release() -> None:
    """Give back what torch's allocator of GPU memory caches; nothing on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
