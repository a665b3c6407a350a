"""What a run tells of itself while it works: plain values, for its record and for the cluster that it works on."""

from collections.abc import Collection
from typing import Any

from stages import executors
from stages.pipeline import RunStats, StageStats
from stages.run.progress import Progress

STATUS_INTERVAL_S = 1.0
_MAX_NAMES = 20
"""Partitions in work that are named."""


def describe_phase(progress: Progress, stats: RunStats, in_work: Collection[str]) -> dict[str, Any]:
    """The phase in work: rows, rate, queues, what workers do, and what failed.

    Args:
        progress: of the phase.
        stats: of its pipeline.
        in_work: partitions that are planned and not committed.
    """
    return {
        "phase": progress.phase,
        "activity": progress.activity,
        "in_work": sorted(in_work)[:_MAX_NAMES],
        "partitions_done": progress.partitions,
        "partitions": progress.total_partitions,
        "done": progress.done,
        "failed": progress.failed,
        "left": progress.total - progress.done,
        "is_planned": progress.is_planned,
        "items_per_s": round(progress.items_per_s, 3),
        "seconds": round(progress.seconds, 1),
        "remaining_s": None if progress.remaining_s is None else round(progress.remaining_s, 1),
        "failures": dict(stats.failures),
        "stages": {name: _describe_stage(name, each, stats) for name, each in stats.stages.items()},
        "nodes": _describe_nodes(stats),
        "left_out_nodes": {node: stats.left_out_nodes.get(node, "") for node in stats.load.left_out_nodes},
    }


def _describe_stage(name: str, stage: StageStats, stats: RunStats) -> dict[str, Any]:
    queue = stats.load.queues.get(name)
    known_s = stage.busy_s + stage.idle_s
    return {
        "tasks": stage.tasks,
        "retries": stage.retries,
        "waiting": queue.waiting if queue else 0,
        "held_bytes": queue.held_bytes if queue else 0,
        "busy_workers": sum(number for (_, _, of), number in stats.load.workers.items() if of == name),
        "busy_share": round(stage.busy_s / known_s, 3) if known_s else None,
        "deaths": dict(stage.deaths),
    }


def _describe_nodes(stats: RunStats) -> dict[str, dict[str, int]]:
    """By node, number of workers that are busy, idle and starting; under "" those that have no node yet."""
    nodes: dict[str, dict[str, int]] = {}
    for (node, state, _), number in stats.load.workers.items():
        states = nodes.setdefault(node, {"busy": 0, "idle": 0, "starting": 0})
        states[state] += number
    return nodes


def read_cluster_status(address: str) -> list[dict[str, Any]]:
    """What each run at work on a Ray cluster last told of itself, with ``silent_s``, the seconds since.

    Raises:
        PoolError: no Ray answers at the address.
    """
    return executors.read_cluster_status(address)
