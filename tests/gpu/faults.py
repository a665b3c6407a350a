"""A fault that leaves a process without its GPU: it is told as such, and another process is not concerned."""

import subprocess
import sys
from collections.abc import Iterator

import torch

from tests.gpu.report import Result, is_true, not_run
from tests.gpu.setting import Setting

POISON = """
import sys, torch
from stages.errors import is_device_lost
values, place = torch.zeros(4, device=sys.argv[1]), torch.tensor([99], device=sys.argv[1])
told = []
for attempt in (lambda: values[place].sum().item(), lambda: torch.ones(3, device=sys.argv[1]).sum().item()):
    try:
        attempt()
        told.append("no error")
    except Exception as error:
        told.append(f"{type(error).__name__} {is_device_lost(error)}")
print(", ".join(told))
"""
OF = "an index out of bounds on the device"
CHECK = "poisoned context"


def poisoned_context(setting: Setting) -> Iterator[Result]:
    """In a process of its own, an assertion on the device; then any other call, which must fail the same way."""
    if not setting.is_cuda:
        yield not_run(CHECK, OF, "needs CUDA")
        return
    done = subprocess.run(
        [sys.executable, "-c", POISON, setting.device], capture_output=True, text=True, timeout=120, check=False
    )
    told = (done.stdout.strip().splitlines() or [f"exit code {done.returncode}: {done.stderr.strip()[-150:]}"])[-1]
    expected = "both calls tell of a lost device"
    yield is_true(CHECK, OF, told, expected, holds=told.count(" True") == 2)
    alive = torch.ones(3, device=setting.device).sum().item()
    yield is_true(CHECK, "another process, meanwhile", f"computes {alive:g}", "computes 3", holds=alive == 3)
