import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator_dagster.checks.caption_text import caption_text
from curator_dagster.checks.declared import CHECKS, check_specs
from curator_dagster.checks.ecdf import SKETCH_VALUES, ks_critical, ks_statistic, sketch_of
from curator_dagster.checks.fates import failed_share, no_row_lost
from curator_dagster.checks.history import ScoreHistory
from curator_dagster.checks.promises import PROMISES, UNIQUE
from curator_dagster.checks.score_drift import score_drift
from curator_dagster.checks.table_schema import table_schema
from curator_dagster.checks.verdict import Subject, Verdict
from curator_dagster.checks.written_clips import written_clips
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.resources import Storage as StorageResource
from stages.manifest import ManifestRef
from stages.params import CheckParams
from stages.run import PhaseReport, Session
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import QUIET
from tests.curator_dagster.test_assets import range_of
from tests.made_tables import commit_items
from tests.phases import register_names


def report(**values: object) -> PhaseReport:
    facts = {"items": 3, "rows": 3, "counts": {"kept": 2, "rejected": 1, "failed": 0}, **values}
    return PhaseReport("split", "clips", "p", **facts)  # pyright: ignore[reportArgumentType]


def subject(root: Path, made: PhaseReport, **params: Any) -> Subject:
    storage = Storage(root)
    return Subject(made, storage, CheckParams(**params), ScoreHistory(storage))


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


@pytest.mark.parametrize(
    ("values", "passed"), [({}, True), ({"missing": 1}, False), ({"rows": 4}, False), ({"items": 2}, True)]
)
def test_no_row_lost_passes_where_each_item_has_a_row_and_each_row_a_fate(
    tmp_path: Path, values: dict[str, int], passed: bool
) -> None:
    verdict = no_row_lost(subject(tmp_path, report(**values)))
    assert verdict.passed is passed
    assert verdict.figures["items_without_row"] == values.get("missing", 0)


@pytest.mark.parametrize(("failed", "most", "passed"), [(0, 0.0, True), (1, 0.25, True), (1, 0.2, False)])
def test_failed_share_is_at_most_what_is_allowed(tmp_path: Path, failed: int, most: float, passed: bool) -> None:
    made = report(rows=4, counts={"kept": 4 - failed, "failed": failed})
    verdict = failed_share(subject(tmp_path, made, failed_max=most))
    assert (verdict.passed, verdict.figures["share"]) == (passed, failed / 4)


def test_failed_share_passes_an_empty_table(tmp_path: Path) -> None:
    assert failed_share(subject(tmp_path, report(rows=0, counts={}), failed_max=0.0)).passed


@pytest.mark.parametrize("asset", ASSETS)
def test_table_schema_passes_a_table_as_phases_write_it(tmp_path: Path, asset: str) -> None:
    rejected = {"status": "rejected", "reason": "too_short", "clip_id": None, "embedding": None, "path": None}
    made = commit(tmp_path, asset, [row(0), row(1), row(2, **rejected)])
    verdict = table_schema(subject(tmp_path, made))
    assert verdict.passed, verdict.told
    assert asset in UNIQUE
    assert asset in PROMISES


@pytest.mark.parametrize(
    ("asset", "broken", "promise"),
    [
        ("videos", {"width": 0}, "width and height are above 0"),
        ("videos", {"uri": None}, "uri is not null"),
        ("clips", {"status": "lost"}, "status is one of"),
        ("clips", {"status": "failed", "reason": None}, "reason is null where kept, and only there"),
        ("clips", {"clip_id": None}, "a kept row has a clip_id"),
        ("clips", {"end_frame": 3}, "a span lies inside its video"),
        ("clips", {"start_pts": 2}, "start_pts is below end_pts"),
        ("filtered_clips", {"clip_id": "clip0"}, "no two rows share clip_id"),
        ("filtered_clips", {"scores": None}, "scores is not null"),
        ("embeddings", {"embedding": [2.0]}, "finite and of unit length"),
        ("embeddings", {"embedding": [float("nan")]}, "finite and of unit length"),
        ("embeddings", {"embedding": [0.6, 0.8]}, "have one size"),
        ("captions", {"clip_id": "clip0"}, "no two rows share clip_id and window_index"),
        ("captions", {"window_end_frame": 0}, "0 <= window_start_frame < window_end_frame"),
        ("unique_clips", {"similarity": 1.5}, "similarity is a cosine"),
        ("dataset", {"path": None}, "path is not null"),
        ("dataset", {"num_frames": 3}, "num_frames is that of the span"),
    ],
)
def test_table_schema_rejects_a_row_that_breaks_a_promise(
    tmp_path: Path, asset: str, broken: Row, promise: str
) -> None:
    made = commit(tmp_path, asset, [row(0), row(1, **broken)])
    verdict = table_schema(subject(tmp_path, made))
    assert not verdict.passed
    assert promise in verdict.told
    assert verdict.details[0]["rows"] in (1, 2)


