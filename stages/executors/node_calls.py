"""Calls of a function on chosen nodes of a cluster, any of which may be lost meanwhile."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

T = TypeVar("T")

MAX_TRIES = 3
"""Tries on a node that is alive, where Ray fails for another reason."""


def call_on_nodes(
    function: Callable[..., T],
    node_ids: Iterable[str],
    *args: Any,
    environment: dict[str, Any] | None = None,
    timeout_s: float | None = None,
) -> dict[str, T]:
    """Call a function in a process of its own on each node, which takes no CPU from workers.

    Args:
        function: to be found by its name on the nodes, or pickled.
        node_ids: Ray's ids.
        args: of the function.
        environment: runtime environment of the processes.
        timeout_s: after which answers that are late are left out; None to wait for all.

    Returns:
        The answers by node, without nodes that were lost.

    Raises:
        RayError: a node that is alive does not carry out the call in `MAX_TRIES` tries.
        Exception: what the function raises.
    """
    options: dict[str, Any] = {"num_cpus": 0, "max_retries": 0, **({"runtime_env": environment} if environment else {})}
    remote = ray.remote(**options)(function)
    answers: dict[str, T] = {}
    waiting = set(node_ids)
    for tries_left in reversed(range(MAX_TRIES)):
        strategies = {node_id: NodeAffinitySchedulingStrategy(node_id, soft=False) for node_id in sorted(waiting)}
        calls = {
            node_id: remote.options(scheduling_strategy=each).remote(*args) for node_id, each in strategies.items()
        }
        done = set(ray.wait([*calls.values()], num_returns=len(calls), timeout=timeout_s)[0] if calls else [])
        errors: dict[str, RayError] = {}
        for node_id, call in calls.items():
            try:
                answers |= {node_id: ray.get(call)} if call in done else {}
            except RayTaskError:
                raise
            except RayError as error:
                errors[node_id] = error
        waiting = errors.keys() & {node["NodeID"] for node in ray.nodes() if node["Alive"]} if errors else set()
        if waiting and not tries_left:
            raise errors[min(waiting)]
    return answers
