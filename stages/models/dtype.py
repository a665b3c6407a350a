"""The precision that a model computes in. Does not import torch."""

from pathlib import Path

from stages.resources import Dtype

_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of ``/proc/cpuinfo``, of x86 and ARM, by which a CPU multiplies bfloat16 itself."""


def choose_dtype(asked: Dtype, device: str, *, stored: str = "float32", bfloat16_on_cpu: bool = False) -> str:
    """The name of the torch dtype that a model computes in.

    ``auto`` is half precision on a GPU: the one that the checkpoint is stored in, else float16, whose mantissa is the
    longer one. On a CPU it is float32; bfloat16 only where both the phase and the hardware know it.

    Args:
        asked: see `ModelParams.dtype`.
        device: see `WorkerMetadata.device`.
        stored: dtype of the checkpoint's weights.
        bfloat16_on_cpu: the phase's models may compute in bfloat16 on a CPU.
    """
    if asked != "auto":
        return asked
    if device != "cpu":
        return stored if stored in ("bfloat16", "float16") else "float16"
    return "bfloat16" if bfloat16_on_cpu and cpu_has_bfloat16() else "float32"


def cpu_has_bfloat16(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the CPU multiplies bfloat16 itself; false where the system does not tell."""
    path = Path(cpuinfo)
    return path.is_file() and not _BFLOAT16_FLAGS.isdisjoint(path.read_text().split())
