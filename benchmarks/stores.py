"""Measure the store of this project, on fsspec, beside the same calls by obstore.

    PYTHONPATH=. python benchmarks/stores.py speed [--files 1000] [--keys 10000]
    PYTHONPATH=. python benchmarks/stores.py faults [--calls 200]

`speed` runs on a real S3 server of this machine and on a local folder: small files written and read, one after another
and eight at once, ranges of a large file, exclusive creation won and lost, and a listing whole and from an offset near
its end. Told are the CPU time of this process and the time that passed, for a call.

`faults` puts a proxy before the server that answers one request of five by 503, resets one connection of five, or
answers nothing for longer than a client waits, and counts calls that came to their right end; of an exclusive creation
whose answer was lost that is true.

obstore is no part of the project: pip install obstore, in an environment of its own.
"""

import argparse
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import fsspec
import obstore  # pyrefly: ignore[missing-import]
from fsspec.config import conf
from obstore.exceptions import AlreadyExistsError  # pyrefly: ignore[missing-import]
from obstore.store import LocalStore, S3Store  # pyrefly: ignore[missing-import]

from stages import retry
from stages.retry import Backoff
from stages.sources.file_listing import ListingScope, file_pages
from stages.storage import Storage, open_source
from tests.faults.http_proxy import Fault, HttpProxy, hanging, losing_answers, overloaded, resetting
from tests.object_store import ObjectStore, running_server

BUCKET = "bench"
SMALL = b"x" * 10_000
RANGE_BYTES = 128 << 10
LARGE_BYTES = 64 << 20
WAIT_S = 2.0
"""Longest wait of a client for an answer, in `faults`."""
BACKOFF = Backoff(6, 0.1, 1.0)
THREADS = 8


class Store(Protocol):
    """What is measured, of either."""

    def put(self, path: str, data: bytes) -> None: ...

    def get(self, path: str) -> bytes: ...

    def create(self, path: str, data: bytes) -> bool: ...

    def read_ranges(self, path: str, starts: Sequence[int]) -> int:
        """Bytes read."""
        ...

    def list_after(self, folder: str, offset: str) -> int:
        """Number of files."""
        ...


class OnFsspec:
    """The store of this project."""

    def __init__(self, root: str) -> None:
        self.storage = Storage(root)
        self.put, self.get, self.create = (
            self.storage.write_bytes,
            self.storage.read_bytes,
            self.storage.create_bytes,
        )

    def read_ranges(self, path: str, starts: Sequence[int]) -> int:
        total = 0
        with open_source(self.storage.location(path)) as handle:
            for start in starts:
                handle.seek(start)
                total += len(handle.read(RANGE_BYTES))
        return total

    def list_after(self, folder: str, offset: str) -> int:
        pages = file_pages(self.storage.location(folder), ListingScope(after=offset))
        return sum(1 for page in pages for file in page.files if file.info())


class OnObstore:
    """The same by obstore, with the care that the project's takes: an object with exactly our bytes counts as ours."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def put(self, path: str, data: bytes) -> None:
        obstore.put(self.store, path, data)

    def get(self, path: str) -> bytes:
        return bytes(obstore.get(self.store, path).bytes())

    def create(self, path: str, data: bytes) -> bool:
        try:
            obstore.put(self.store, path, data, mode="create")
        except AlreadyExistsError:
            return self.get(path) == data
        return True

    def read_ranges(self, path: str, starts: Sequence[int]) -> int:
        obstore.head(self.store, path)
        return sum(len(obstore.get_range(self.store, path, start=start, length=RANGE_BYTES)) for start in starts)

    def list_after(self, folder: str, offset: str) -> int:
        start = {"offset": f"{folder}/{offset}"} if offset else {}
        return sum(len(page) for page in obstore.list(self.store, f"{folder}/", chunk_size=1000, **start))


def s3_obstore(server: ObjectStore, root: str, timeout_s: float = 15.0) -> OnObstore:
    """An obstore client with as many tries as the project's, and its limit on one request."""
    waits = {
        "init_backoff": timedelta(seconds=BACKOFF.first_s),
        "max_backoff": timedelta(seconds=BACKOFF.ceiling_s),
        "base": 2,
    }
    return OnObstore(
        S3Store(
            BUCKET,
            prefix=root,
            endpoint=server.settings["endpoint_url"],
            access_key_id=server.settings["key"],
            secret_access_key=server.settings["secret"],
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=timeout_s)},
            retry_config={"max_retries": BACKOFF.tries - 1, "retry_timeout": timedelta(minutes=3), "backoff": waits},
        )
    )


