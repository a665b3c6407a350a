"""Measure what looking for exact copies of sources costs.

    PYTHONPATH=. python benchmarks/exact_copies.py reading [--sources 1000] [--kib 512] [--kinds "own sizes" ...]
    PYTHONPATH=. python benchmarks/exact_copies.py register [--sources 1000000]
    PYTHONPATH=. python benchmarks/exact_copies.py planning [--sources 10000]

`reading` puts sources on a real S3 server of this machine and runs the read phase over them, with and without
`read.exact_copies`: sources of sizes of their own, sources of one size with other contents, and one source many times.
Requests of the client and bytes of sources are counted. The sources are noise, so each is probed and found unreadable.

`register` fills a register in memory and times what a run asks of it, in CPU seconds.

`planning` registers sources of one size, a partition each, ten of each content, and times what a run over all of these
partitions does before it works on any, with and without `read.exact_copies`, in CPU seconds.
"""

import argparse
import os
import random
import resource
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.config import conf
from s3fs import S3FileSystem

from stages.manifest import ManifestRef
from stages.params import ExecutorParams, ReadParams
from stages.read.fingerprint_store import FingerprintStore
from stages.read.fingerprints import Fingerprint
from stages.run import open_session
from stages.run.phases import build_phase
from stages.sources import Register, list_sources, register_sources, relevant_members, same_size_groups
from stages.sources.register_log import ENTRY_ROWS_SCHEMA
from stages.storage import Storage, digest
from tests.object_store import running_server

KINDS = ["own sizes", "one size", "one content"]
REQUESTS: Counter[str] = Counter()


class CountedS3(S3FileSystem):
    """The client, with its requests counted by kind and kind of object."""

    async def _call_s3(self, method: str, *akwarglist: Any, **kwargs: Any) -> Any:
        named = [each for each in (*akwarglist, kwargs) if isinstance(each, dict)]
        keys = {str(each.get("Key", each.get("Prefix", ""))) for each in named}
        is_source = any(key.startswith("in") for key in keys)
        REQUESTS[f"{method} of {'sources' if is_source else 'the root'}"] += 1
        return await super()._call_s3(method, *akwarglist, **kwargs)


def content(kind: str, number: int, size: int) -> bytes:
    seed = 0 if kind == "one content" else number
    return random.Random(seed).randbytes(size + (number if kind == "own sizes" else 0))


def fill(bucket: str, kind: str, num_sources: int, size: int) -> None:
    filesystem = fsspec.filesystem("s3")
    filesystem.mkdir(bucket)

    def put(number: int) -> None:
        filesystem.pipe_file(f"{bucket}/in/{number:05}.mp4", content(kind, number, size))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(num_sources)))


