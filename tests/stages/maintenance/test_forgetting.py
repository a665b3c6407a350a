"""A forgotten source leaves nothing behind but a hash of its uri, and takes nothing else with it."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.errors import ParamsError
from stages.maintenance import forget_source, resolve_source
from stages.manifest import (
    ManifestRef,
    SourceNames,
    commit_table,
    find_source_rows,
    last_commit,
    load_commit,
    newest_version,
    read_manifest,
    replace_in_commits,
    reusable_items,
    tag_version,
    write_without_source,
)
from stages.params import ReadParams
from stages.signals import signals_path
from stages.sources import Register, Source, read_members, register_batches, register_sources, registered_partitions
from stages.storage import Storage
from stages.tasks import Row
from stages.write.publishing import publish, read_dataset_file
from tests.made_tables import commit_items

GONE, OTHER, COPY = (Source(f"/videos/{name}.mp4", "1", 1) for name in ("gone", "other", "copy"))
SOURCES = [GONE, OTHER, COPY]
NAMES = SourceNames(GONE.uri, frozenset({GONE.video_id}))
PARAMS = ReadParams(partition_size=2)


def clip_id(source: Source) -> str:
    return f"{SOURCES.index(source):020x}"


def row(source: Source, partition: str, **values: Any) -> Row:
    return {"partition": partition, "video_id": source.video_id, "uri": source.uri, "status": "kept", **values}


def make_version(storage: Storage, variant: int) -> None:
    """Publish a version: `GONE` and `OTHER` share a partition, and all share the table of unique clips."""
    places = {source: Register(storage).partition_by_video_id[source.video_id] for source in SOURCES}
    for partition in set(places.values()):
        members = [source for source in SOURCES if places[source] == partition]
        commit_items(
            ManifestRef(storage.root, "videos", partition),
            [(f"{source.uri} {variant}", [row(source, partition)]) for source in members],
        )
        # A commit of embeddings holds rows itself.
        embedded = [
            (f"{source.uri} {variant}", [row(source, partition, clip_id=clip_id(source))]) for source in members
        ]
        for table in ("embeddings", "embeddings.siglip"):
            commit_items(ManifestRef(storage.root, table, partition), embedded)
        rows = []
        for source in members:
            name = f"{partition}/{clip_id(source)}-{variant:08x}"
            for ending in ("mp4", "json"):
                storage.write_bytes(f"former/{name}.{ending}", source.uri.encode())
            storage.write_bytes(f"frames/{partition}/{source.video_id}.parquet", source.uri.encode())
            storage.write_bytes(signals_path(partition, source.video_id, f"key{variant}"), source.uri.encode())
            paths = {"path": f"{name}.mp4", "metadata_path": f"{name}.json"}
            rows.append(row(source, partition, clip_id=clip_id(source), **paths))
        commit_items(ManifestRef(storage.root, "dataset", partition), [(f"{each['path']}", [each]) for each in rows])
    for name in ("rows/embeddings-1/2.parquet", "3/4.vectors"):
        storage.write_bytes(f"index/{name}", GONE.uri.encode())
    everything = [row(source, places[source], clip_id=clip_id(source)) for source in SOURCES]
    commit_items(ManifestRef(storage.root, "unique_clips", "all"), [(f"all {variant}", everything)])
    publish(storage, [ManifestRef(storage.root, "dataset", partition) for partition in sorted(set(places.values()))])


@pytest.fixture(params=["local", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    storage = Storage(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")
    register_sources(storage, SOURCES, PARAMS)
    make_version(storage, 1)
    tag_version(storage, "first")
    make_version(storage, 2)
    return storage


def traces(storage: Storage, source: Source) -> list[str]:
    """Files that hold the uri or the video id of a source, or are called after it or its clip."""
    words = (source.uri, source.video_id)
    found = []
    for info in storage.list():
        data = storage.read_bytes(info.path)
        text = json.dumps(pq.read_table(storage.location(info.path)).to_pylist()) if _is_table(storage, data) else ""
        if "/embeddings" in info.path and "/_commits/" in info.path:
            text = gzip.decompress(base64.b64decode(json.loads(data)["kept_rows"])).decode() or text
        named = any(word in info.path for word in (source.video_id, clip_id(source)))
        if named or any(word in text or word.encode() in data for word in words):
            found.append(info.path)
    return found


def _is_table(storage: Storage, data: bytes) -> bool:
    return data.startswith(b"PAR1") and storage.is_local


def everything(storage: Storage, version: int | str) -> dict[str, list[Row]]:
    return {
        asset: read_manifest(storage.root, asset, version=version).to_pylist()
        for asset in ("videos", "embeddings", "embeddings.siglip", "unique_clips", "dataset")
    }


def without(tables: dict[str, list[Row]], source: Source) -> dict[str, list[Row]]:
    return {asset: [row for row in rows if row["uri"] != source.uri] for asset, rows in tables.items()}


def test_forgotten_source_leaves_no_trace_and_others_stay_whole(storage: Storage) -> None:
    expected = {version: without(everything(storage, version), GONE) for version in ("first", 2)}
    assert traces(storage, GONE)
    removed = forget_source(storage, GONE.uri)
    assert traces(storage, GONE) == []
    assert {version: everything(storage, version) for version in expected} == expected
    for tables in expected.values():
        for each in tables["dataset"]:
            assert read_dataset_file(storage, each["path"], each["partition"]) == each["uri"].encode()
    newest = newest_version(storage)
    assert newest is not None
    assert newest.number == 2
    assert removed.num_versions == 1
    assert {asset: count for asset, count in removed.rows.items() if count} == {
        "videos": 2,
        "embeddings": 2,
        "embeddings.siglip": 2,
        "unique_clips": 2,
        "dataset": 2,
    }
    counts = {kind: len(infos) for kind, infos in removed.files.items() if infos}
    assert counts == {"clip files": 4, "frame stores": 1, "signals": 2, "index of dedup": 2}


def test_commits_stay_as_they_would_have_been_made(storage: Storage) -> None:
    """Counts, digests and reusable items are those of a root that never had the source."""
    partition = Register(storage).partition_by_video_id[GONE.video_id]
    ref = ManifestRef(storage.root, "videos", partition)
    forget_source(storage, GONE.uri)
    kept = last_commit(storage, ref)
    assert kept is not None
    assert kept.counts == {"kept": 1, "rejected": 0, "failed": 0}
    assert set(reusable_items(storage, ref).by_row_key) == {f"{OTHER.uri} 1", f"{OTHER.uri} 2"}
    alone = ManifestRef(storage.root, "videos", "alone")
    expected = commit_items(alone, [(f"{OTHER.uri} 2", [row(OTHER, partition)])])
    assert kept.digest == expected.digest


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_forgetting_that_was_killed_is_ended_by_the_next(storage: Storage, steps: int) -> None:
    """After each of its first steps, versions still name files that are there."""
    refs = [
        ManifestRef(storage.root, *info.path.split("/")[1:3])
        for info in storage.list("manifests")
        if "/_commits/" in info.path
    ]
    rows = [found for ref in set(refs) if (found := find_source_rows(storage, ref, NAMES)).files]
    Register(storage).forget(GONE.uri)
    for found in rows[: (0, 1, len(rows))[steps - 1]]:
        replace_in_commits(storage, found.ref, write_without_source(storage, found, NAMES), NAMES)
    for version in ("first", 2):
        for each in everything(storage, version)["dataset"]:
            assert read_dataset_file(storage, each["path"], each["partition"]) == each["uri"].encode()
    forget_source(storage, GONE.uri)
    assert traces(storage, GONE) == []
    assert [row["uri"] for row in everything(storage, 2)["unique_clips"]] == [OTHER.uri, COPY.uri]
    assert not any(forget_source(storage, GONE.uri).rows.values())


def test_forgotten_source_is_not_registered_again(storage: Storage) -> None:
    old_register = Register(storage)  # of a daemon that runs on
    before = registered_partitions(storage)
    partition = old_register.partition_by_video_id[GONE.video_id]
    forget_source(storage, GONE.uri)
    with_other_content = Source(GONE.uri, "2", 2)
    for register in (old_register, Register(storage)):
        assert register_batches(register, [GONE, with_other_content, OTHER], PARAMS) == []
        register.refresh()
        assert register.unregistered([GONE, with_other_content]) == []
        assert GONE.video_id not in register.partition_by_video_id
        assert GONE.uri not in register.newest_version
    assert registered_partitions(storage) == before
    assert read_members(storage, partition)["uri"].to_pylist() == [OTHER.uri]
    assert old_register.entries_after(len(before))[0].affected_partitions == (partition,)


def test_snapshot_of_a_process_that_knew_the_source_does_not_hold_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.sources.register.ENTRIES_PER_SNAPSHOT", 1)
    register = Register(storage)
    register.save_snapshot()
    forget_source(storage, GONE.uri)
    register_batches(register, [Source("/videos/new.mp4", "1", 1)], PARAMS)
    assert any(info.path.endswith(".parquet") for info in storage.list("partitions/_order"))
    assert traces(storage, GONE) == []
    assert Register(storage).newest_version == {
        OTHER.uri: OTHER.video_id,
        COPY.uri: COPY.video_id,
        "/videos/new.mp4": Source("/videos/new.mp4", "1", 1).video_id,
    }


def test_source_is_found_by_its_path_and_a_wrong_one_is_told(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_source(storage, GONE.uri) == GONE.uri
    monkeypatch.chdir(tmp_path)
    local = Source(str(tmp_path / "a.mp4"), "1", 1)
    register_sources(storage, [local], PARAMS)
    assert resolve_source(storage, "a.mp4") == local.uri
    with pytest.raises(ParamsError, match=r"Did you mean /videos/gone\.mp4"):
        resolve_source(storage, "/videos/gon.mp4")
    forget_source(storage, GONE.uri)
    assert resolve_source(storage, GONE.uri) == GONE.uri


def test_old_commit_whose_other_row_file_is_gone_stays_no_obstacle(storage: Storage) -> None:
    """A damaged row file is deleted as its error says; older commits go on naming it."""
    partition = Register(storage).partition_by_video_id[GONE.video_id]
    ref = ManifestRef(storage.root, "videos", partition)
    lost = commit_items(ref, [("of another", [row(OTHER, partition)])])
    both = [*load_commit(storage, ref, 1).files, *lost.files]
    commit_table(storage, ref, both, {})
    commit_items(ref, [(f"{OTHER.uri} 3", [row(OTHER, partition)])])
    storage.delete(lost.files[0].path)
    forget_source(storage, GONE.uri)
    assert traces(storage, GONE) == []
    assert load_commit(storage, ref, lost.number + 1).counts == {"kept": 2, "rejected": 0, "failed": 0}


def test_commit_that_a_run_made_meanwhile_names_no_removed_file(storage: Storage) -> None:
    partition = Register(storage).partition_by_video_id[GONE.video_id]
    ref = ManifestRef(storage.root, "videos", partition)
    files = load_commit(storage, ref, 1).files
    found = find_source_rows(storage, ref, NAMES)
    replaced = write_without_source(storage, found, NAMES)
    replace_in_commits(storage, ref, replaced, NAMES)
    made = commit_table(storage, ref, files, {"made": "from what was read before"})
    replace_in_commits(storage, ref, replaced, NAMES)
    old = {entry.path for entry in found.files}
    assert not old & {entry.path for entry in load_commit(storage, ref, made.number).files}


def test_files_of_killed_writers_and_of_file_managers(storage: Storage) -> None:
    partition = Register(storage).partition_by_video_id[GONE.video_id]
    for path in ("manifests/.DS_Store", "notes.txt"):
        storage.write_bytes(path, b"of a person")
    unfinished = [f"{folder}/{partition}/.tmp-1" for folder in ("frames", "former", "manifests/videos")]
    for path in unfinished if storage.is_local else []:
        Path(storage.location(path)).write_bytes(GONE.uri.encode())
    removed = forget_source(storage, GONE.uri)
    assert len(removed.files["unfinished files"]) == (3 if storage.is_local else 0)
    assert storage.exists("notes.txt")
    assert storage.list_unfinished("frames") == []
