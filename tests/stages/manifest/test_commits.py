"""Row files, commits and what readers see."""

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import ManifestError
from stages.manifest import (
    Commit,
    CommittedFile,
    ManifestRef,
    RowWriter,
    commit_table,
    last_commit,
    lineage_of,
    read_manifest,
    read_row_file,
    reusable_items,
    row_writer,
)
from stages.manifest.stored_items import find_stored_items
from stages.schemas import ASSETS
from stages.storage import Storage
from stages.tasks import Row


def write_items(root: Path, items: dict[str, list[Row]], *, decision_key: str = "d") -> list[CommittedFile]:
    writer = RowWriter(Storage(root), reference(root), decision_key=decision_key, lineage={"run_id": "r"})
    for row_key, rows in items.items():
        writer.append(row_key, rows)
    writer.flush()
    return writer.files


def reference(root: Path) -> ManifestRef:
    return ManifestRef(str(root), "clips", "p")


def clip(row_key: str, start: int, **more: object) -> Row:
    return {
        "partition": "p",
        "video_id": "v",
        "clip_id": f"c{start}",
        "start_pts": start,
        "end_pts": start + 1,
        "status": "kept",
        "row_key": row_key,
        **more,
    }


def test_read_manifest_returns_committed_rows_in_order(tmp_path: Path) -> None:
    files = write_items(tmp_path, {"b": [clip("b", 5), clip("b", 3)], "a": [clip("a", 1)]})
    commit_table(Storage(tmp_path), reference(tmp_path), files, {})
    table = read_manifest(str(tmp_path), "clips")
    assert table["start_pts"].to_pylist() == [1, 3, 5]
    assert table.schema == ASSETS["clips"].schema
    assert read_manifest(str(tmp_path), "clips", columns=["clip_id"]).column_names == ["clip_id"]


def test_read_manifest_ignores_rows_that_no_commit_names(tmp_path: Path) -> None:
    files = write_items(tmp_path, {"a": [clip("a", 1)], "b": [clip("b", 2)]})
    part = CommittedFile(files[0].path, files[0].sha256, "d", ["a"])
    commit_table(Storage(tmp_path), reference(tmp_path), [part], {})
    write_items(tmp_path, {"c": [clip("c", 3)]})
    assert read_manifest(str(tmp_path), "clips")["row_key"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("asset", "message"), [("clip", "Asset must be one of"), ("clips", "Nothing is committed for clips")]
)
def test_read_manifest_rejects_what_is_not_there(tmp_path: Path, asset: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest(str(tmp_path), asset)


def test_read_manifest_rejects_a_missing_row_file(tmp_path: Path) -> None:
    files = write_items(tmp_path, {"a": [clip("a", 1)]})
    commit_table(Storage(tmp_path), reference(tmp_path), files, {})
    (tmp_path / files[0].path).unlink()
    with pytest.raises(ManifestError, match="a commit names it, and is missing"):
        read_manifest(str(tmp_path), "clips")


def test_commit_table_rejects_a_row_file_that_a_vacuum_removed_meanwhile(tmp_path: Path) -> None:
    (written,) = write_items(tmp_path, {"a": [clip("a", 1)]})
    (found,) = find_stored_items(Storage(tmp_path), reference(tmp_path)).by_row_key.values()
    (tmp_path / written.path).unlink()
    with pytest.raises(ManifestError, match="takes over its rows, and is gone: a vacuum"):
        commit_table(Storage(tmp_path), reference(tmp_path), [found], {})
    assert last_commit(Storage(tmp_path), reference(tmp_path)) is None


def test_read_manifest_rejects_a_torn_commit(tmp_path: Path) -> None:
    files = write_items(tmp_path, {"a": [clip("a", 1)]})
    commit_table(Storage(tmp_path), reference(tmp_path), files, {})
    path = tmp_path / "manifests/clips/p/_commits/1.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(str(tmp_path), "clips")


def test_read_manifest_fills_columns_added_later(tmp_path: Path) -> None:
    (file,) = write_items(tmp_path, {"a": [clip("a", 1)]})
    path = tmp_path / file.path
    pq.write_table(pq.read_table(path).drop_columns(["flow_mean"]), path)
    older = replace(file, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), footer_sha256="")
    commit_table(Storage(tmp_path), reference(tmp_path), [older], {})
    assert read_manifest(str(tmp_path), "clips")["flow_mean"].to_pylist() == [None]


