from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curator_dagster.metadata import Metadata, definition_location, materialization_metadata
from curator_dagster.metadata.materialization import MAX_PARTITIONS_WITH_PICTURES, evenly_spaced
from curator_dagster.resources import Storage
from stages.errors import Reason
from stages.params import CaptionParams, FilterParams, ReadParams, SplitParams
from stages.pipeline import StageStats
from stages.run import PhaseReport, Session
from tests.stages.pictures.stores import PARTITION, clip_row, commit, jpeg, write_store


def report(asset: str, **values: Any) -> PhaseReport:
    facts: dict[str, Any] = {
        "items": 2,
        "rows": 2,
        "computed": 2,
        "counts": {"kept": 2},
        "commit": 1,
        "seconds": 4.0,
        **values,
    }
    return PhaseReport("phase", asset, PARTITION, **facts)


def values_of(metadata: Metadata) -> dict[str, Any]:
    """Plain values; a table as its records."""
    return {
        name: [dict(record.data) for record in value.records]
        if isinstance(value, dg.TableMetadataValue)
        else value.value
        for name, value in metadata.items()
    }


def metadata_by_partition(reports: Mapping[str, PhaseReport], storage: Storage) -> dict[str, dict[str, Any]]:
    return {partition: values_of(metadata) for partition, metadata in materialization_metadata(reports, storage)}


@pytest.fixture
def videos_and_clips(storage: Storage) -> Storage:
    """An hour of video of 1,000 frames, and two kept clips of it, together 900 s long."""
    root = Path(storage.root)
    commit(
        root, "videos", [{"partition": PARTITION, "video_id": "v", "uri": "/v", "status": "kept", "duration_s": 3600}]
    )
    for asset in ("clips", "filtered_clips"):
        frames = {"video_frames": 1000} if asset == "clips" else {}
        commit(root, asset, [clip_row("v", 0, 600, **frames), clip_row("v", 700, 1000, **frames)])
    write_store(root, "v", {pts: jpeg(200) for pts in range(0, 1000, 100)})
    return storage


def test_metadata_counts_rows_and_measures_video(session: Session, storage: Storage, partitions: list[str]) -> None:
    reports = session.run_phase(ReadParams(), {}, [storage.ref("videos", partitions[0])])
    found = metadata_by_partition(reports, storage)[partitions[0]]
    assert (found["kept"], found["failed"], found["share_kept"], found["items_computed"]) == (1, 1, 0.5, 2)
    assert found["dagster/partition_row_count"] == 2
    assert found["hours_of_video"] == pytest.approx(2 / 3600, abs=1e-4)  # one kept video of 2 s
    assert found["first_videos"] == "a.mp4, b unreadable-read.mp4"
    assert found["manifest"].endswith(f"root/manifests/videos/{partitions[0]}")
    (reason,) = found["reasons"]
    assert (reason["reason"], reason["rows"], reason["percent"]) == (Reason.UNREADABLE, 1, 50.0)
    assert "Replace the file" in reason["example"]
    assert [record["stage"] for record in found["phase_stages"]] == ["outcome_by_name"]


def test_metadata_names_the_videos_that_failed(session: Session, storage: Storage, partitions: list[str]) -> None:
    reports = session.run_phase(ReadParams(), {}, [storage.ref("videos", partitions[0])])
    (failed,) = metadata_by_partition(reports, storage)[partitions[0]]["failed_videos"]
    assert (failed["video"], failed["reason"]) == ("b unreadable-read.mp4", Reason.UNREADABLE)
    assert failed["error"].endswith("The header is damaged. Replace the file.")


def test_metadata_names_some_of_many_failed_clips_and_the_command_for_all(storage: Storage) -> None:
    rows = [
        clip_row("v", start, start + 1, status="failed", reason="stalled", error="1 s\u202e of /videos/v.mp4")
        for start in range(25)
    ]
    commit(Path(storage.root), "embeddings", rows)
    made = report("embeddings", rows=25, counts={"failed": 25}, reasons={"stalled": 25})
    found = metadata_by_partition({PARTITION: made}, storage)[PARTITION]
    assert [len(found["failed_clips"]), found["failed_clips"][0]["clip_id"]] == [20, "v-0"]
    assert found["failed_clips"][0]["error"] == "1 s⟨U+202E⟩ of v.mp4"
    assert found["failed_clips_not_shown"] == f"5 more: curator show {storage.root} embeddings --status failed"


def test_metadata_of_the_dataset_begins_with_its_version_and_where_its_files_lie(storage: Storage) -> None:
    root = Path(storage.root)
    commit(root, "dataset", [clip_row("v", 0, 600)])
    found = metadata_by_partition({PARTITION: report("dataset", root_version=7)}, storage)[PARTITION]
    assert list(found)[:5] == ["version", "dagster/uri", "folder", "index", "report"]
    assert found["version"] == "7"
    assert (found["dagster/uri"], found["folder"]) == (f"{root}/dataset/p", f"{root}/dataset/p")
    assert found["index"] == f"{root}/dataset/index/p.parquet"
    assert found["report"] == f"written by: curator report {root}"
    (root / "report.html").touch()
    found = metadata_by_partition({PARTITION: report("dataset")}, storage)[PARTITION]
    assert (found["report"], "version" in found) == (f"{root}/report.html", False)