def measure_reading(num_sources: int, size: int, kinds: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        conf["s3"] = dict(server.settings)
        for name, value in server.settings.items():
            os.environ[f"FSSPEC_S3_{name.upper()}"] = value
        for kind in kinds:
            bucket = kind.replace(" ", "-")
            fill(bucket, kind, num_sources, size)
            for exact_copies in (False, True):
                read_all(f"s3://{bucket}", ReadParams(exact_copies=exact_copies, max_failed_fraction=1), kind)


def read_all(bucket: str, params: ReadParams, kind: str) -> None:
    root = f"{bucket}/out-{params.exact_copies}"
    partitions = register_sources(Storage(root), list_sources(f"{bucket}/in", params), params)
    outputs = [ManifestRef(root, "videos", partition) for partition in partitions]
    for turn in ("first", "again"):
        REQUESTS.clear()
        began = time.process_time()
        with open_session(ExecutorParams(mode="local")) as session:
            reports = session.run_phase(params, {}, outputs)
        counters = next(iter(reports.values())).counters
        rejected = sum(report.reasons.get("exact_copy", 0) for report in reports.values())
        print(
            f"{kind}, exact_copies={params.exact_copies}, {turn}: {sum(REQUESTS.values())} requests "
            f"{dict(sorted(REQUESTS.items()))}, {counters.get('source_bytes', 0) / 1e6:.1f} MB of sources, "
            f"{rejected} copies, {sum(report.computed for report in reports.values())} computed, "
            f"{time.process_time() - began:.1f} s CPU",
            flush=True,
        )


def entry_rows(first: int, sizes: list[int], partition: int) -> pa.Table:
    uris = [f"s3://bucket/cameras/{number:09}.mp4" for number in range(first, first + len(sizes))]
    values = {
        "number": [partition] * len(sizes),
        "registration": ["r"] * len(sizes),
        "partition": [f"2026-01-01-{partition:08}"] * len(sizes),
        "added": [None] * len(sizes),
        "uri": uris,
        "video_id": [digest(uri, "1", length=16) for uri in uris],
        "size_bytes": sizes,
    }
    return pa.Table.from_pydict(values, schema=ENTRY_ROWS_SCHEMA)


def measure_register(num_sources: int) -> None:
    for kind, size_of in (
        ("sizes up to 1 GB", lambda number: random.Random(number).randrange(10_000_000, 1_000_000_000)),
        ("one size", lambda number: 64 << 20),
    ):
        register = Register(Storage(f"memory://{kind.replace(' ', '-')}"))
        before = peak_mb()
        took = 0.0
        for start in range(0, num_sources, 100_000):
            rows = pa.concat_tables(
                entry_rows(first, [size_of(number) for number in range(first, first + 100)], 1 + first // 100)
                for first in range(start, min(start + 100_000, num_sources), 100)
            )
            began = time.process_time()
            register._replay(rows)
            took += time.process_time() - began
        began = time.process_time()
        groups = same_size_groups(register)
        grouped = time.process_time() - began
        began = time.process_time()
        last = list(register.member_files)[-1]
        relevant = sum(len(relevant_members(group, {last})) for group in groups.values())
        asked = time.process_time() - began
        print(
            f"{kind}: register of {num_sources} in {took:.1f} s CPU, {peak_mb() - before:.0f} MB; "
            f"{len(groups)} groups in {grouped:.2f} s, {relevant} videos for the last partition in {asked:.2f} s"
        )


def measure_planning(num_sources: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sources, root, params = Path(folder, "in"), Storage(Path(folder, "out")), ReadParams(partition_size=1)
        sources.mkdir()
        for number in range(num_sources):
            (sources / f"{number:06}.mp4").write_bytes(b"%08d" % (number // 10))
        partitions = register_sources(root, list_sources(str(sources), params), params)
        store = FingerprintStore(root)
        for video_id, uri in [(name, uri) for uri, name in Register(root).newest_version.items()]:
            equal = digest(str(int(Path(uri).stem) // 10), length=64)
            store.add(video_id, Fingerprint(equal, equal))
        store.flush()
        outputs = [ManifestRef(root.root, "videos", partition) for partition in partitions]
        for exact_copies in (False, True):
            began = time.process_time()
            phase = build_phase(ReadParams(exact_copies=exact_copies), root.root)
            unknown = sum(len(preparation.tasks) for preparation in phase.preparations(outputs))
            prepared = time.process_time()
            copies = sum(phase.items({}, output)["copy_of"].drop_null().length() for output in outputs)
            print(
                f"{len(partitions)} partitions, exact_copies={exact_copies}: {unknown} to read, asked in "
                f"{prepared - began:.1f} s CPU; {copies} copies, items in {time.process_time() - prepared:.1f} s CPU",
                flush=True,
            )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["reading", "register", "planning"])
    parser.add_argument("--sources", type=int)
    parser.add_argument("--kib", type=int, default=512)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    arguments = parser.parse_args()
    if arguments.what == "reading":
        fsspec.register_implementation("s3", CountedS3, clobber=True)
        measure_reading(arguments.sources or 1000, arguments.kib << 10, arguments.kinds)
    elif arguments.what == "register":
        measure_register(arguments.sources or 1_000_000)
    else:
        measure_planning(arguments.sources or 10_000)


if __name__ == "__main__":
    main()
