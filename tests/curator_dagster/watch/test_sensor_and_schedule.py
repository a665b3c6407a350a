import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from dagster._grpc.impl import get_external_schedule_execution, get_external_sensor_execution

from curator_dagster.commands.run_plan import assets_up_to
from curator_dagster.curation import Curation
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import partition_tags, sync_partitions
from curator_dagster.partitioning import TimeWindowPartitioning
from curator_dagster.resources import Storage
from curator_dagster.watch import scan
from curator_dagster.watch.source import SourceBucket
from stages.errors import ParamsError
from stages.maintenance import forget_source
from stages.manifest import last_commit, read_manifest
from stages.params import ReadParams
from stages.run import Session
from stages.sources import list_sources, read_members, register_sources
from tests.curator_dagster.conftest import QUIET, put


@dataclass(frozen=True)
class WatchedFolder:
    """A watched folder, and the part of the daemon that a tick needs."""

    folder: Path
    storage: Storage
    session: Session
    instance: dg.DagsterInstance
    curation: Curation
    settings: dict[str, Any] = field(default_factory=lambda: {})

    @cached_property
    def defs(self) -> dg.Definitions:
        return curation_definitions(self.curation, self.session, self.storage, source=self.source)

    @property
    def source(self) -> SourceBucket:
        return SourceBucket(location=str(self.folder), **self.settings)

    def tick(self, cursor: str | None = None) -> Any:
        """One evaluation, of which nothing is done yet."""
        resources = {"storage": self.storage, "source": self.source}
        sensor = self.defs.resolve_sensor_def("new_videos")
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, definitions=self.defs, resources=resources
        ) as context:
            return sensor.evaluate_tick(context)

    def apply(self, result: Any) -> str:
        """Add and remove its partitions, as the daemon does; what the next tick begins with."""
        for request in result.dynamic_partitions_requests or []:
            if isinstance(request, dg.DeleteDynamicPartitionsRequest):
                for key in request.partition_keys:
                    self.instance.delete_dynamic_partition(request.partitions_def_name, key)
                continue
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return result.cursor or ""


@pytest.fixture
def watched(tmp_path: Path, session: Session) -> Iterator[WatchedFolder]:
    curation = Curation(params={**Curation().params, "read": ReadParams(partition_size=2)})
    folder = tmp_path / "bucket"
    put(folder, "a.mp4", "b.mp4", "c.mp4")
    with dg.DagsterInstance.ephemeral() as instance:
        yield WatchedFolder(folder, Storage(root=str(tmp_path / "root")), session, instance, curation)


def run_keys(result: Any) -> list[str]:
    return [str(request.run_key) for request in result.run_requests or []]


def added_partitions(result: Any) -> list[str]:
    return [key for request in result.dynamic_partitions_requests or [] for key in request.partition_keys]


def skip_message(result: Any) -> str:
    return result.skip_message or ""


def test_a_tick_adds_partitions_and_asks_for_one_run_of_them(watched: WatchedFolder) -> None:
    result = watched.tick()
    (request,) = result.run_requests or []
    first, second = added_partitions(result)
    assert request.tags["dagster/asset_partition_range_start"] == first
    assert request.tags["dagster/asset_partition_range_end"] == second
    cursor = watched.apply(result)
    again = watched.tick(cursor)
    assert (run_keys(again), added_partitions(again)) == ([], [])
    listed = f"3 files listed in {watched.folder}; 0 new."
    assert skip_message(again) == f"{listed} 0 registered. 0 runs asked for."


def test_a_tick_tells_of_files_that_it_leaves_out(watched: WatchedFolder) -> None:
    put(watched.folder, "notes.txt")
    cursor = watched.apply(watched.tick())
    expected = f"4 files listed in {watched.folder}, 1 left out (read.include, exclude, limit); 0 new."
    assert skip_message(watched.tick(cursor)).startswith(expected)


@pytest.mark.system
def test_what_the_sensor_asks_for_makes_a_dataset(watched: WatchedFolder) -> None:
    result = watched.tick()
    watched.apply(result)
    (request,) = result.run_requests or []
    job = watched.defs.resolve_job_def("curate")
    assert job.execute_in_process(instance=watched.instance, run_config=QUIET, tags=request.tags).success
    assert len(read_manifest(watched.storage.root, "dataset")) == 3
    assert watched.instance.get_materialized_partitions(dg.AssetKey("dataset")) == set(added_partitions(result))


