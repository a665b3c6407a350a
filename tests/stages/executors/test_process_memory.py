"""Private memory is what a process has for itself."""

import subprocess
import sys

import numpy as np

from stages.executors.gpu_memory import smallest_gb
from stages.executors.process_memory import private_bytes


def test_private_bytes_grow_by_what_is_written() -> None:
    before = private_bytes()
    assert before is not None
    block = np.ones(64 << 20, np.uint8)
    assert block.nbytes * 0.9 < (private_bytes() or 0) - before < block.nbytes * 1.5


def test_private_bytes_of_a_process_that_ended_are_none() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    assert private_bytes(process.pid) is None


def test_smallest_gb_reads_one_line_a_device() -> None:
    assert smallest_gb("81559\n24576\n") == 24.0
    assert smallest_gb("[N/A]\n") is None
