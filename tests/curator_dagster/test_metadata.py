from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from curator_dagster.checks import no_row_lost
from curator_dagster.metadata import report_metadata
from curator_dagster.resources import Storage
from stages.params import ReadParams
from stages.pipeline import StageStats
from stages.run import PhaseReport, Session


def report(**values: object) -> PhaseReport:
    facts = {"items": 3, "rows": 3, "counts": {"kept": 2, "rejected": 1, "failed": 0}, **values}
    return PhaseReport("split", "clips", "p", **facts)  # pyright: ignore[reportArgumentType]


def values_of(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """Plain values; a table as its records."""
    return {
        name: [dict(record.data) for record in value.records]
        if isinstance(value, dg.TableMetadataValue)
        else value.value
        for name, value in metadata.items()
    }


@pytest.mark.parametrize(
    ("values", "passed"),
    [({}, True), ({"missing": 1}, False), ({"rows": 4}, False), ({"items": 2}, True)],
)
def test_check_passes_where_each_item_has_a_row_and_each_row_a_fate(values: dict[str, int], passed: bool) -> None:
    result = no_row_lost([report(), report(**values)])
    assert result.passed is passed
    assert result.metadata["items_without_row"].value == values.get("missing", 0)


def test_report_metadata_counts_rows_and_measures_video(
    session: Session, storage: Storage, partitions: list[str]
) -> None:
    ref = storage.ref("videos", partitions[0])
    reports = session.run_phase(ReadParams(), {}, [ref])
    shown = values_of(report_metadata(reports[partitions[0]], ref))
    assert (shown["kept"], shown["failed"], shown["items_computed"]) == (1, 1, 2)
    assert shown["hours_of_video"] == pytest.approx(2 / 3600, abs=1e-4)  # one kept video of 2 s
    assert shown["manifest"].endswith(f"root/manifests/videos/{partitions[0]}")
    assert shown["reasons"] == [{"reason": "unreadable", "rows": 1, "percent": 50.0}]
    assert [record["stage"] for record in shown["phase_stages"]] == ["touch"]


def test_report_metadata_is_flat_where_nothing_was_lost(
    session: Session, storage: Storage, partitions: list[str]
) -> None:
    ref = storage.ref("videos", partitions[2])
    session.run_phase(ReadParams(), {}, [ref])
    stats = StageStats(tasks=1, deaths={"stalled": 2}, counters={})
    done = PhaseReport("read", "videos", ref.partition, rows=1, stages={"probe": stats}, notes={"decoded_frames": 7.0})
    shown = values_of(report_metadata(done, ref))
    assert shown["reasons"] == []
    assert shown["phase_decoded_frames"] == 7.0
    assert [record["workers_lost"] for record in shown["phase_stages"]] == [2]
