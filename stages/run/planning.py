"""Planning ahead: tables are planned in threads, while the tasks of those before them are worked on."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait

from stages.manifest import ManifestRef
from stages.run.table_run import TableRun

MAX_TABLES_AHEAD = 16
"""Most tables that are planned at the same time: on an object store each takes several round trips."""
MAX_ITEMS_AHEAD = 8192
"""Fewer tables are, where they have so many items together, which are in memory then; one is in any case."""

Planned = tuple[ManifestRef, "Future[TableRun]"]


def plan_ahead(
    plan: Callable[[ManifestRef], TableRun], outputs: Iterable[ManifestRef], threads: Executor
) -> Iterator[Planned]:
    """Yield each table with its plan, done or failed, in their order; meanwhile those that follow are planned.

    Args:
        plan: plans a table; called in several threads at once.
        outputs: the tables.
        threads: for the calls.
    """
    remaining = iter(outputs)
    waiting: deque[Planned] = deque()
    num_items = num_tables = 0
    try:
        while True:
            most = min(MAX_ITEMS_AHEAD * num_tables // max(1, num_items), MAX_TABLES_AHEAD)
            for output in itertools.islice(remaining, max(1, most) - len(waiting)):
                waiting.append((output, threads.submit(plan, output)))
            if not waiting:
                return
            output, planned = waiting.popleft()
            wait([planned])
            if planned.exception() is None:
                num_items, num_tables = num_items + planned.result().num_items, num_tables + 1
            yield output, planned
    finally:
        for _, planned in waiting:
            planned.cancel()
