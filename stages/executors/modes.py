"""Maps the values of `executor.mode` to executors."""

from stages import lazy
from stages.params import ExecutorParams
from stages.pipeline import Executor

EXECUTORS = {
    "local": "stages.executors.local:LocalExecutor",
    "streaming": "stages.executors.ray:RayExecutor",
    "batch": "stages.executors.ray:RayExecutor",
}
"""Executor classes by mode, imported when one is built: importing Ray takes a second."""


def build_executor(params: ExecutorParams) -> Executor:
    """Build the executor that `executor.mode` names. It starts nothing before its first task."""
    return lazy.load(EXECUTORS[params.mode])(params)