def test_metadata_of_the_dataset_links_its_files_in_a_bucket() -> None:
    bucket = Storage(root="memory://me:secret@bucket")
    ((_, found),) = materialization_metadata({PARTITION: report("dataset")}, bucket)
    assert found["index"] == dg.MetadataValue.url(f"memory://bucket/dataset/index/{PARTITION}.parquet")
    assert found["report"].value == "written by: curator report memory://bucket --output FILE"


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("memory://me:secret@bucket", dg.MetadataValue.url("memory://bucket/dataset")),
        ("/videos/curated", dg.MetadataValue.text("/videos/curated/dataset")),
    ],
)
def test_definition_says_where_the_files_lie(root: str, expected: dg.MetadataValue) -> None:
    assert definition_location("dataset", root) == {"dagster/uri": expected}


def test_metadata_tells_rates_and_decodes_of_a_split(videos_and_clips: Storage) -> None:
    reports = {PARTITION: report("clips", counters={"decoded_frames": 1000.0}, starting_s=1.5)}
    found = metadata_by_partition(reports, videos_and_clips)[PARTITION]
    assert found["hours_of_video"] == 0.25
    assert found["phase_decodes_per_frame"] == 1.0
    assert found["phase_decoded_frames_per_s"] == 400.0  # 1000 in 2.5 s of work
    assert (found["phase_seconds"], found["phase_starting_seconds"]) == (4.0, 1.5)
    assert found["phase_items_per_s"] == 0.8
    assert found["phase_video_hours_per_hour"] == 1440.0  # the hour of video, in 2.5 s
    assert found["kept_clips_1"].startswith("![](data:image/webp;base64,")


@pytest.mark.parametrize(("decoded", "decodes"), [({}, 0.0), ({"decoded_frames": 500.0}, 0.5)])
def test_metadata_tells_that_pictures_were_reused(
    videos_and_clips: Storage, decoded: dict[str, float], decodes: float
) -> None:
    found = metadata_by_partition({PARTITION: report("filtered_clips", counters=decoded)}, videos_and_clips)[PARTITION]
    assert found["phase_decodes_per_frame"] == decodes
    assert ("phase_decoded_frames_per_s" in found) is bool(decoded)


def test_metadata_of_a_run_that_reused_all_has_no_rates(videos_and_clips: Storage) -> None:
    found = metadata_by_partition({PARTITION: report("clips", computed=0, reused=2)}, videos_and_clips)[PARTITION]
    assert (found["phase_decodes_per_frame"], found["hours_of_video"]) == (0.0, 0.25)
    assert not [name for name in found if name.endswith(("_per_s", "_per_hour"))]


def test_metadata_survives_a_table_that_cannot_be_read(storage: Storage) -> None:
    lost = report("clips", reasons={"too_short": 1})
    found = metadata_by_partition({PARTITION: lost}, storage)[PARTITION]
    assert found["kept"] == 2
    assert found["reasons"][0]["example"] == ""
    assert "No pictures" in found["pictures"].replace("\\", "")
    assert "hours_of_video" not in found


def test_metadata_survives_a_file_that_cannot_be_opened(videos_and_clips: Storage) -> None:
    (file,) = Path(videos_and_clips.root, f"manifests/clips/{PARTITION}").glob("*.parquet")
    file.unlink()
    file.mkdir()
    found = metadata_by_partition({PARTITION: report("clips")}, videos_and_clips)[PARTITION]
    assert (found["kept"], "hours_of_video" in found) == (2, False)


def test_metadata_shows_pictures_of_some_of_many_partitions(storage: Storage) -> None:
    names = [f"p{number}" for number in range(40)]
    for name in names:
        commit(Path(storage.root), "clips", [clip_row("v", 0, 10)], partition=name)
    reports = {name: PhaseReport("split", "clips", name, rows=1, counts={"kept": 1}, commit=1) for name in names}
    found = metadata_by_partition(reports, storage)
    pictured = [name for name, values in found.items() if "histogram_length_s" in values]
    assert pictured == evenly_spaced(names, MAX_PARTITIONS_WITH_PICTURES)
    assert found["p1"]["pictures"].startswith("Shown for 16 of the 40 partitions of this run.")


@pytest.mark.parametrize(
    ("partitions", "chosen"), [([], []), (["a", "b"], ["a", "b"]), (list("abcdef"), ["a", "c", "e"])]
)
def test_evenly_spaced_partitions(partitions: list[str], chosen: list[str]) -> None:
    assert evenly_spaced(partitions, 3) == chosen


@pytest.mark.parametrize("account", ["", "me:secret@"])
def test_metadata_links_a_manifest_in_a_bucket(account: str) -> None:
    ((_, found),) = materialization_metadata({PARTITION: report("clips")}, Storage(root=f"memory://{account}bucket"))
    assert found["manifest"] == dg.MetadataValue.url(f"memory://bucket/manifests/clips/{PARTITION}")


def test_table_of_stages_is_narrow_and_has_its_details_elsewhere(storage: Storage) -> None:
    stats = StageStats(tasks=1, deaths={"stalled": 2}, retries=3)
    found = metadata_by_partition({PARTITION: report("videos", stages={"probe": stats})}, storage)[PARTITION]
    assert [record["lost"] for record in found["phase_stages"]] == [2]
    assert found["phase_stages_detail"]["probe"]["retries"] == 3


def test_metadata_holds_no_more_numbers_than_dagster_plots(
    session: Session, storage: Storage, partitions: list[str]
) -> None:
    made: dict[str, list[Any]] = {}
    for params in (ReadParams(), SplitParams(), FilterParams(), CaptionParams()):
        ref = storage.ref(params.asset, partitions[0])
        inputs = {asset: refs for asset, refs in made.items() if asset in ("videos", "clips", "filtered_clips")}
        ((_, found),) = materialization_metadata(session.run_phase(params, inputs, [ref]), storage)
        made[params.asset] = [ref]
        numbers = [value for value in found.values() if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)]
        assert len(numbers) <= 20  # what Dagster plots