def test_a_tick_removes_partitions_that_a_person_typed(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    made = watched.instance.get_dynamic_partitions("sources")
    of_another_root, of_a_former_root = "2026-01-31-0123abcd", "day 1"
    watched.instance.add_dynamic_partitions("sources", ["my videos", of_another_root, of_a_former_root])
    event = dg.AssetMaterialization("videos", partition=of_a_former_root)
    watched.instance.report_runless_asset_event(event)
    result = watched.tick(cursor)
    assert "Removed from the list of partitions: 'my videos'; typed by a person" in skip_message(result)
    watched.apply(result)
    assert watched.instance.get_dynamic_partitions("sources") == [*made, of_another_root, of_a_former_root]


def test_sensor_schedule_and_job_name_the_watched_folder(watched: WatchedFolder) -> None:
    defs = watched.defs
    for each in (defs.resolve_sensor_def("new_videos"), defs.resolve_schedule_def("new_videos_on_schedule")):
        assert (each.description or "").startswith(f"Watches {watched.folder}.")
    assert f"new videos of {watched.folder} into" in (defs.resolve_job_def("find_videos").description or "")


def test_a_tick_that_was_cut_off_is_made_up_for(watched: WatchedFolder) -> None:
    lost = watched.tick()  # members and log are written, and the daemon dies
    again = watched.tick()
    assert (added_partitions(again), run_keys(again)) == (added_partitions(lost), run_keys(lost))
    watched.apply(again)  # partitions are added, and the daemon dies before it starts the run and keeps the cursor
    third = watched.tick()
    assert (added_partitions(third), run_keys(third)) == ([], run_keys(lost))


def test_a_lost_cursor_asks_for_the_same_runs(watched: WatchedFolder) -> None:
    first = watched.tick()
    cursor = watched.apply(first)
    put(watched.folder, "d.mp4")
    second = watched.tick(cursor)
    watched.apply(second)
    assert run_keys(watched.tick("no cursor of ours")) == [*run_keys(first), *run_keys(second)]


def test_other_content_under_a_known_name_runs_both_partitions(watched: WatchedFolder) -> None:
    first = watched.tick()
    cursor = watched.apply(first)
    put(watched.folder, "a.mp4", content="other content")
    second = watched.tick(cursor)
    tags = [request.tags.get("dagster/partition") for request in second.run_requests or []]
    assert tags == [added_partitions(first)[0], *added_partitions(second)]


def test_a_removed_video_asks_for_nothing(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    (watched.folder / "a.mp4").unlink()
    assert run_keys(watched.tick(cursor)) == []


def test_a_video_that_may_still_be_written_waits(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    put(watched.folder, "d.mp4", age_s=0.0)
    waiting = watched.tick(cursor)
    assert "1 new, of which 1 may still be written (settle_s=60)" in skip_message(waiting)
    put(watched.folder, "d.mp4", age_s=61.0)
    assert len(added_partitions(watched.tick(watched.apply(waiting)))) == 1


def test_a_partition_that_is_not_full_waits_for_more(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    patient = replace(watched, settings={"fill_wait_s": 7200.0})
    put(watched.folder, "d.mp4")
    assert "1 wait to fill a partition (fill_wait_s=7200)" in skip_message(patient.tick(cursor))
    put(watched.folder, "e.mp4")
    assert len(added_partitions(patient.tick(cursor))) == 1


def test_runs_are_cut_and_spread_over_ticks(watched: WatchedFolder) -> None:
    put(watched.folder, *(f"{number}.mp4" for number in range(6)))
    careful = replace(watched, settings={"partitions_per_run": 2, "runs_per_tick": 2})
    first = careful.tick()
    assert (len(added_partitions(first)), len(run_keys(first))) == (5, 2)
    second = careful.tick(careful.apply(first))
    assert (added_partitions(second), len(run_keys(second))) == ([], 1)
    assert not set(run_keys(first)) & set(run_keys(second))


def test_superseded_partitions_count_in_a_run(watched: WatchedFolder) -> None:
    names = [f"{number}.mp4" for number in range(5)]
    put(watched.folder, *names)
    careful = replace(watched, settings={"partitions_per_run": 3, "runs_per_tick": 1})
    cursor = watched.apply(watched.tick())  # four partitions of two
    put(watched.folder, *names, content="other content")
    first = careful.tick(cursor)
    tags = [request.tags for request in first.run_requests]
    assert (len(added_partitions(first)), len(tags)) == (3, 2)  # a new one and the one that it touches
    assert len(run_keys(careful.tick(careful.apply(first)))) == 2


@pytest.mark.system
def test_a_listing_longer_than_a_tick_goes_on_in_the_next(watched: WatchedFolder) -> None:
    hasty = replace(watched, settings={"tick_s": 0.001})
    cursor: str | None = None
    for _ in range(20):
        cursor = hasty.apply(hasty.tick(cursor))
    assert len(watched.instance.get_dynamic_partitions("sources")) == 2


def test_another_root_or_one_made_anew_has_runs_of_its_own(watched: WatchedFolder) -> None:
    first = watched.tick()
    cursor = watched.apply(first)
    other = replace(watched, storage=Storage(root=f"{watched.storage.root}-2"))
    shutil.rmtree(watched.storage.root)
    keys = [run_keys(root.tick(cursor)) for root in (other, watched)]
    assert len({run_keys(first)[0], *(key for (key,) in keys)}) == 3


@pytest.mark.parametrize("cursor", ["5", "[]", '{"position": []}', '{"seen": {"a": "b"}}', '{"requested": 1000}'])
def test_a_cursor_of_something_else_begins_anew(watched: WatchedFolder, cursor: str) -> None:
    assert len(run_keys(watched.tick(cursor))) == 1


def test_a_video_with_a_time_in_the_future_is_taken_up_once_it_was_seen_to_settle(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    put(watched.folder, "d.mp4", age_s=-1e6)
    waiting = watched.tick(cursor)
    assert "1 new, of which 1 may still be written" in skip_message(waiting)
    assert len(added_partitions(replace(watched, settings={"settle_s": 0.0}).tick(watched.apply(waiting)))) == 1


@pytest.fixture
def watched_by_daemon(watched: WatchedFolder, tmp_path: Path) -> Iterator[WatchedFolder]:
    """With an instance that keeps cursors of daemons."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield replace(watched, instance=instance)


def test_schedule_asks_for_each_run_until_it_is_there_and_once(watched_by_daemon: WatchedFolder) -> None:
    watched = replace(watched_by_daemon, settings={"partitions_per_run": 1})
    schedule = watched.defs.resolve_schedule_def("new_videos_on_schedule")
    resources = {"storage": watched.storage, "source": watched.source}

    def evaluate() -> list[Any]:
        with dg.build_schedule_context(instance=watched.instance, resources=resources) as context:
            return list(schedule.evaluate_tick(context).run_requests or [])

    first, second = evaluate()
    assert [each.run_key for each in evaluate()] == [first.run_key, second.run_key]  # no run is there yet
    runs = []
    for request, remaining in ((second, [first.run_key]), (first, [])):
        tags = {**request.tags, "dagster/run_key": request.run_key}
        runs.append(watched.instance.create_run_for_job(watched.defs.resolve_job_def("curate"), tags=tags))
        assert [each.run_key for each in evaluate()] == remaining
    assert evaluate() == []
    for run in runs:
        watched.instance.delete_run(run.run_id)
    assert evaluate() == []


def test_days_of_a_bucket_are_partitions_and_late_files_open_theirs_again(watched: WatchedFolder) -> None:
    dated = replace(
        watched,
        folder=watched.folder.parent / "dated",
        curation=replace(watched.curation, partitioning=TimeWindowPartitioning("daily", "2026-01-01", "%Y/%m/%d/")),
    )
    put(dated.folder, "2026/01/02/a.mp4", "2026/01/03/b.mp4", "2999/01/01/never.mp4", "undated.mp4")
    first = dated.tick()
    (request,) = first.run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == "2026-01-02"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-01-03"
    put(dated.folder, "2026/01/02/late.mp4")
    second = dated.tick(dated.apply(first))
    (request,) = second.run_requests or []
    assert request.tags["dagster/partition"] == "2026-01-02"
    assert len(read_members(watched.storage.open(), "2026-01-02")) == 2


def test_what_names_no_day_that_is_over_is_told_and_left(watched: WatchedFolder) -> None:
    watched.apply(watched.tick())  # partitions of the same root that are no days
    dated = replace(
        watched,
        curation=replace(watched.curation, partitioning=TimeWindowPartitioning("daily", "2026-01-01", "%Y/%m/%d/")),
    )
    shutil.rmtree(dated.folder)
    put(dated.folder, "2999/01/01/never.mp4", "undated.mp4")
    assert skip_message(dated.tick()) == (
        f"2 files listed in {watched.folder}, 2 whose path names no window that is over; 0 new. 0 registered. "
        "0 runs asked for."
    )


def test_a_partition_that_a_run_works_on_waits_for_its_end(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    put(watched.folder, "a.mp4", content="other content")
    first = watched.instance.get_dynamic_partitions("sources")[0]
    running = watched.instance.create_run_for_job(
        watched.defs.resolve_job_def("curate"),
        tags={"dagster/partition": first},
        status=dg.DagsterRunStatus.STARTED,
    )
    waiting = watched.tick(cursor)
    assert skip_message(waiting).endswith(
        "0 runs asked for. The next wait for a run that works on the same partitions."
    )
    watched.instance.delete_run(running.run_id)
    assert len(run_keys(watched.tick(watched.apply(waiting)))) == 2


def test_changes_of_one_source_are_asked_for_one_after_the_other(watched: WatchedFolder) -> None:
    cursor = watched.apply(watched.tick())
    for content in ("second", "third"):
        put(watched.folder, "a.mp4", content=content)
        watched.tick()  # of which nothing comes
    first = watched.tick(cursor)
    again = watched.tick(watched.apply(first))
    assert (len(run_keys(first)), len(run_keys(again))) == (2, 2)


def test_a_day_is_listed_by_its_own_step(watched: WatchedFolder) -> None:
    curation = replace(watched.curation, partitioning=TimeWindowPartitioning("daily", "2026-01-01", "%Y/%m/%d/"))
    dated = replace(watched, curation=curation)
    put(dated.folder, "2026/01/01/a.mp4", "2026/01/03/b.mp4")
    days = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-03"}
    job = dated.defs.resolve_job_def("curate")
    for expected in (["2026-01-01", "2026-01-03"], ["2026-01-01", "2026-01-02", "2026-01-03"]):
        assert job.execute_in_process(instance=watched.instance, run_config=QUIET, tags=days).success
        assert read_manifest(watched.storage.root, "dataset")["partition"].to_pylist() == expected
        put(dated.folder, "2026/01/02/late.mp4")


def test_automated_curations_leave_new_partitions_to_their_conditions(watched: WatchedFolder) -> None:
    automated = replace(watched, curation=replace(watched.curation, automated=True))
    first = automated.tick()
    assert (len(added_partitions(first)), run_keys(first)) == (2, [])
    cursor = automated.apply(first)
    put(watched.folder, "a.mp4", content="other content")
    (request,) = automated.tick(cursor).run_requests
    assert request.tags["dagster/partition"] == added_partitions(first)[0]


@pytest.mark.parametrize(("folder", "message"), [("elsewhere", "does not exist"), ("", "got an empty text")])
def test_sensor_rejects_a_folder_that_is_not_there(watched: WatchedFolder, folder: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        replace(watched, folder=folder).tick()  # type: ignore[arg-type]  # as the environment has it


def test_find_videos_adds_every_partition_and_runs_none(watched: WatchedFolder) -> None:
    hasty = replace(watched, settings={"tick_s": 0.001})
    result = hasty.defs.resolve_job_def("find_videos").execute_in_process(instance=watched.instance, run_config=QUIET)
    assert result.success
    assert len(watched.instance.get_dynamic_partitions("sources")) == 2
    assert watched.instance.get_materialized_partitions(dg.AssetKey("videos")) == set()
    first, second = watched.instance.get_dynamic_partitions("sources")
    observed = watched.instance.fetch_observations(dg.AssetKey("videos"), limit=10).records
    assert {record.partition_key: first_videos(record.asset_observation) for record in observed} == {
        first: "a.mp4, b.mp4",
        second: "c.mp4",
    }
    assert all(record.run_id == result.run_id for record in observed)


def first_videos(event: Any) -> object:
    return event.metadata["first_videos"].value


def test_a_tick_says_once_what_is_in_new_partitions(watched: WatchedFolder) -> None:
    result = watched.tick()
    described = {event.partition: first_videos(event) for event in result.asset_events}
    assert described == dict(zip(added_partitions(result), ["a.mp4, b.mp4", "c.mp4"], strict=True))
    newest = datetime.fromtimestamp((watched.folder / "a.mp4").stat().st_mtime, UTC)
    assert added_partitions(result)[0].startswith(f"{newest:%Y-%m-%d}-")
    assert watched.tick(watched.apply(result)).asset_events == []


def test_a_tick_says_what_a_day_holds_after_late_videos(watched: WatchedFolder) -> None:
    curation = replace(watched.curation, partitioning=TimeWindowPartitioning("daily", "2026-01-01", "%Y/%m/%d/"))
    dated = replace(watched, curation=curation)
    put(dated.folder, "2026/01/01/a.mp4")
    first = dated.tick()
    put(dated.folder, "2026/01/01/late.mp4")
    second = dated.tick(dated.apply(first))
    assert [(event.partition, first_videos(event)) for result in (first, second) for event in result.asset_events] == [
        ("2026-01-01", "a.mp4"),
        ("2026-01-01", "a.mp4, late.mp4"),
    ]


def test_a_partition_that_the_command_line_made_is_not_asked_for_again(watched: WatchedFolder) -> None:
    """With other parameters than those of the code location, which stay in force."""
    partitions = curate_elsewhere(watched, clips={"threshold": 0.3})
    result = watched.tick()
    assert (run_keys(result), added_partitions(result)) == ([], partitions)
    events = {(event.asset_key.to_user_string(), event.partition) for event in result.asset_events}
    assert len(events) == 6 * len(partitions) + 1
    assert ("unique_clips", None) in events
    commit = last_commit(watched.storage.open(), watched.storage.ref("clips", partitions[0]))
    assert commit is not None
    assert (commit.number, commit.lineage["params"]["threshold"]) == (1, 0.3)


def test_a_new_version_of_a_source_is_asked_for_with_the_partition_of_the_old_one(watched: WatchedFolder) -> None:
    partitions = curate_elsewhere(watched)
    cursor = watched.apply(watched.tick())
    put(watched.folder, "a.mp4", content="other content")
    result = watched.tick(cursor)
    (new,) = added_partitions(result)
    (old,) = [key for key in partitions if "a.mp4" in str(read_members(watched.storage.open(), key)["uri"].to_pylist())]
    assert {key for request in result.run_requests for key in request.tags.values()} >= {old, new}


def test_a_forgotten_source_asks_for_nothing(watched: WatchedFolder) -> None:
    """Neither in a daemon that knew the source nor in one that never did: forgetting has removed all that it would."""
    partitions = curate_elsewhere(watched)
    cursor = watched.apply(watched.tick())
    for name in ("a.mp4", "c.mp4"):
        forget_source(watched.storage.open(), str(watched.folder / name))
    for affected in ([(key,) for key in partitions], [(), ()]):
        entries = scan._refreshed_register(watched.storage).entries_after(2)
        assert [entry.affected_partitions for entry in entries] == affected
        result = watched.tick(cursor)
        assert (run_keys(result), added_partitions(result)) == ([], [])
        scan._REGISTERS_BY_ROOT.clear()  # as in a new process
    assert [Path(row["uri"]).name for row in read_manifest(watched.storage.root, "dataset").to_pylist()] == ["b.mp4"]


def test_a_partition_that_the_command_line_made_is_not_missing_for_automation(watched: WatchedFolder) -> None:
    partitions = curate_elsewhere(watched)
    result = replace(watched, curation=replace(watched.curation, automated=True)).tick()
    assert added_partitions(result) == partitions
    assert {event.partition for event in result.asset_events} == {*partitions, None}


def test_a_partition_with_a_damaged_table_is_asked_for(watched: WatchedFolder) -> None:
    partitions = curate_elsewhere(watched)
    files = watched.storage.open()
    files.write_bytes(f"{watched.storage.ref('dataset', partitions[1]).folder}/_commits/1.json", b"{")
    (request,) = watched.tick().run_requests
    assert request.tags["dagster/partition"] == partitions[1]


@pytest.mark.system
def test_a_partition_that_dedup_never_saw_is_asked_for(watched: WatchedFolder) -> None:
    """Its dataset was written by a launch of some assets, while `unique_clips` was there from other partitions."""
    (first, _) = curate_elsewhere(watched)
    put(watched.folder, "d.mp4", "e.mp4")
    keys = curate_elsewhere(watched, only=("videos", "clips", "filtered_clips", "captions", "dataset"))
    results = watched.tick()
    tags = [value for request in results.run_requests for value in request.tags.values()]
    assert first not in tags
    assert keys[-1] in tags


@pytest.mark.parametrize("until", ["videos", "clips", "captions"])
def test_a_partition_that_was_made_in_part_is_asked_for(watched: WatchedFolder, until: str) -> None:
    partitions = curate_elsewhere(watched, until=until)
    (request,) = watched.tick().run_requests
    assert request.tags["dagster/asset_partition_range_start"] == partitions[0]


def test_a_preview_writes_nothing_to_the_root(watched: WatchedFolder) -> None:
    """As a code server evaluates a tick: *Preview tick result* gives no key for its logs, the daemon does."""
    curate_elsewhere(watched)
    put(watched.folder, "d.mp4")
    before = tree(watched.storage.root)
    repository = watched.defs.get_repository_def()
    with dg.instance_for_test() as instance:

        def evaluate(log_key: list[str] | None) -> Any:
            return get_external_sensor_execution(
                repository, cast(Any, None), instance.get_ref(), "new_videos", None, None, None, log_key, None
            )

        preview = evaluate(None)
        assert tree(watched.storage.root) == before
        assert "1 to register, none of it in this preview." in (preview.skip_message or "")
        tick = evaluate([repository.name, "new_videos", "17"])
        assert len(tick.run_requests) == 1
        assert tree(watched.storage.root) != before


def test_a_preview_of_the_schedule_writes_nothing(watched: WatchedFolder) -> None:
    repository = watched.defs.get_repository_def()
    with dg.instance_for_test() as instance:

        def evaluate(log_key: list[str] | None) -> Any:
            return get_external_schedule_execution(
                repository, instance.get_ref(), "new_videos_on_schedule", 1.7e9, "UTC", log_key
            )

        preview = evaluate(None)
        assert tree(watched.storage.root) == {}
        assert instance.get_dynamic_partitions("sources") == []
        assert "3 to register, none of it in this preview." in (preview.skip_message or "")
        assert len(evaluate([repository.name, "new_videos_on_schedule", "17"]).run_requests) == 1
        assert len(instance.get_dynamic_partitions("sources")) == 2


def curate_elsewhere(
    watched: WatchedFolder, until: str = "dataset", only: tuple[str, ...] = (), **params: dict[str, Any]
) -> list[str]:
    """Curate the folder as the command line does, on an instance of its own; returns the partitions."""
    read = ReadParams(partition_size=2)
    register_sources(watched.storage.open(), list_sources(str(watched.folder), read), read)
    job = watched.defs.resolve_job_def("curate")
    config = {**QUIET, "ops": {asset: {"config": values} for asset, values in params.items()}}
    with dg.DagsterInstance.ephemeral() as instance:
        keys = sync_partitions(instance, watched.storage.open())
        selection = [dg.AssetKey(asset) for asset in only or assets_up_to(until)]
        job.execute_in_process(
            instance=instance, run_config=config, tags=partition_tags(keys), asset_selection=selection
        )
    return keys


def tree(root: str) -> dict[str, int]:
    """Size of each file below a folder."""
    return {str(path): path.stat().st_size for path in Path(root).rglob("*") if path.is_file()}