def measure(name: str, kind: str, calls: int, work: Callable[[], object]) -> None:
    """Print the time of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{name:34} {kind:8} {cpu / calls * 1e3:8.3f} ms CPU {wall / calls * 1e3:8.3f} ms")


def at_once(call: Callable[[int], object], number: int) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(call, range(number)))


def measure_speed(place: str, kind: str, store: Store, num_files: int, num_keys: int) -> None:
    """All figures of one store."""
    store.put("warm", b"")
    each = range(num_files)
    measure(f"{place}: put 10 KB", kind, num_files, lambda: [store.put(f"one/{n:06}", SMALL) for n in each])
    measure(
        f"{place}: put, eight at once",
        kind,
        num_files,
        lambda: at_once(lambda n: store.put(f"many/{n:06}", SMALL), num_files),
    )
    measure(f"{place}: get 10 KB", kind, num_files, lambda: [store.get(f"one/{n:06}") for n in each])
    measure(
        f"{place}: get, eight at once", kind, num_files, lambda: at_once(lambda n: store.get(f"one/{n:06}"), num_files)
    )
    measure(f"{place}: create, won", kind, num_files, lambda: [store.create(f"new/{n:06}", SMALL) for n in each])
    measure(f"{place}: create, lost", kind, num_files, lambda: [store.create(f"new/{n:06}", b"other") for n in each])
    store.put("large", bytes(LARGE_BYTES))
    starts = [n * 7919 * 4096 % (LARGE_BYTES - RANGE_BYTES) for n in each]
    measure(f"{place}: range of 128 KiB", kind, num_files, lambda: store.read_ranges("large", starts))
    at_once(lambda n: store.put(f"keys/{n:06}", b""), num_keys)
    measure(f"{place}: list {num_keys} keys", kind, 1, lambda: store.list_after("keys", ""))
    last = f"{num_keys - 10:06}"
    measure(f"{place}: list from key {last}", kind, 1, lambda: store.list_after("keys", last))
    assert store.list_after("keys", last) == 9
    assert store.list_after("keys", "") == num_keys


def measure_faults(kind: str, store: Store, proxy: HttpProxy, num_calls: int, faults: dict[str, Fault]) -> None:
    """Calls that came to their right end, under each fault."""
    for name, fault in faults.items():
        folder = uuid.uuid4().hex
        calls = num_calls if name != "no answer" else num_calls // 10
        proxy.fault = fault
        proxy.num_requests = 0
        started = time.perf_counter()
        right = errors = 0
        told = ""
        for number in range(calls):
            data = f"{kind} {number}".encode()
            try:
                right += store.create(f"{folder}/{number}", data) and store.get(f"{folder}/{number}") == data
            except Exception as error:  # noqa: BLE001 - of either client; they are counted
                errors += 1
                told = str(error).strip().partition("\n")[0]
        seconds = time.perf_counter() - started
        proxy.fault = None
        counts = f"{right:4} of {calls} right, {errors} errors, {proxy.num_requests} requests"
        print(f"{name:16} {kind:8} {counts}, {seconds:.1f} s {told[:120]}")


@contextmanager
def bucket() -> Iterator[ObjectStore]:
    """A server with an empty bucket."""
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        conf["s3"] = dict(server.settings)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "faults"])
    parser.add_argument("--kinds", nargs="+", choices=["fsspec", "obstore"], default=["fsspec", "obstore"])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=200)
    args = parser.parse_args()
    logging.getLogger("stages").setLevel(logging.ERROR)
    with bucket() as server, tempfile.TemporaryDirectory() as folder:
        if args.what == "speed":
            for name in ("fsspec", "obstore"):
                (Path(folder) / name).mkdir()
            stores: list[tuple[str, str, Store]] = [
                ("S3", "fsspec", OnFsspec(f"s3://{BUCKET}/fsspec")),
                ("S3", "obstore", s3_obstore(server, "obstore")),
                ("folder", "fsspec", OnFsspec(f"{folder}/fsspec")),
                ("folder", "obstore", OnObstore(LocalStore(f"{folder}/obstore"))),
            ]
            for place, kind, store in stores:
                if kind in args.kinds:
                    measure_speed(place, kind, store, args.files, args.keys)
            return
        with HttpProxy(server.url) as proxy, retry.using(BACKOFF):
            server.settings["endpoint_url"] = proxy.url
            conf["s3"] = {**server.settings, "config_kwargs": {"read_timeout": WAIT_S, "connect_timeout": WAIT_S}}
            faults = {
                "503 SlowDown": overloaded(5),
                "reset": resetting(5),
                "answer lost": losing_answers(5),
                "no answer": hanging(5, 3 * WAIT_S),
            }
            for kind, store in (("fsspec", OnFsspec(f"s3://{BUCKET}/f")), ("obstore", s3_obstore(server, "o", WAIT_S))):
                measure_faults(kind, store, proxy, args.calls, faults)


if __name__ == "__main__":
    main()
