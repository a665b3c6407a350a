"""Maps the values of `executor.mode` to executors."""

import importlib.util

from stages import lazy
from stages.errors import ParamsError
from stages.params import ExecutorParams
from stages.pipeline import Executor

EXECUTORS = {
    "local": "stages.executors.local:LocalExecutor",
    "streaming": "stages.executors.ray:RayExecutor",
    "batch": "stages.executors.ray:RayExecutor",
    "xenna": "stages.executors.xenna_executor:XennaExecutor",
    "xenna_batch": "stages.executors.xenna_executor:XennaExecutor",
}
"""Executor classes by mode, imported when one is built: importing Ray takes a second."""


def build_executor(params: ExecutorParams) -> Executor:
    """Build the executor that `executor.mode` names. It starts nothing before its first task.

    Raises:
        ParamsError: its package is not installed.
    """
    if params.mode.startswith("xenna") and importlib.util.find_spec("cosmos_xenna") is None:
        raise ParamsError(
            f"executor.mode={params.mode} requires the package cosmos-xenna, which is not installed. "
            "Run: pip install 'curator-dagster[xenna]'",
            "executor.mode",
        )
    return lazy.load(EXECUTORS[params.mode])(params)