def test_commit_table_counts_and_numbers_versions(tmp_path: Path) -> None:
    storage, ref = Storage(tmp_path), reference(tmp_path)
    lost = clip("b", 2, status="rejected", reason="too_short")
    first = commit_table(storage, ref, write_items(tmp_path, {"a": [clip("a", 1)], "b": [lost]}), {})
    assert (first.number, first.counts["kept"], first.reasons) == (1, 1, {"too_short": 1})
    second = commit_table(storage, ref, write_items(tmp_path, {"c": [clip("c", 1)]}), {})
    assert second.number == 2
    assert last_commit(storage, ref) == second


def test_commit_table_returns_an_equal_version(tmp_path: Path) -> None:
    storage, ref = Storage(tmp_path), reference(tmp_path)
    first = commit_table(storage, ref, write_items(tmp_path, {"a": [clip("a", 1)]}), {})
    again = commit_table(storage, ref, write_items(tmp_path, {"a": [clip("a", 1)]}), {})
    assert again == first


def test_commit_table_gives_racing_writers_numbers_of_their_own(tmp_path: Path) -> None:
    storage, ref = Storage(tmp_path), reference(tmp_path)
    files = [write_items(tmp_path, {key: [clip(key, 1)]}) for key in "abcdefgh"]
    barrier = threading.Barrier(len(files))
    commits: list[Commit] = []

    def commit(mine: list[CommittedFile]) -> None:
        barrier.wait()
        commits.append(commit_table(storage, ref, mine, {}))

    threads = [threading.Thread(target=commit, args=(mine,)) for mine in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made.number for made in commits) == list(range(1, 9))
    assert all(len(made.files) == 1 for made in commits)


def test_reusable_items_leaves_out_failures_to_retry(tmp_path: Path) -> None:
    rows = {"a": [clip("a", 1)], "b": [clip("b", 2, status="failed", reason="stalled")]}
    write_items(tmp_path, rows)
    found = reusable_items(Storage(tmp_path), reference(tmp_path), {"stalled"})
    assert set(found.by_row_key) == {"a"}


def test_reusable_items_knows_items_that_the_newest_version_leaves_in_a_file(tmp_path: Path) -> None:
    (file,) = write_items(tmp_path, {"a": [clip("a", 1)], "b": [clip("b", 2)]})
    commit_table(Storage(tmp_path), reference(tmp_path), [replace(file, items=["a"])], {})
    assert set(reusable_items(Storage(tmp_path), reference(tmp_path)).by_row_key) == {"a", "b"}


def test_row_writer_keeps_items_whole_and_files_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_writer, "MIN_FLUSH_S", 0.0)
    files = write_items(tmp_path, {str(n): [clip(str(n), n), clip(str(n), n + 1000)] for n in range(150)})
    assert [len(file.items) for file in files] == [64, 64, 22]
    for file in files:
        keys = pq.read_table(tmp_path / file.path)["row_key"].to_pylist()
        assert all(keys.count(key) == 2 for key in file.items)


def test_row_writer_flushes_after_some_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_writer, "FLUSH_S", 0.0)
    writer = RowWriter(Storage(tmp_path), reference(tmp_path), decision_key="d", lineage={})
    writer.append("a", [clip("a", 1)])
    assert len(writer.files) == 1


def test_row_writer_rejects_an_item_without_rows(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="at least one row"):
        write_items(tmp_path, {"a": []})


def test_lineage_names_the_rows_and_what_made_them(tmp_path: Path) -> None:
    commit_table(Storage(tmp_path), reference(tmp_path), write_items(tmp_path, {"a": [clip("a", 1)]}), {})
    (step,) = lineage_of(str(tmp_path), "c1")
    assert step["made_by"] == {"run_id": "r"}
    assert step["rows"][0]["start_pts"] == 1


def test_lineage_rejects_an_unknown_clip(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No asset under"):
        lineage_of(str(tmp_path), "c1")


VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    pa.int64(): st.none() | st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.none() | st.floats(allow_nan=False),
    pa.bool_(): st.none() | st.booleans(),
    pa.list_(pa.float32()): st.none() | st.lists(st.floats(width=32, allow_nan=False), max_size=4),
    pa.map_(pa.string(), pa.string()): st.none()
    | st.dictionaries(st.text("abc", min_size=1), st.text("def"), max_size=3).map(lambda d: list(d.items())),
    pa.map_(pa.string(), pa.list_(pa.float32())): st.none()
    | st.dictionaries(
        st.text("abc", min_size=1), st.lists(st.floats(width=32, allow_nan=False), max_size=4), max_size=3
    ).map(lambda d: list(d.items())),
    pa.map_(pa.string(), pa.float64()): st.none()
    | st.dictionaries(st.text("abc", min_size=1), st.floats(allow_nan=False), max_size=3).map(
        lambda d: list(d.items())
    ),
}


