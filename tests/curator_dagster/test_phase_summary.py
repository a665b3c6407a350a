from pathlib import Path

import dagster as dg
import pytest

from curator_dagster.phase_summary import summary_line
from stages.run import PhaseReport, Session
from tests.curator_dagster.conftest import NAMES_WITH_A_DEDUP_FAILURE, Run, write_sources


@pytest.fixture
def source_folder(tmp_path: Path) -> Path:
    return write_sources(tmp_path / "sources", NAMES_WITH_A_DEDUP_FAILURE)


def reports_of(session: Session) -> dict[str, list[PhaseReport]]:
    """Of the newest run of the job, by asset."""
    return {next(iter(each.values())).asset: list(each.values()) for each in session.reports[-7:]}


@pytest.mark.system
def test_backfill_with_a_changed_threshold_redecides_and_computes_nothing(
    run: Run, session: Session, partitions: list[str]
) -> None:
    run(partitions, ["videos", "clips", "filtered_clips"])
    run(partitions, ["filtered_clips"], filtered_clips={"motion_min": 0.002})
    assert summary_line(session.reports[-1]) == (
        "filter: 3 partitions, 5 items: 0 reused, 5 redecided, 0 computed "
        "because filter.motion_min changed from 0.0015 to 0.002"
    )


@pytest.mark.system
def test_backfill_with_a_changed_prompt_computes_captions_and_says_why(
    run: Run, session: Session, partitions: list[str]
) -> None:
    run(partitions)
    result = run(partitions, captions={"prompt": "What moves?"})
    computed = {asset: sum(report.computed for report in each) for asset, each in reports_of(session).items()}
    assert [asset for asset, items in computed.items() if items] == ["captions"]
    events = result.asset_materializations_for_node("captions")
    why = str(events[0].metadata["items_made_again_because"].value)
    assert why == "caption.prompt changed from 'describe' to 'What moves?'"


def test_summary_line_counts_the_partitions_that_a_change_affects(
    run: Run, session: Session, partitions: list[str]
) -> None:
    run(partitions[:2], ["videos", "clips"])
    run(partitions, ["videos", "clips"], clips={"threshold": 0.3})
    assert summary_line(session.reports[-1]).endswith(
        "5 computed because split.threshold changed from 0.4 to 0.3 (in 2)"
    )


def test_step_says_before_its_work_that_parameters_changed(
    run: Run, instance: dg.DagsterInstance, partitions: list[str]
) -> None:
    run(partitions[:2], ["videos", "clips"])
    result = run(partitions, ["videos", "clips"], clips={"threshold": 0.3})
    events = [(entry.step_key, entry.user_message) for entry in instance.all_logs(result.run_id)]
    said = (
        "Tables are made with other parameters than before. "
        "clips: split.threshold changed from 0.4 to 0.3 (in 2 of 3 tables)."
    )
    position = events.index(("clips", said))
    assert position < next(index for index, (key, text) in enumerate(events) if key == "clips" and "computed" in text)
    assert not any("other parameters" in text for key, text in events if key == "videos")


def test_summary_line_of_nothing_says_so() -> None:
    assert summary_line({}) == "Nothing was to be made."
