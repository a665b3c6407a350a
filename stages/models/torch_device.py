"""The device that torch works on: its memory, and what float32 means on it."""

import torch


def release() -> None:
    """Give back what torch's allocator of GPU memory caches; nothing on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def use_whole_float32() -> None:
    """Have float32 be float32 in this process: by default a GPU's convolutions round their inputs to 10 bits (TF32).

    A row whose ``dtype`` says float32 then holds what a CPU would have computed, to a rounding.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
