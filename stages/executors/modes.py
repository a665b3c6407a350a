"""Which executor serves `executor.mode`."""

from stages import lazy
from stages.params import ExecutorParams
from stages.pipeline import Executor

EXECUTORS = {
    "local": "stages.executors.local:LocalExecutor",
    "streaming": "stages.executors.ray:RayExecutor",
    "batch": "stages.executors.ray:RayExecutor",
}
"""Imported when it is built: Ray takes a second."""


def build_executor(params: ExecutorParams) -> Executor:
    """The executor that the parameters ask for; nothing is started before it is given work."""
    return lazy.load(EXECUTORS[params.mode])(params)
