"""Executors, which run a pipeline in this process or on a pool of Ray actors.

In: a built pipeline and its tasks. Out: one result per task, in any order; what the runs on a Ray tell of themselves.
Ray is imported by the first `RayExecutor`, or with `read_cluster_status`.
"""

from typing import TYPE_CHECKING

from stages.executors.modes import EXECUTORS, build_executor
from stages.lazy import module_getattr

__all__ = ["EXECUTORS", "build_executor", "read_cluster_status"]

if TYPE_CHECKING:
    from stages.executors.cluster_status import read_cluster_status
else:
    __getattr__ = module_getattr(__name__, cluster_status=("read_cluster_status",))
