"""One look at a bucket: what is new becomes partitions, and partitions that no run was asked for get one.

What is true stands under the root: the register of partitions. A look may be repeated, cut off anywhere, or begin with
a lost cursor: known videos stay in their partition, keys that the instance lacks are added again, and a request that
was made has the same run key.
"""

import threading
import time
from dataclasses import dataclass

import dagster as dg

from curator_dagster.curation import Curation
from curator_dagster.resources import Storage
from curator_dagster.watch.cursor import Cursor
from curator_dagster.watch.in_progress import busy
from curator_dagster.watch.new_sources import list_new, register_new
from curator_dagster.watch.run_requests import run_requests
from curator_dagster.watch.source import SourceBucket
from curator_dagster.watch.windows import Windows
from stages.sources import Register


@dataclass(frozen=True)
class Look:
    """What one look at the bucket found.

    Attributes:
        new_partitions: keys that the instance lacks, in the order of registration.
        requests: runs to ask for.
        cursor: where the next look begins.
        is_over: everything was listed, and registered where it has stopped changing.
        taken_up: what was listed and registered, for a person.
        asked: which runs that calls for, for a person.
    """

    new_partitions: list[str]
    requests: list[dg.RunRequest]
    cursor: Cursor
    is_over: bool
    taken_up: str
    asked: str


def look(
    curation: Curation, storage: Storage, source: SourceBucket, instance: dg.DagsterInstance, cursor: Cursor
) -> Look:
    """List what is there, register what is new and has stopped changing, and say which runs that calls for.

    Raises:
        ParamsError: there is no such place.
        StorageError: a store does not answer.
    """
    with _ONE_AT_A_TIME:
        return _look(curation, storage, source, instance, cursor)


def _look(
    curation: Curation, storage: Storage, source: SourceBucket, instance: dg.DagsterInstance, cursor: Cursor
) -> Look:
    ends_at = time.monotonic() + source.tick_s
    is_by_time = isinstance(curation.partitioning, Windows)
    register = _register_of(storage)
    found = list_new(curation, source, register, cursor)
    left = register_new(curation, register, found.ready, ends_at)
    known = curation.partitions_def.get_partition_keys(dynamic_partitions_store=instance)
    there = set(known)
    missing = [] if is_by_time else [key for key in register.member_files if key not in there]
    # A root that is another one, or was made anew, has had no runs.
    is_of_this = cursor.registration and cursor.registration == _registration(register, cursor.requested)
    after = cursor.requested if is_of_this else 0
    entries = register.entries_after(after)
    keys = [*known, *missing]
    at_work = busy(curation, instance, keys)
    requests, requested = run_requests(curation, source, entries, keys, at_work)
    position = cursor.position if left else found.position
    taken_up = f"{found.summary} {len(found.ready) - len(left)} registered."
    asked = f"{len(requests)} runs asked for."
    if entries and not requested:
        asked += " The next wait for a run that works on the same partitions."
    requested = requested or after
    ended = Cursor(position, found.seen, requested, _registration(register, requested))
    return Look(missing, requests, ended, not left and not position, taken_up, asked)


def _registration(register: Register, number: int) -> str:
    """How the entry with this number is marked; empty where there is none."""
    return next((each.registration for each in register.entries_after(number - 1)[:1] if each.number == number), "")


_REGISTERS: dict[str, Register] = {}
"""By root: a register is read whole once a process, and followed from there."""

_ONE_AT_A_TIME = threading.Lock()
"""A sensor and a schedule may look at the same moment, in two threads."""


def _register_of(storage: Storage) -> Register:
    files = storage.open()
    register = _REGISTERS.get(files.root)
    if register is None:
        register = _REGISTERS[files.root] = Register(files)
    else:
        register.refresh()
    return register
