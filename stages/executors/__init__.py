"""Executors, which run a pipeline in this process or on a pool of Ray actors.

In: a built pipeline and its tasks. Out: one result per task, in any order. Ray is imported by the first `RayExecutor`.
"""

from stages.executors.modes import EXECUTORS, build_executor

__all__ = ["EXECUTORS", "build_executor"]
