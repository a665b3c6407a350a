"""Time, memory and recall of dedup with the search for copies, on synthetic signals with planted copies.

    PYTHONPATH=. python benchmarks/copy_scale.py whole FOLDER --clips 10000      # a root, then dedup of all of it
    PYTHONPATH=. python benchmarks/copy_scale.py increment FOLDER --clips 100    # more clips, then dedup again

A clip has five seconds of pictures, eight a second: discs that move over a rough surface, both of its own. One in
twenty is a copy of an earlier one: with other light and noise, cropped, shorter, or faster. A video has thirty clips, a
partition up to 5,000. Vectors are random, so that the semantic step finds nothing and compares all.

Each command is a process of its own, so that its memory is its own. With `--mode local` it works in it alone, in one
thread; with `--mode streaming` it reports the CPU seconds of the driver alone, beside the busy seconds of the stages.
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.dedup_scale import commit, inputs, report
from stages.dedup.copy_windows import Window, seen_through
from stages.dedup.threads import set_num_threads
from stages.manifest import ALL, ManifestRef, read_manifest
from stages.params import DedupParams, ExecutorParams
from stages.run import open_session
from stages.signals import Samples, Signals, signals_path, write_signals
from stages.storage import Storage, digest

SIZE = 256
SIDE = 24
PICTURES, RATE = 40, 8
SHARE = 0.05
VIDEO_CLIPS = 30
PARAMS = DedupParams(keep="quality")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["whole", "increment", "dedup"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=1_000)
    parser.add_argument("--mode", default="local", help="as executor.mode")
    parser.add_argument("--workers", type=int, default=1, help="as executor.num_workers")
    options = parser.parse_args()
    set_num_threads(1)
    if options.command != "dedup":
        add_clips(options.folder, options.clips)
    dedup(options.folder, {"mode": options.mode, "num_workers": options.workers})


def dedup(folder: Path, executor: dict[str, object]) -> None:
    started, wall = time.process_time(), time.perf_counter()
    with open_session(ExecutorParams.model_validate(executor)) as session:
        done = session.run_phase(PARAMS, inputs(folder), [ManifestRef(str(folder), "unique_clips", ALL)])[ALL]
    report(
        clips=done.rows,
        cpu_s=round(time.process_time() - started, 1),
        wall_s=round(time.perf_counter() - wall, 1),
        peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        stages={name: (stage.tasks, round(stage.busy_s, 1)) for name, stage in done.stages.items()},
        **{
            name: done.counters.get(name, 0)
            for name in ("dedup_copy_candidates", "dedup_copies", "dedup_decisions_standing")
        },
        **found_of_planted(folder),
    )


def found_of_planted(folder: Path) -> dict[str, object]:
    """Of planted copies, how many are in one group with their original; of rejected ones, how many are planted."""
    numbers = {name: number for name, number in json.loads((folder / "numbers.json").read_text())}
    rows = read_manifest(str(folder), "unique_clips", columns=["clip_id", "group_id", "reason"]).to_pylist()
    group = {numbers[row["clip_id"]]: row["group_id"] for row in rows}
    planted = {number: original_of(number) for number in group}
    copies = {number for number, of in planted.items() if of != number}
    found = sum(group[number] == group[planted[number]] for number in copies)
    removed = [numbers[row["clip_id"]] for row in rows if row["reason"] == "copy"]
    wrong = sum(planted[number] != planted[numbers[group[number]]] for number in removed)
    return {"planted": len(copies), "recall": round(found / max(1, len(copies)), 4), "removed_wrongly": wrong}


def original_of(number: int) -> int:
    """The clip that this one is a copy of; itself, where it is none."""
    random = np.random.default_rng([number, 1])
    if number < 20 or random.random() >= SHARE:
        return number
    return original_of(int(random.integers(0, number)))


def pictures_of(number: int) -> NDArray[np.uint8]:
    """Uint8 ``[N, 24, 24]``."""
    of = original_of(number)
    shown = drawn(of)
    if of == number:
        return to_bytes(shown)
    random = np.random.default_rng([number, 2])
    kind = number % 4
    if kind == 0:
        shown = 0.8 * shown + 20 + random.normal(0, 3, shown.shape)
    elif kind == 1:
        top, left = random.uniform(0, 0.12, 2)
        shown = seen_through(shown.astype(np.float32), Window(top, top + 0.88, left, left + 0.88))
    elif kind == 2:
        shown = shown[10:]
    else:
        shown = shown[np.arange(0, PICTURES - 1, 1.25).round().astype(int)]
    return to_bytes(shown)


def drawn(number: int) -> NDArray[np.float32]:
    """Float32 ``[40, 24, 24]``: three discs that go their ways over a surface."""
    random = np.random.default_rng([number, 3])
    # Rough and fine: hashes of clips that are smooth alone would be more alike than those of real ones.
    surface = ENLARGE @ random.uniform(30, 226, (9, 9)) @ ENLARGE.T
    surface += random.normal(0, 25, surface.shape)
    seconds = np.arange(PICTURES)[:, None, None] / RATE
    shown = np.repeat(surface[None], PICTURES, axis=0)
    for _ in range(3):
        phase, speed, level = random.uniform(0, 6.3, 2), random.uniform(0.7, 1.8, 2), random.uniform(0, 255)
        x, y = (SIDE * (0.5 + 0.4 * np.sin(phase[each] + speed[each] * seconds)) for each in (0, 1))
        cover = np.clip(3.0 - np.hypot(ROWS - y, COLUMNS - x), 0, 1)
        shown = shown * (1 - cover) + level * cover
    return shown.astype(np.float32)


def _enlarging() -> NDArray[np.float64]:
    """Matrix ``[24, 9]``, smooth between nine values."""
    distance = np.abs(np.linspace(0, 8, SIDE)[:, None] - np.arange(9)[None])
    weight = np.exp(-((distance / 0.6) ** 2))
    return weight / weight.sum(axis=1, keepdims=True)


ENLARGE = _enlarging()
ROWS, COLUMNS = np.arange(SIDE)[None, :, None], np.arange(SIDE)[None, None, :]


def to_bytes(pictures: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(pictures, 0, 255).astype(np.uint8)


def add_clips(folder: Path, count: int) -> None:
    """Add partitions as the phases before dedup would write them."""
    folder.mkdir(parents=True, exist_ok=True)
    storage = Storage(str(folder))
    listed, named = folder / "partitions.json", folder / "numbers.json"
    partitions: list[str] = json.loads(listed.read_text()) if listed.exists() else []
    numbers: list[tuple[str, int]] = json.loads(named.read_text()) if named.exists() else []
    first = len(numbers)
    for start in range(first, first + count, 5_000):
        name = f"part-{len(partitions):06d}"
        members = range(start, min(start + 5_000, first + count))
        numbers += zip(add_partition(storage, name, members), members, strict=True)
        partitions.append(name)
        storage.create_bytes(f"partitions/_order/{len(partitions)}.json", json.dumps({"partition": name}).encode())
    listed.write_text(json.dumps(partitions))
    named.write_text(json.dumps(numbers))


def add_partition(storage: Storage, name: str, members: range) -> list[str]:
    """Tables and signals of a partition; returns the ids of its clips."""
    rows = [
        row
        for start in range(0, len(members), VIDEO_CLIPS)
        for row in add_video(storage, name, members[start : start + VIDEO_CLIPS])
    ]
    vectors = np.random.default_rng([members[0], 4]).standard_normal((len(rows), SIZE), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    common = {key: columns[key] for key in ("partition", "video_id", "uri", "clip_id", "status")}
    embedding = pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32) * SIZE, vectors.ravel())
    model = {"model": ["toy"] * len(rows), "weights_hash": ["0" * 16] * len(rows)}
    commit(storage, "embeddings", name, {**common, **model, "embedding": embedding})
    commit(storage, "filtered_clips", name, columns)
    return columns["clip_id"]


def add_video(storage: Storage, partition: str, members: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The signals of a video; gives the rows of its clips."""
    shown = [pictures_of(number) for number in members]
    video_id = digest(partition, str(members[0]), length=16)
    ends = np.cumsum([len(each) for each in shown]).tolist()
    values = {
        "thumbnail": np.concatenate(shown).reshape(ends[-1], -1),
        "pdq_quality": np.full(ends[-1], 80, np.uint8),
    }
    pts = np.arange(ends[-1]) * 1000 // RATE
    signals = Signals(
        pts,
        np.zeros(1, np.int64),
        int(pts[-1]) + 125,
        Fraction(1, 1000),
        None,
        {"hashes": Samples(np.arange(len(pts)), values)},
    )
    write_signals(storage, signals_path(partition, video_id, "key"), signals)
    for number, start, end in zip(members, [0, *ends], ends, strict=False):
        yield {
            "partition": partition, "video_id": video_id, "uri": f"s3://bucket/some/longer/prefix/{video_id}.mp4",
            "clip_id": digest(video_id, str(number), length=16), "status": "kept", "signals_key": "key",
            "start_frame": start, "end_frame": end, "start_s": start / RATE, "end_s": end / RATE,
            "shot_start_pts": start * 1000 // RATE, "width": 1920 - number % 2, "height": 1080, "size_bytes": 10**7,
            "video_frames": ends[-1], "average_rate": "8", "codec": "h264", "bit_depth": 8, "damaged_share": 0.0,
            "detail": 1.0, "picture_share": 1.0, "noise": 0.5, "motion_class": "medium",
        }  # fmt: skip


if __name__ == "__main__":
    main()
