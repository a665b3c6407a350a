"""`curator status`: what the runs at work on a root, or on a Ray cluster, do right now."""

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console

from curator_dagster.commands.console import build_table, stdout_console
from curator_dagster.progress import format_duration
from stages.errors import ManifestError
from stages.run_records import SeenRun, read_runs
from stages.storage import Storage

_SILENT_S = 30.0
"""A run at work that was not heard of for so long is remarked on: its record is written every few seconds."""


def status_of_root(root: str, *, as_json: bool) -> None:
    """Print the runs at work on a root, or how the last one ended.

    Raises:
        ManifestError: there is nothing of a root at this place.
        StorageError: the root does not answer.
    """
    storage = Storage(root)
    runs = read_runs(storage)
    if not runs and not {"runs", "partitions", "manifests"} & set(storage.folders("")):
        raise ManifestError(f"ROOT must be where `curator run` wrote to, got {root!r}, where nothing of a root is.")
    described = [_of_record(run) for run in runs]
    at_work = [each for each in described if each["state"] == "at work"]
    if as_json:
        _print_json({"root": storage.root, "at_work": at_work, "last": described[0] if described else None})
        return
    out = stdout_console()
    for each in at_work:
        _print_run(out, each)
    if not at_work:
        out.print(f"No run is at work on {storage.root}.", soft_wrap=True)
        if described:
            _print_run(out, described[0])


def status_of_cluster(address: str, *, as_json: bool) -> None:
    """Print the runs at work on a Ray cluster.

    Raises:
        PoolError: no Ray answers at the address.
    """
    from stages.run import read_cluster_status  # imports every phase

    runs = read_cluster_status(address)
    if as_json:
        _print_json({"address": address, "at_work": runs})
        return
    out = stdout_console()
    if not runs:
        out.print(f"No run is at work on the Ray at {address}.", soft_wrap=True)
    for run in runs:
        out.print(f"run {run['run']} ({run['run_id'][:12]}) on root {run['root']}", soft_wrap=True)
        _print_state(out, "at work", run["silent_s"])
        _print_phase(out, run["progress"])


def _print_json(value: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def _of_record(run: SeenRun) -> dict[str, Any]:
    entry = run.entry
    state = "ended" if entry.has_ended else "at work" if run.is_alive else "dead"
    return {
        "run": entry.number,
        "run_id": entry.run_id,
        "state": state,
        "started": entry.started,
        "machine": entry.machine.partition(" ")[0],
        "pid": entry.pid,
        "silent_s": round(run.silent_s, 1),
        "progress": entry.progress,
    }


def _print_run(out: Console, run: Mapping[str, Any]) -> None:
    who = f"run {run['run']} ({run['run_id'][:12]}), process {run['pid']} of {run['machine']}, begun {run['started']}"
    out.print(who, soft_wrap=True)
    _print_state(out, run["state"], run["silent_s"])
    _print_phase(out, run["progress"])


def _print_state(out: Console, state: str, silent_s: float) -> None:
    ago = f"{format_duration(silent_s)} ago"
    if state == "dead":
        out.print(
            f"  dead: its process is gone, or was not heard of; last sign of life {ago}. The same command goes on."
        )
    elif state == "ended":
        out.print(f"  ended {ago}")
    else:
        remark = " (it should be a few seconds)" if silent_s > _SILENT_S else ""
        out.print(f"  at work, last sign of life {ago}{remark}")


def _print_phase(out: Console, progress: Mapping[str, Any]) -> None:
    if not progress:
        return
    rows = f"{progress['done']} items done, {progress['failed']} of them failed, {progress['left']} left"
    rows += "" if progress["is_planned"] else " or more"
    left = progress["remaining_s"]
    out.print(
        f"  {progress['phase']}: {rows}, {progress['items_per_s']:g} items/s, {format_duration(progress['seconds'])}"
        + (f", about {format_duration(left)} left" if left is not None else "")
        + (f"; {progress['activity']}" if progress["activity"] else ""),
        soft_wrap=True,
    )
    names = ", ".join(progress["in_work"]) or "none"
    out.print(
        f"  partitions: {progress['partitions_done']} of {progress['partitions']} done, in work: {names}",
        soft_wrap=True,
    )
    for reason, count in progress["failures"].items():
        out.print(f"  failed with {reason}: {count}")
    for node, why in progress["left_out_nodes"].items():
        out.print(f"  left out: node {node}: {why}", soft_wrap=True)
    _print_tables(out, progress)


def _print_tables(out: Console, progress: Mapping[str, Any]) -> None:
    columns = ["stage", "waiting", "held MB", "busy workers", "busy share", "tasks", "retries", "deaths"]
    stages = [
        [
            *(name, each["waiting"], f"{each['held_bytes'] / 1e6:.1f}", each["busy_workers"]),
            "" if each["busy_share"] is None else f"{each['busy_share']:.0%}",
            *(each["tasks"], each["retries"], sum(each["deaths"].values())),
        ]
        for name, each in progress["stages"].items()
    ]
    if stages:
        out.print(build_table(columns, stages, numbers=columns[1:]))
    nodes = [
        [node or "not placed yet", each["busy"], each["idle"], each["starting"], f"{_busy_share(each):.0%}"]
        for node, each in progress["nodes"].items()
    ]
    if nodes:
        columns = ["node", "busy", "idle", "starting", "busy share"]
        out.print(build_table(columns, nodes, numbers=columns[1:]))


def _busy_share(states: Mapping[str, int]) -> float:
    return states["busy"] / max(1, sum(states.values()))
