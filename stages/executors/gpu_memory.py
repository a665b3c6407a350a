"""Memory of this machine's GPUs, as `nvidia-smi` tells it."""

import subprocess

NO_GPU_ADVICE = (
    "Set gpu_memory_gb and gpus of the phase to 0, which computes on the CPU, or join a cluster with a GPU by "
    "executor.address."
)
"""What to do where a stage requires a GPU and there is none."""


def smallest_gpu_gb() -> float | None:
    """GiB of this machine's smallest GPU; None where `nvidia-smi` is missing or fails."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return smallest_gb(output)


def smallest_gb(output: str) -> float | None:
    """The smallest figure of ``nvidia-smi``'s output, one line of MiB a GPU, in GiB; None if there is none."""
    return min((int(line) / 1024 for line in output.split() if line.isdigit()), default=None)
