"""Tables of made rows, and what a check is given of them."""

from pathlib import Path
from typing import Any

from curator_dagster.checks.checked_table import CheckedTable
from curator_dagster.checks.score_history import ScoreHistory
from stages.manifest import ManifestRef
from stages.params import CheckParams
from stages.run import PhaseReport
from stages.storage import Storage
from stages.tasks import Row
from tests.curator_dagster import tiny_phases
from tests.made_tables import commit_items


def report(**values: object) -> PhaseReport:
    facts = {"items": 3, "rows": 3, "counts": {"kept": 2, "rejected": 1, "failed": 0}, **values}
    return PhaseReport("split", "clips", "p", **facts)  # pyrefly: ignore[bad-argument-type]


def checked_table(root: Path, made: PhaseReport, **params: Any) -> CheckedTable:
    storage = Storage(root)
    return CheckedTable(made, storage, CheckParams(**params), ScoreHistory(storage))


def row(number: int = 0, **values: Any) -> Row:
    """A kept row of any asset that breaks no promise."""
    clip_id = f"clip{number}"
    paths = {"path": f"{clip_id}.mp4", "metadata_path": f"{clip_id}.json", "bytes": 1}
    ids = {"partition": "p", "video_id": f"video{number}", "uri": "/v.mp4", "clip_id": clip_id, "group_id": clip_id}
    return {**tiny_phases.FACTS, **paths, **ids, "size_bytes": 1, "status": "kept", **values}


def commit(root: Path, asset: str, rows: list[Row], partition: str = "p") -> PhaseReport:
    """These rows are the table; returned is what a phase would report of it."""
    items = ((f"{partition}{number}{each.get('scores')}", [each]) for number, each in enumerate(rows))
    made = commit_items(ManifestRef(str(root), asset, partition), items)
    return PhaseReport("x", asset, partition, items=len(rows), rows=len(rows), counts=made.counts, commit=made.number)
