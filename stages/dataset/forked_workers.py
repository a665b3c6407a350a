"""Keeps the garbage of a process out of the workers that are forked from it.

A decoder of FFmpeg decodes on threads of its own, and joins them when it is freed. A fork has none of these threads. A
decoder that is garbage in a reference cycle, as a container that nobody closed is, may be collected in the forked
process instead of in its own: the join never ends there, and with it the worker and everybody who waits for it.
"""

import gc
import os
from functools import cache

_frozen_for_fork = False


@cache
def keep_garbage_out_of_forks() -> None:
    """From now on a process that is forked from this one never collects what existed before the fork.

    Objects of before the fork stay in memory there, which also keeps their pages shared with the parent. The parent
    collects as before. A program that freezes objects itself (`gc.freeze`) is left alone.
    """
    os.register_at_fork(before=_freeze, after_in_parent=_unfreeze)


def _freeze() -> None:
    global _frozen_for_fork
    _frozen_for_fork = gc.get_freeze_count() == 0
    if _frozen_for_fork:
        gc.freeze()


def _unfreeze() -> None:
    if _frozen_for_fork:
        gc.unfreeze()