def row_file(root: Path, asset: str) -> Path:
    (file,) = (root / f"manifests/{asset}/p").glob("*.parquet")
    return file


def test_table_schema_rejects_a_column_of_another_type(tmp_path: Path) -> None:
    made = commit(tmp_path, "videos", [row()])
    file = row_file(tmp_path, "videos")
    table = pq.read_table(file)
    place = table.schema.get_field_index("width")
    pq.write_table(table.set_column(place, "width", table["width"].cast(pa.int32())), file)
    verdict = table_schema(subject(tmp_path, made))
    assert "width is int64, not int32" in verdict.told


def damage(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("break_file", [damage, Path.unlink])
def test_table_schema_rejects_a_file_that_is_damaged_or_gone(
    tmp_path: Path, break_file: Callable[[Path], None]
) -> None:
    made = commit(tmp_path, "videos", [row()])
    break_file(row_file(tmp_path, "videos"))
    verdict = table_schema(subject(tmp_path, made))
    assert (verdict.passed, verdict.is_known) == (False, True)
    assert "computed again" in verdict.told


@pytest.mark.parametrize("asset", ASSETS)
def test_every_check_passes_a_table_without_rows(tmp_path: Path, asset: str) -> None:
    made = commit(tmp_path, asset, [])
    verdicts = [check.judge(subject(tmp_path, made)) for check in CHECKS if asset in check.assets]
    assert [verdict.told for verdict in verdicts if not verdict.passed] == []


def scored(root: Path, partition: str, values: list[float]) -> PhaseReport:
    rows = [row(n, partition=partition, scores={"motion": value, "still": 1.0}) for n, value in enumerate(values)]
    return commit(root, "filtered_clips", rows, partition)


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    """Keys of three partitions in the order of their registration."""
    return register_names(tmp_path, ["a", "b", "c"], partition_size=1)


def drift(root: Path, three: list[str], *tables: list[float], **params: Any) -> Verdict:
    """What the check says of the last of these tables, those before being there."""
    made = [scored(root, key, values) for key, values in zip(three, tables, strict=False)]
    return score_drift(subject(root, made[-1], **params))


def spread(start: float, count: int = 60) -> list[float]:
    return list(np.linspace(start, start + 1, count))


@pytest.mark.parametrize(
    ("tables", "passed"),
    [
        ([spread(0)], True),  # nothing to compare with
        ([spread(0), spread(0.02)], True),
        ([spread(0), spread(0), spread(0.7)], False),
        ([spread(0), spread(0), spread(5, 4)], True),  # four videos prove nothing
        ([spread(0, 3), spread(5)], True),  # nor do three before
    ],
)
def test_score_drift_fails_where_scores_differ_by_more_than_chance(
    tmp_path: Path, three: list[str], tables: list[list[float]], passed: bool
) -> None:
    verdict = drift(tmp_path, three, *tables)
    assert verdict.passed is passed, verdict.told
    assert passed or "motion" in verdict.told
    assert not passed or verdict.excess <= 0


def test_score_drift_looks_back_as_far_as_it_is_told(tmp_path: Path, three: list[str]) -> None:
    tables = spread(0), spread(5), spread(5)
    assert drift(tmp_path, three, *tables, drift_partitions=1).passed
    verdict = drift(tmp_path, three, *tables, drift_partitions=2)
    assert (verdict.passed, verdict.details[0]["videos_before"], verdict.figures["difference"]) == (False, 120, 0.5)


def test_score_drift_does_not_read_the_tables_before_twice(tmp_path: Path, three: list[str]) -> None:
    expected = drift(tmp_path, three, spread(0), spread(0), spread(0.7)).figures
    for key in three[:2]:
        for file in (tmp_path / f"manifests/filtered_clips/{key}").glob("*.parquet"):
            file.unlink()
    assert score_drift(subject(tmp_path, scored(tmp_path, three[2], spread(0.7)))).figures == expected


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"digest": "d", "scores": {"motion": {}}}'])
def test_score_history_makes_a_sketch_anew_where_the_kept_one_is_of_no_use(
    tmp_path: Path, three: list[str], content: bytes
) -> None:
    expected = drift(tmp_path, three, spread(0), spread(0.7)).figures
    file = tmp_path / f"checks/filtered_clips/{three[0]}.json"
    file.write_bytes(content)
    assert drift(tmp_path, three, spread(0), spread(0.7)).figures == expected
    assert json.loads(file.read_bytes())["scores"]["motion"]["count"] == 60