def values(of_type: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type, those of lists and structures made of their parts'."""
    if of_type in VALUES:
        return VALUES[of_type]
    if isinstance(of_type, pa.StructType):
        return st.fixed_dictionaries({field.name: values(field.type) for field in of_type})
    assert isinstance(of_type, pa.ListType)
    return st.none() | st.lists(values(of_type.value_type), max_size=3)


@pytest.mark.parametrize("asset", list(ASSETS))
@settings(max_examples=25)  # files
@given(data=st.data())
def test_rows_of_every_schema_survive_the_round_trip(
    asset: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    schema = ASSETS[asset].schema
    row = data.draw(st.fixed_dictionaries({field.name: values(field.type) for field in schema}))
    row.update(row_key="k", status="kept", partition="p")
    root = tmp_path_factory.mktemp("root")
    ref = ManifestRef(str(root), asset, "p")
    writer = RowWriter(Storage(root), ref, decision_key="d", lineage={"note": row["uri"]})
    writer.append("k", [row])
    writer.flush()
    commit_table(Storage(root), ref, writer.files, {})
    assert read_manifest(str(root), asset).to_pylist() == [row]
    assert json.loads(pq.read_metadata(root / writer.files[0].path).metadata[b"curator"])["items"] == ["k"]


@pytest.mark.parametrize("seed", range(3))
def test_damaged_row_files_are_computed_again_or_named(tmp_path: Path, seed: int) -> None:
    (file,) = write_items(tmp_path, {key: [clip(key, place)] for place, key in enumerate("abcdef")})
    path, whole = tmp_path / file.path, (tmp_path / file.path).read_bytes()
    undamaged = read_row_file(Storage(tmp_path), "clips", file)
    random, errors = Random(seed), []
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 8, 200])):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged)
        find_stored_items(Storage(tmp_path), reference(tmp_path))
        try:
            rows = read_row_file(Storage(tmp_path), "clips", file)
        except ManifestError as error:
            errors.append(str(error))
        else:
            assert rows == undamaged
    assert len(errors) > 75
    assert all("Delete it and run the phase again" in text for text in errors)


def test_commit_follows_rows_whose_outcomes_differ_though_their_reasons_are_equal(tmp_path: Path) -> None:
    reasons = {"kept": None, "failed": "service"}
    for number, statuses in enumerate((["failed", "failed"], ["kept", "failed"], ["failed", "kept"]), 1):
        rows = [clip("a", place, status=status, reason=reasons[status]) for place, status in enumerate(statuses)]
        commit = commit_table(Storage(tmp_path), reference(tmp_path), write_items(tmp_path, {"a": rows}), {})
        assert commit.number == number
        assert read_manifest(str(tmp_path), "clips")["status"].to_pylist() == statuses


def test_stored_items_prefers_a_success_to_a_failure_whatever_the_decision_keys(tmp_path: Path) -> None:
    failed = {"a": [clip("a", 1, status="failed", reason="stage_error")]}
    write_items(tmp_path, failed, decision_key="d1")
    write_items(tmp_path, failed, decision_key="d2")
    (good,) = write_items(tmp_path, {"a": [clip("a", 1)]}, decision_key="d1")
    found = find_stored_items(Storage(tmp_path), reference(tmp_path))
    for decision_key in ("d1", "d2"):
        assert found.preferred_files(decision_key)["a"].path == good.path


def test_stored_items_reads_files_without_failures_in_their_footer(tmp_path: Path) -> None:
    (file,) = write_items(tmp_path, {"a": [clip("a", 1)]})
    table = pq.read_table(tmp_path / file.path)
    footer = json.loads(table.schema.metadata[b"curator"])
    del footer["failed"]
    pq.write_table(table.replace_schema_metadata({"curator": json.dumps(footer)}), tmp_path / file.path)
    assert set(find_stored_items(Storage(tmp_path), reference(tmp_path)).by_row_key) == {"a"}
