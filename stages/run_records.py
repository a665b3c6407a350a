"""Records of runs: which of two started later, which are alive, and what each works on.

    {root}/runs/{n}.json   the n-th run on the root: who it is, when it last gave a sign of life, what it does

Numbers are taken by exclusive creation, so they order the starts of runs whatever the clocks of their machines say. A
run writes its record anew every few seconds, with its progress. Its end stands in it; a run whose process was killed is
told by its process, or on another machine by a record that was not written for long.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from stages.errors import StorageError
from stages.storage import FileInfo, Storage, file_numbers, map_concurrently, process_start, this_machine

RUNS_FOLDER = "runs"
VACUUM_LEASE = "leases/vacuum"
"""Held while files are removed. A run says first what it works on, and then waits until nobody holds it: so either the
run waits, or the files that it may name stay."""
BEAT_S = 5.0
DEAD_S = 60.0
"""A run on another machine whose record was not written for so long counts as dead."""
MAX_NAMED_PARTITIONS = 256
"""A run of more partitions counts as one of all."""
_RECORDS_KEPT = 64


@dataclass(frozen=True)
class RunEntry:
    """Content of a record.

    Attributes:
        number: runs of a root count from 1, in the order of their starts.
        run_id: as in the lineage of the tables that the run made.
        started: time in UTC, ISO 8601, by the clock of the run's machine.
        machine: names it, or the container.
        pid: of the driver there.
        process: when that process started; tells it from a later one of its pid.
        beats: how often the record was written.
        has_ended: the run has said that it ended.
        partitions: those that it has worked on; None for all, or too many to name.
        progress: of the phase in work, as `stages.run` describes it; empty between phases.
    """

    number: int
    run_id: str
    started: str
    machine: str
    pid: int
    process: str
    beats: int = 0
    has_ended: bool = False
    partitions: list[str] | None = field(default_factory=lambda: [])
    progress: dict[str, Any] = field(default_factory=lambda: {})

    def may_name(self, partition: str) -> bool:
        """Whether the run may be working on a partition."""
        return self.partitions is None or partition in self.partitions


@dataclass(frozen=True)
class SeenRun:
    """A run as last heard of.

    Attributes:
        entry: its record.
        silent_s: seconds since the record was written, by the clock of the store where it tells.
        is_alive: False where it has ended, or its process is gone, or it was silent for `DEAD_S` on another machine.
    """

    entry: RunEntry
    silent_s: float
    is_alive: bool


class RunRecord:
    """The record of the run that this process is. Made by `begin`; written by a thread of its own until `end`.

    Attributes:
        number: of the run.
    """

    def __init__(self, storage: Storage, entry: RunEntry) -> None:
        self.number = entry.number
        self._storage = storage
        self._entry = entry
        self._progress: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._stops = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run record", daemon=True)
        self._thread.start()

    @classmethod
    def begin(cls, storage: Storage, run_id: str) -> "RunRecord":
        """Take the next number.

        Raises:
            StorageError: the root does not answer.
        """
        pid = os.getpid()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        entry = RunEntry(0, run_id, started, this_machine(), pid, process_start(pid))
        while True:
            known = storage.list(RUNS_FOLDER)
            entry = replace(entry, number=max(file_numbers(known), default=0) + 1)
            if storage.create_bytes(_path(entry.number), _serialize(entry)):
                _remove_old(storage, known, entry.number)
                return cls(storage, entry)

    def work_on(self, partitions: Collection[str]) -> None:
        """Say which partitions are worked on from now on, beside those before; written at once.

        Raises:
            StorageError: the root does not answer.
        """
        with self._lock:
            known = self._entry.partitions
            names = None if known is None else sorted({*known, *partitions})
            if names == known:
                return
            too_many = names is not None and len(names) > MAX_NAMED_PARTITIONS
            self._write(replace(self._entry, partitions=None if too_many else names))

    def show(self, progress: Mapping[str, Any]) -> None:
        """Let the next beats tell this progress."""
        self._progress = dict(progress)

    def end(self) -> None:
        """Say that the run has ended; where the root does not answer, it counts as dead once its process is gone."""
        self._progress = {}
        self._stops.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stops.wait(BEAT_S):
            self._write_or_be_silent(has_ended=False)
        self._write_or_be_silent(has_ended=True)

    def _write_or_be_silent(self, *, has_ended: bool) -> None:
        """Write the record; where the root does not answer, the run itself says so, and is not heard of here."""
        with self._lock, contextlib.suppress(StorageError, OSError):
            self._write(replace(self._entry, has_ended=has_ended))

    def _write(self, entry: RunEntry) -> None:
        self._entry = replace(entry, beats=entry.beats + 1, progress=self._progress)
        self._storage.write_bytes(_path(entry.number), _serialize(self._entry))


def read_runs(storage: Storage) -> list[SeenRun]:
    """The runs that a root has records of, the one that started last first.

    Raises:
        StorageError: the root does not answer.
    """
    infos = {number: info for info in storage.list(RUNS_FOLDER) for number in file_numbers([info])}
    entries = map_concurrently(partial(read_run, storage), list(infos))
    seen = [_seen(entry, infos[entry.number]) for entry in entries if entry is not None]
    return sorted(seen, key=lambda run: -run.entry.number)


def read_run(storage: Storage, number: int) -> RunEntry | None:
    """The record of a run; None where there is none, or it is damaged."""
    try:
        return RunEntry(**json.loads(storage.read_bytes(_path(number))))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _seen(entry: RunEntry, info: FileInfo) -> SeenRun:
    written_at = info.modified_s if info.modified_s is not None else datetime.fromisoformat(entry.started).timestamp()
    silent_s = max(0.0, time.time() - written_at)
    if entry.process and entry.machine == this_machine():
        return SeenRun(entry, silent_s, not entry.has_ended and process_start(entry.pid) == entry.process)
    return SeenRun(entry, silent_s, not entry.has_ended and silent_s < DEAD_S)


def _remove_old(storage: Storage, known: Collection[FileInfo], number: int) -> None:
    """Remove records of runs from long before, unless one is alive: later ones may be compared with it."""
    old = sorted(each for each in file_numbers(known) if each <= number - _RECORDS_KEPT)
    infos = {each: info for info in known for each in file_numbers([info])}
    for each in old:
        entry = read_run(storage, each)
        if entry is not None and _seen(entry, infos[each]).is_alive:
            return
        storage.delete(_path(each))


def _path(number: int) -> str:
    return f"{RUNS_FOLDER}/{number}.json"


def _serialize(entry: RunEntry) -> bytes:
    return json.dumps(asdict(entry), ensure_ascii=False).encode()
