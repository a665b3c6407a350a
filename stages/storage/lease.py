"""Exclusive use of a part of the root by one process at a time, on a folder or a bucket.

    {folder}/{n}.json   who took the lease for the n-th time, a counter that the holder raises, and whether it is free

The newest file counts, and is never removed. Whoever wants the lease creates the next one, exclusively, once the newest
says that it is free, or once its holder is gone: its process ended on this machine, or its counter has stood still for
`LEASE_S`. So a lease of a killed process is taken over. A holder that was stopped for long is told by `Lease.check`.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from stages import retry
from stages.errors import StorageError
from stages.storage.locations import file_numbers
from stages.storage.store import Storage

LEASE_S = 60.0
"""A lease whose counter stands still for so long is free to take."""
_RENEW_S = 5.0
_POLL_S = 0.25
_ENTRIES_KEPT = 64
"""Older files are removed. A process that listed the folder so many takings ago must not find its next number free."""


@dataclass(frozen=True)
class _Entry:
    """Content of a file of the lease.

    Attributes:
        token: unique to each taking.
        machine: names the holder's machine, or its container.
        pid: of the holder's process there.
        started: when that process started, in clock ticks since the machine did; tells it from a later one of its pid.
        counter: raised while the lease is held.
        is_free: the holder gave it back.
    """

    token: str
    machine: str
    pid: int
    started: str
    counter: int = 0
    is_free: bool = False

    def serialize(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def has_ended(self) -> bool:
        """True where the holder's process is known to be gone."""
        return self.machine == this_machine() and process_start(self.pid) != self.started


def this_machine() -> str:
    """Name of this machine and of the namespace in which its process ids count; containers have their own."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        namespace = ""
    return f"{socket.gethostname()} {namespace}"


def process_start(pid: int) -> str:
    """When a process of this machine started, in clock ticks; empty where there is none, or no /proc to ask."""
    try:
        with open(f"/proc/{pid}/stat") as handle:
            return handle.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


class Lease:
    """A lease that is held. Made by `exclusive`."""

    def __init__(self, storage: Storage, folder: str, number: int, entry: _Entry) -> None:
        self._storage = storage
        self._folder = folder
        self._number = number
        self._entry = entry
        self._renewed_at = time.monotonic()
        self._stops = threading.Event()
        self._renewal = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._renewal.start()

    def check(self) -> None:
        """To be called before each change that only the holder may make.

        Raises:
            StorageError: the lease was not renewed for so long that another process may have taken it.
        """
        if time.monotonic() - self._renewed_at > LEASE_S / 2:
            raise StorageError(
                self._storage.root,
                f"The lease {self._folder} must be renewed every {_RENEW_S:g} s, and was not for {LEASE_S / 2:g} s: "
                "this process was stopped, or the store did not answer. The next run goes on.",
            )

    def _renew(self) -> None:
        while not self._stops.wait(_RENEW_S):
            try:
                self._write(replace(self._entry, counter=self._entry.counter + 1))
            except (StorageError, OSError):  # `check` tells the holder once it has lasted too long
                continue
            self._renewed_at = time.monotonic()

    def _write(self, entry: _Entry) -> None:
        self._storage.write_bytes(f"{self._folder}/{self._number}.json", entry.serialize())
        self._entry = entry

    def release(self) -> None:
        """Give the lease back."""
        self._stops.set()
        self._renewal.join()
        self._write(replace(self._entry, is_free=True))


@contextmanager
def exclusive(storage: Storage, folder: str) -> Iterator[Lease]:
    """Hold the lease of a folder during the block; waits for as long as another process holds it.

    Raises:
        StorageError: the root does not answer.
    """
    lease = _acquire(storage, folder)
    try:
        yield lease
    finally:
        lease.release()


def _acquire(storage: Storage, folder: str) -> Lease:
    mine = _Entry(uuid.uuid4().hex, this_machine(), os.getpid(), process_start(os.getpid()))
    seen: tuple[int, bytes] | None = None
    seen_at = time.monotonic()
    while True:
        numbers = file_numbers(storage.list(folder))
        newest = max(numbers, default=0)
        data = _read(storage, f"{folder}/{newest}.json") if newest else None
        if data is not None and (newest, data) != seen:
            seen, seen_at = (newest, data), time.monotonic()
        has_stood_still = time.monotonic() - seen_at > LEASE_S
        if not newest or (data is not None and (has_stood_still or _is_free(data))):
            if not storage.create_bytes(f"{folder}/{newest + 1}.json", mine.serialize()):
                continue
            others = set(file_numbers(storage.list(folder))) - {newest + 1}
            if max(others, default=0) > newest:  # since the listing, others took it so often that this file was removed
                continue
            for number in others:
                if number <= newest - _ENTRIES_KEPT:
                    storage.delete(f"{folder}/{number}.json")
            return Lease(storage, folder, newest + 1, mine)
        retry.sleep_with_heartbeats(_POLL_S)


def wait_until_free(storage: Storage, folder: str) -> None:
    """Return once no process holds the lease of a folder; one that takes it afterwards is not waited for.

    Raises:
        StorageError: the root does not answer.
    """
    seen: tuple[int, bytes] | None = None
    seen_at = time.monotonic()
    while newest := max(file_numbers(storage.list(folder)), default=0):
        data = _read(storage, f"{folder}/{newest}.json")
        if data is not None and (newest, data) != seen:
            seen, seen_at = (newest, data), time.monotonic()
        if data is not None and (_is_free(data) or time.monotonic() - seen_at > LEASE_S):
            return
        retry.sleep_with_heartbeats(_POLL_S)


def _read(storage: Storage, path: str) -> bytes | None:
    """Content of a file; None where a later holder has removed it meanwhile."""
    try:
        return storage.read_bytes(path)
    except FileNotFoundError:
        return None


def _is_free(data: bytes) -> bool:
    try:
        entry = _Entry(**json.loads(data))
    except (ValueError, TypeError):  # damaged: its holder writes it anew within seconds, or is gone
        return False
    return entry.is_free or entry.has_ended
