"""Freed memory goes back to the system."""

import platform

import numpy as np
import pytest

from stages.executors.process_memory import private_bytes
from stages.split import heap

BLOCK_BYTES = 64 << 10
"""Small enough that glibc takes it from its heap."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_trim_returns_holes_in_the_heap() -> None:
    blocks = [np.ones(BLOCK_BYTES, np.uint8) for _ in range(2000)]
    del blocks[:-1]  # the last one lies behind the hole
    before = private_bytes() or 0
    heap.trim()
    assert before - (private_bytes() or 0) > 60 << 20
    assert blocks[0].all()