def test_ks_statistic_is_the_largest_distance_of_the_distribution_functions() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.normal(0, 1, 3000), random.normal(0.5, 1, 2000)
    points = np.concatenate([ours, theirs])
    exact = max(abs((ours <= point).mean() - (theirs <= point).mean()) for point in points)
    halves = [sketch_of(theirs[:500], 1), sketch_of(theirs[500:], 1)]
    assert ks_statistic(sketch_of(ours, 1), halves) == pytest.approx(exact, abs=1.5 / SKETCH_VALUES)
    assert ks_statistic(sketch_of(ours, 1), [sketch_of(ours, 1)]) == 0
    assert ks_statistic(sketch_of(ours, 1), [sketch_of(ours + 99, 1)]) == 1


@pytest.mark.parametrize(("n", "m"), [(8, 80), (64, 640)])
def test_ks_critical_value_is_rarely_exceeded_by_equal_sources(n: int, m: int) -> None:
    random = np.random.default_rng(1)
    limit = ks_critical(n, m, 0.01)
    pairs = [(sketch_of(random.random(n), n), sketch_of(random.random(m), m)) for _ in range(1000)]
    assert sum(ks_statistic(ours, [theirs]) > limit for ours, theirs in pairs) <= 20  # of 10 expected


@pytest.mark.parametrize(
    ("captions", "passed"),
    [
        ([f"Text {n}." for n in range(12)], True),
        (["The same."] * 6 + [f"Text {n}." for n in range(6)], True),
        (["The same.", "the  SAME."] * 4 + [f"Text {n}." for n in range(4)], False),
        (["The same."] * 4, True),  # too few to tell
        (["One.", " ", "Two."], False),
        ([], True),
    ],
)
def test_caption_text_passes_captions_that_differ(tmp_path: Path, captions: list[str], passed: bool) -> None:
    made = commit(tmp_path, "captions", [row(n, caption=caption) for n, caption in enumerate(captions)])
    verdict = caption_text(subject(tmp_path, made))
    assert (verdict.passed, verdict.excess <= 0) == (passed, passed)


def written(root: Path, count: int) -> PhaseReport:
    data = tiny_phases.clip_bytes()
    paths = [{"path": f"dataset/p/{n}.mp4", "metadata_path": f"dataset/p/{n}.json"} for n in range(count)]
    for each in paths:
        Storage(root).write_bytes(each["path"], data)
        Storage(root).write_bytes(each["metadata_path"], b"{}")
    return commit(root, "dataset", [row(n, **each, bytes=len(data)) for n, each in enumerate(paths)])


def test_written_clips_passes_files_as_the_rows_say(tmp_path: Path) -> None:
    verdict = written_clips(subject(tmp_path, written(tmp_path, 3), clips_opened=2))
    assert (verdict.passed, dict(verdict.figures)) == (True, {"clips": 3, "opened": 2, "damaged": 0})


