"""Time, memory and recall of dedup on synthetic vectors with planted near-duplicates, whole and for an increment.

    PYTHONPATH=. python benchmarks/dedup_scale.py whole FOLDER --clips 100000      # a root, then dedup of all of it
    PYTHONPATH=. python benchmarks/dedup_scale.py increment FOLDER --clips 10000   # more clips, then dedup again
    PYTHONPATH=. python benchmarks/dedup_scale.py recall FOLDER                    # against brute force on a sample
    PYTHONPATH=. python benchmarks/dedup_scale.py write FOLDER                     # what write reads for a partition
    PYTHONPATH=. python benchmarks/dedup_scale.py plan FOLDER --partitions 10000   # partitions of 10 clips, planned

Vectors are random directions; one in twenty is a near-duplicate of an earlier one, anywhere in the library. Each
command is a process of its own, so that its memory is its own, and works in it alone (executor.mode=local), in one
thread. Times are of the CPU.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.dedup.arrow import pc
from stages.dedup.similarity import exact_similarity
from stages.dedup.threads import set_num_threads
from stages.manifest import ALL, ManifestRef, RowWriter, commit_table, last_commit, read_commit, read_manifest
from stages.params import DedupParams, ExecutorParams
from stages.run import open_session
from stages.run.inputs import InputTables
from stages.run.phases import build_phase
from stages.run.table_run import TableRun
from stages.schemas import ASSETS
from stages.storage import Storage, digest

SIZE = 256
SHARE = 0.05
EPS = 0.07
PARAMS = DedupParams(eps=EPS, copies=False, keep="farthest")
"""The semantic step alone: there are no pictures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["whole", "increment", "recall", "write", "plan"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=10_000)
    parser.add_argument("--sample", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", default="local", help="as executor.mode")
    options = parser.parse_args()
    set_num_threads(1)
    commands = {"whole": whole, "increment": whole, "recall": recall, "write": write, "plan": plan}
    commands[options.command](options)


def whole(options: argparse.Namespace) -> None:
    add_clips(options.folder, options.clips, min(5_000, max(1, options.clips // 10)), options.seed)
    dedup(options.folder, options.mode)


def recall(options: argparse.Namespace) -> None:
    """Near-duplicates of a sample of clips, by brute force: how many of the pairs ended in one group?"""
    table = read_manifest(str(options.folder), "unique_clips", columns=["clip_id", "group_id", "status", "similarity"])
    embedded = read_manifest(str(options.folder), "embeddings", columns=["clip_id", "embedding"])
    vectors = pc.list_flatten(embedded["embedding"].combine_chunks()).to_numpy().reshape(-1, SIZE)
    place = pc.index_in(embedded["clip_id"], value_set=table["clip_id"].combine_chunks()).to_numpy()
    kept = (table["status"].to_numpy() == "kept")[place]
    planted = np.flatnonzero(~kept)
    random = np.random.default_rng(options.seed)
    sample = random.choice(len(vectors), min(len(vectors), options.sample), replace=False)
    pairs = found = 0
    nearest_found = 0
    similarity = table["similarity"].to_numpy()[place]
    for start in range(0, len(sample), 256):
        rows = sample[start : start + 256]
        values = vectors[rows] @ vectors.T
        values[np.arange(len(rows)), rows] = -1
        near, others = np.nonzero(values >= 1 - EPS)
        exact = exact_similarity(vectors[rows[near]], vectors[others]) >= 1 - EPS
        near, others = near[exact], others[exact]
        pairs += len(near)
        # Found, where not both of a pair are kept: kept clips are no near-duplicates of each other.
        found += int((~(kept[rows[near]] & kept[others])).sum())
        values[:, ~kept] = -1
        nearest_found += int((np.abs(values.max(axis=1) - similarity[rows]) < 1e-5).sum())
    report(
        pairs=pairs,
        recall=round(found / max(1, pairs), 5),
        removed=len(planted),
        nearest_right=round(nearest_found / len(sample), 4),
    )


def write(options: argparse.Namespace) -> None:
    """Rows of ``unique_clips`` of a partition, as they are read for the index of the dataset."""
    ref = ManifestRef(str(options.folder), "unique_clips", ALL)
    if (commit := last_commit(Storage(ref.root), ref)) is None:
        raise SystemExit(f"{options.folder} must hold unique_clips. Run `whole` first.")
    names = ["clip_id", "group_id", "group_size", "nearest_clip_id", "similarity", "rank", "status"]
    partitions = inputs(options.folder)["embeddings"]
    rows, started = 0, time.process_time()
    for each in partitions[:20]:
        rows = len(read_commit(Storage(ref.root), ref, commit, names, each.partition))
    alone = (time.process_time() - started) / 20
    started = time.process_time()
    read_commit(Storage(ref.root), ref, commit, [*names, "partition"])
    report(rows=rows, ms=round(alone * 1e3, 1), ms_of_whole_table=round((time.process_time() - started) * 1e3))


def plan(options: argparse.Namespace) -> None:
    """Plan twice: with nothing collected, and with all of it."""
    add_clips(options.folder, options.partitions * 10, 10, options.seed)
    for name in ("first plan", "second plan"):
        started, wall = time.process_time(), time.perf_counter()
        planned_run(options.folder)
        report(what=name, cpu_s=round(time.process_time() - started, 1), wall_s=round(time.perf_counter() - wall, 1))


def planned_run(folder: Path) -> TableRun:
    phase = build_phase(PARAMS, str(folder))
    return TableRun(phase, ManifestRef(str(folder), "unique_clips", ALL), InputTables(phase, inputs(folder)), "run", [])


def inputs(folder: Path) -> dict[str, list[ManifestRef]]:
    partitions = json.loads((folder / "partitions.json").read_text())
    return {
        asset: [ManifestRef(str(folder), asset, name) for name in partitions]
        for asset in ("embeddings", "filtered_clips")
    }


def dedup(folder: Path, mode: str) -> None:
    started, wall = time.process_time(), time.perf_counter()
    with open_session(ExecutorParams.model_validate({"mode": mode})) as session:
        output = ManifestRef(str(folder), "unique_clips", ALL)
        done = session.run_phase(PARAMS, inputs(folder), [output])[ALL]
    report(
        clips=done.rows,
        kept=done.counts["kept"],
        cpu_s=round(time.process_time() - started, 1),
        wall_s=round(time.perf_counter() - wall, 1),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        standing=done.counters.get("dedup_decisions_standing", 0),
    )


def report(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def add_clips(folder: Path, count: int, partition_clips: int, seed: int) -> None:
    """Add partitions as the phases before dedup would write them."""
    folder.mkdir(parents=True, exist_ok=True)
    storage = Storage(str(folder))
    listed = folder / "partitions.json"
    partitions: list[str] = json.loads(listed.read_text()) if listed.exists() else []
    there = sum(1 for _ in partitions)
    for number, vectors in enumerate(planted(folder, count, partition_clips, seed + there), there):
        name = f"part-{number:06d}"
        add_partition(storage, name, vectors)
        partitions.append(name)
    listed.write_text(json.dumps(partitions))
    for number, name in enumerate(partitions[there:], there + 1):
        storage.create_bytes(f"partitions/_order/{number}.json", json.dumps({"partition": name}).encode())


def planted(folder: Path, count: int, partition_clips: int, seed: int) -> Iterator[np.ndarray]:
    """Vectors, partition by partition; a part of them lies at a cosine of 0.935 to 0.999 from one before."""
    random = np.random.default_rng(seed)
    pool = [np.load(path) for path in sorted(folder.glob("originals-*.npy"))]
    for start in range(0, count, partition_clips):
        vectors = random.standard_normal((min(partition_clips, count - start), SIZE), np.float32)
        if pool:
            copies = np.flatnonzero(random.random(len(vectors)) < SHARE)
            originals = np.concatenate(pool)
            chosen = originals[random.integers(0, len(originals), len(copies))]
            cosine = random.uniform(0.935, 0.999, (len(copies), 1)).astype(np.float32)
            noise = random.standard_normal(chosen.shape, np.float32)
            noise -= (noise * chosen).sum(axis=1, keepdims=True) * chosen
            noise /= np.linalg.norm(noise, axis=1, keepdims=True)
            vectors[copies] = cosine * chosen + np.sqrt(1 - cosine**2) * noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if len(pool) < 40:
            pool.append(vectors[: max(1, len(vectors) // 2)])
        yield vectors
    if not list(folder.glob("originals-*.npy")):
        np.save(folder / "originals-0.npy", np.concatenate(pool)[:20_000])


def add_partition(storage: Storage, name: str, vectors: np.ndarray) -> None:
    ids = [digest(name, str(number), length=16) for number in range(len(vectors))]
    video_ids = [digest(name, str(number // 30), length=16) for number in range(len(vectors))]
    common = {
        "partition": [name] * len(ids),
        "video_id": video_ids,
        "uri": [f"s3://bucket/some/longer/prefix/{video_id}.mp4" for video_id in video_ids],
        "clip_id": ids,
        "status": ["kept"] * len(ids),
    }
    embedding = pa.ListArray.from_arrays(np.arange(len(ids) + 1, dtype=np.int32) * SIZE, vectors.ravel())
    model = {"model": ["toy"] * len(ids), "weights_hash": ["0" * 16] * len(ids)}
    commit(storage, "embeddings", name, {**common, **model, "embedding": embedding})
    commit(storage, "filtered_clips", name, common)


def commit(storage: Storage, asset: str, partition: str, columns: Mapping[str, list[str] | pa.ListArray]) -> None:
    """A table, each of whose clips is an item."""
    schema, count = ASSETS[asset].schema, len(columns["clip_id"])
    keys = [digest(asset, str(clip_id)) for clip_id in columns["clip_id"]]
    columns = {**columns, "row_key": keys, "decision_key": ["d"] * count}
    table = pa.table([columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names], schema)
    ref = ManifestRef(storage.root, asset, partition)
    writer = RowWriter(storage, ref, decision_key="d", lineage={})
    for row, key in enumerate(keys):
        writer.append(key, table.slice(row, 1))
    writer.finish()
    commit_table(storage, ref, writer.files, {})


if __name__ == "__main__":
    main()
