"""What a driver does beside handing out work: planning, writing row files and committing, in threads of their own."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.errors import ManifestError
from stages.manifest import ManifestRef, RowWriter, committed_partitions, read_manifest, row_writer
from stages.manifest.row_writer import FLUSH_ITEMS, MAX_FLUSH_ITEMS, MAX_WRITING
from stages.params import ExecutorParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.run.phases import PHASE_CLASSES
from stages.run.planning import MAX_ITEMS_AHEAD, MAX_TABLES_AHEAD, plan_ahead
from stages.schemas import ASSETS
from stages.storage import MAX_CONCURRENT, Storage
from stages.storage.exclusive_creation import NUM_RACES
from stages.tasks import Row
from tests.delayed_store import DelayedFileSystem, delayed_store
from tests.faults.waiting import wait_until
from tests.phases import ScaledParams, ScaledPhase, register_names

ROOT = "delayed://root"
CHECK_WRITES = NUM_RACES * MAX_CONCURRENT
"""By which a session finds out whether creations are exclusive in the store."""
REFS = [ManifestRef(ROOT, "videos", f"p{number:03}") for number in range(100)]


@pytest.fixture
def store() -> Iterator[type[DelayedFileSystem]]:
    with delayed_store(0.03) as ready:
        yield ready


@pytest.fixture(autouse=True)
def scaled_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PHASE_CLASSES, "read", ScaledPhase)


def run(partitions: list[str], root: str = ROOT) -> dict[str, PhaseReport]:
    with open_session(ExecutorParams(mode="local", max_tries=1)) as session:
        outputs = [ManifestRef(root, "videos", partition) for partition in partitions]
        return session.run_phase(ScaledParams(), {}, outputs)


def test_thread_that_hands_out_work_makes_no_request(store: type[DelayedFileSystem]) -> None:
    """Ten tables of 70 items: each takes some requests to plan, two row files and a commit, of 30 ms each."""
    partitions = register_names(ROOT, [f"{number}.mp4" for number in range(700)], partition_size=70)
    store.requests.clear()
    reports = run(partitions)
    assert len(reports) == 10
    assert threading.get_ident() not in store.requests
    assert len(store.requests) >= 10 * 5
    assert store.most_at_once >= 4
    assert sum(report.computed for report in reports.values()) == len(read_manifest(ROOT, "videos")) == 700
    assert sum(report.reused for report in run(partitions).values()) == 700


def test_full_store_stops_the_phase_with_what_is_committed_reported(store: type[DelayedFileSystem]) -> None:
    store.delay_s = 0.0
    partitions = register_names(ROOT, [f"{number}.mp4" for number in range(60)], partition_size=10)
    store.full_after = CHECK_WRITES + 5  # two tables take a row file and a commit each, or five row files stand alone
    with open_session(ExecutorParams(mode="local", max_tries=1)) as session:
        with pytest.raises(OSError, match="No space left"):
            session.run_phase(ScaledParams(), {}, [ManifestRef(ROOT, "videos", each) for each in partitions])
        (reports,) = session.reports
    assert set(reports) == set(committed_partitions(Storage(ROOT), "videos"))
    assert len(reports) <= 2
    store.full_after = None
    again = run(partitions)
    assert sum(report.rows for report in again.values()) == 60


def planned(num_items: int) -> Any:
    return SimpleNamespace(num_items=num_items)


@pytest.mark.parametrize(
    ("num_items", "most"), [(10, MAX_TABLES_AHEAD), (MAX_ITEMS_AHEAD // 4, 4), (2 * MAX_ITEMS_AHEAD, 1)]
)
def test_fewer_large_tables_are_planned_ahead(num_items: int, most: int) -> None:
    begun: list[ManifestRef] = []
    ahead: list[int] = []

    def plan(ref: ManifestRef) -> Any:
        begun.append(ref)
        return planned(num_items)

    with ThreadPoolExecutor(MAX_TABLES_AHEAD) as threads:
        for number, (ref, future) in enumerate(plan_ahead(plan, REFS, threads)):
            assert ref == REFS[number]
            assert future.result().num_items == num_items
            ahead.append(len(begun) - number - 1)
    assert ahead[0] == 0, "of the first nothing is known"
    assert max(ahead) <= most
    assert sorted(begun, key=lambda ref: ref.partition) == REFS


def test_table_that_cannot_be_planned_stops_no_other() -> None:
    def plan(ref: ManifestRef) -> Any:
        if ref is REFS[3]:
            raise ManifestError("nothing is committed")
        return planned(1)

    with ThreadPoolExecutor(2) as threads:
        failed = [ref for ref, future in plan_ahead(plan, REFS, threads) if future.exception()]
    assert failed == [REFS[3]]


def test_plans_that_nobody_asks_for_any_more_are_not_made() -> None:
    release, begun = threading.Event(), list[ManifestRef]()

    def plan(ref: ManifestRef) -> Any:
        begun.append(ref)
        if len(begun) > 1:
            release.wait(30)
        return planned(1)

    with ThreadPoolExecutor(1) as threads:
        plans = plan_ahead(plan, REFS, threads)
        next(plans)
        tables = threading.Thread(target=lambda: next(plans, None))
        tables.start()
        wait_until(lambda: len(begun) == 2, describe=lambda: begun)
        release.set()
        tables.join()
        plans.close()  # type: ignore[attr-defined]
    assert len(begun) < 2 + MAX_TABLES_AHEAD


def video(number: int) -> list[Row]:
    empty = dict.fromkeys(ASSETS["videos"].schema.names)
    return [{**empty, "partition": "p", "video_id": f"{number:04}", "status": "kept"}]


def test_row_files_that_threads_write_are_in_order_and_hold_every_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_writer, "MIN_FLUSH_S", 0.0)
    ref = ManifestRef(str(tmp_path), "videos", "p")
    num_items = FLUSH_ITEMS * (2 * MAX_WRITING + 1) + 1
    with ThreadPoolExecutor(8) as threads:
        writer = RowWriter(Storage(tmp_path), ref, decision_key="d", lineage={}, threads=threads)
        for number in range(num_items):
            writer.append(f"k{number}", video(number))
            assert number // FLUSH_ITEMS - len(writer.files) <= MAX_WRITING
        writer.finish()
    assert [file.path[-13:-8] for file in writer.files] == [f"{number:05}" for number in range(len(writer.files))]
    assert [key for file in writer.files for key in file.items] == [f"k{number}" for number in range(num_items)]
    assert all((tmp_path / file.path).stat().st_size == file.size_bytes for file in writer.files)


def num_items_of_files(folder: Path, num_items: int) -> list[int]:
    """Items of each file, of so many appended one after another."""
    writer = RowWriter(Storage(folder), REFS[0], decision_key="d", lineage={})
    for number in range(num_items):
        writer.append(f"k{number}", video(number))
    writer.finish()
    return [len(file.items) for file in writer.files]


def test_files_of_a_large_table_grow_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_writer, "MIN_FLUSH_S", 0.0)
    sizes = num_items_of_files(tmp_path, 3000)
    assert sizes[:8] == [FLUSH_ITEMS] * 8
    assert all(size == max(FLUSH_ITEMS, sum(sizes[:place]) // 8) for place, size in enumerate(sizes[:-1]))


def test_items_that_come_fast_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_writer, "MIN_FLUSH_S", 60.0)
    assert num_items_of_files(tmp_path, 2 * MAX_FLUSH_ITEMS + 1) == [MAX_FLUSH_ITEMS, MAX_FLUSH_ITEMS, 1]


def test_error_of_a_thread_that_writes_is_raised_when_the_writer_finishes(store: type[DelayedFileSystem]) -> None:
    store.full_after = 0
    with ThreadPoolExecutor(1) as threads:
        writer = RowWriter(Storage(ROOT), REFS[0], decision_key="d", lineage={}, threads=threads)
        writer.append("k", video(1))
        with pytest.raises(OSError, match="No space left"):
            writer.finish()