def test_written_clips_rejects_one_missing_file_and_another_whose_bytes_are_no_video(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    file = tmp_path / "dataset/p/1.mp4"
    file.write_bytes(bytes(file.stat().st_size))
    assert "dataset/p/1.mp4 must be a whole video" in written_clips(subject(tmp_path, made)).told
    (tmp_path / "dataset/p/2.json").unlink()
    assert "dataset/p/2.json must be there" in written_clips(subject(tmp_path, made)).told


def run(
    session: Session, storage: StorageResource, asset: str, *, params: CheckParams | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    curation = Curation(checks=params or CheckParams())
    job = curation_definitions(curation, session, storage).resolve_job_def("curate")
    keys = [dg.AssetKey(name) for name in list(ASSETS)[: list(ASSETS).index(asset) + 1]]
    return job.execute_in_process(run_config=QUIET, asset_selection=keys, raise_on_error=False, **options)


def results(result: dg.ExecuteInProcessResult, asset: str, check: str) -> dict[str | None, dg.AssetCheckEvaluation]:
    found = [each for each in result.get_asset_check_evaluations() if each.asset_check_key == key_of(asset, check)]
    by_partition = {each.partition: each for each in found}
    assert len(by_partition) == len(found)
    return by_partition


def key_of(asset: str, check: str) -> dg.AssetCheckKey:
    return dg.AssetCheckKey(dg.AssetKey(asset), check)


def test_range_run_has_a_result_a_partition_and_one_that_the_worst_decides(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    result = run(session, storage, "videos", instance=instance, tags=range_of(partitions))
    assert result.success
    found = results(result, "videos", "failed_share")
    assert {key: each.passed for key, each in found.items()} == {
        **dict.fromkeys(partitions, True),
        partitions[0]: False,
        None: False,
    }
    whole = found[None]
    assert (whole.description or "").startswith(f"1 of 3 partitions failed; the worst is {partitions[0]}: 1 of 2 rows")
    assert whole.severity == dg.AssetCheckSeverity.WARN
    table = whole.metadata["by_partition"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data["result"] for record in table.records] == ["failed", "passed", "passed"]
    assert [record.data["share"] for record in table.records] == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("count", [1, 3])
def test_every_partition_of_a_run_has_a_result_that_dagster_takes_for_current(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance, count: int
) -> None:
    tags = range_of(partitions[:count])  # a range of one key, as a backfill gives it, too
    run(session, storage, "videos", instance=instance, tags=tags)
    info = instance.event_log_storage.get_asset_check_partition_info([key_of("videos", "table_schema")])
    assert {each.partition_key for each in info if each.is_current} >= set(partitions[:count])
    assert {each.latest_execution_status.value for each in info} == {"SUCCEEDED"}


def test_run_of_one_partition_has_one_result_with_its_figures(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    result = run(session, storage, "videos", instance=instance, partition_key=partitions[0])
    (only,) = results(result, "videos", "failed_share").values()
    assert (only.partition, only.passed, only.metadata["share"].value) == (partitions[0], False, 0.5)


def test_blocking_check_stops_what_follows_and_leaves_every_partition_materialized(
    session: Session,
    storage: StorageResource,
    partitions: list[str],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(tiny_phases.FACTS, "width", 0)
    result = run(session, storage, "clips", instance=instance, tags=range_of(partitions))
    assert not result.success
    assert instance.get_materialized_partitions(dg.AssetKey("videos")) == set(partitions)
    assert instance.get_materialized_partitions(dg.AssetKey("clips")) == set()
    failure = result.failure_data_for_node("videos")
    assert failure is not None
    assert "Check table_schema of videos failed" in str(failure.user_failure_data)
    warned = run(
        session,
        storage,
        "clips",
        params=CheckParams(table_schema="warn"),
        instance=instance,
        tags=range_of(partitions),
    )
    assert warned.success


def test_check_that_cannot_be_evaluated_says_so_and_stops_nothing(
    session: Session, storage: StorageResource, partitions: list[str], instance: dg.DagsterInstance
) -> None:
    Path(storage.root).mkdir(exist_ok=True)
    (Path(storage.root) / "checks").write_bytes(b"no folder, so that no sketch can be written")
    params = CheckParams(score_drift="error")
    result = run(session, storage, "filtered_clips", params=params, instance=instance, partition_key=partitions[0])
    assert result.success
    (only,) = results(result, "filtered_clips", "score_drift").values()
    assert (only.passed, only.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (only.description or "").startswith("Could not be evaluated: ")


def test_check_that_is_off_is_not_declared() -> None:
    params = CheckParams(written_clips="off", no_row_lost="off")
    specs = check_specs("dataset", dg.AssetSpec("dataset"), params)
    assert [spec.name for spec in specs] == ["table_schema", "failed_share"]


def test_every_check_is_a_parameter_of_its_name() -> None:
    assert {check.name for check in CHECKS} < set(CheckParams.model_fields)
    assert {check.name for check in CHECKS if check.is_blocking} == {"no_row_lost", "table_schema", "written_clips"}
