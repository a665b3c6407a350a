"""Source videos: listed, told apart from those that are known, and grouped into partitions.

The door to listing, settling, grouping and the register. Members are written before their entry of the log, so that a
registration that dies half-way is finished by the next.
"""

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources.grouping import WINDOW_KEYS, group_sources, window_of
from stages.sources.listing import Page, Source, list_pages, list_sources
from stages.sources.members import create_members_file, members_path
from stages.sources.register import Entry, Register
from stages.sources.register_log import list_log, read_entries
from stages.sources.settling import Settling, settle
from stages.sources.snapshot import newest_snapshot
from stages.storage import READERS, Storage, digest, read_at_once

__all__ = [
    "WINDOW_KEYS",
    "Entry",
    "Page",
    "Register",
    "Settling",
    "Source",
    "group_sources",
    "list_pages",
    "list_sources",
    "read_members",
    "register_batches",
    "register_sources",
    "register_windows",
    "registered_partitions",
    "settle",
    "window_of",
]

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_+-]{0,99}")


def registered_partitions(storage: Storage) -> list[str]:
    """Partition keys in the order of their registration."""
    listing = list_log(storage)
    snapshot = newest_snapshot(storage, listing, ["partition"])
    entries = read_entries(storage, range(snapshot.number + 1, max(listing.tags, default=0) + 1))
    recent = [entry["partition"] for entry in entries.values() if "partition" in entry]
    known = [key for key in snapshot.rows["partition"].unique().to_pylist() if key is not None]
    # A partition that stands twice in the log has the place of its first entry.
    return list(dict.fromkeys([*known, *recent]))


def read_members(storage: Storage, partition: str) -> pa.Table:
    """`Register.read_members` of a register that is read for it."""
    return Register(storage).read_members(partition)


def register_sources(storage: Storage, sources: Sequence[Source], params: ReadParams) -> list[str]:
    """Give every source a partition and return those that hold a listed one, in the order of registration."""
    register = Register(storage)
    register_batches(register, sources, params)
    holding = {register.holder[source.video_id] for source in sources}
    return [partition for partition in register.members if partition in holding]


def register_batches(
    register: Register, sources: Sequence[Source], params: ReadParams, *, until: float = math.inf
) -> list[Source]:
    """Give every source a partition; returns those that are left for a later call.

    Known versions of sources keep their partition; new ones form new partitions, see `group_sources`. A known version
    that another one followed is the newest again.

    Args:
        register: up to date, or nearly: what others registered meanwhile is followed.
        sources: that were listed.
        params: how they are grouped.
        until: the `time.monotonic` after which no further partitions are begun; some are made by every call.

    Raises:
        ManifestError: a file of the register is missing or damaged.
        StorageError: the store does not answer; what is registered stays.
    """

    def groups(new: Sequence[Source]) -> list[_Group]:
        return [
            _Group(digest(*(source.video_id for source in members), length=12), None, members)
            for members in group_sources(new, params)
        ]

    return _register(register, sources, groups, until)


def register_windows(
    register: Register, windows: Mapping[str, Sequence[Source]], *, until: float = math.inf
) -> list[Source]:
    """Give every source the partition that is named; returns those that are left for a later call.

    Members that are registered never change: later ones of a partition are an addition to it. A known version of a
    source keeps its partition.

    Args:
        register: as in `register_batches`.
        windows: sources by the partition's key: a day, an hour; of one without sources a partition without members.
        until: as in `register_batches`.

    Raises:
        ParamsError: a key holds more than letters, digits, "-", "_", "+" and ":".
        ManifestError: a file of the register is missing or damaged.
        StorageError: the store does not answer; what is registered stays.
    """
    wrong = [key for key in windows if not _SAFE_KEY.fullmatch(key)]
    if wrong:
        raise ParamsError(
            f"Keys of partitions must be letters, digits, '-', '_', '+' and ':', got {wrong[:3]}. Write times as in "
            f"{WINDOW_KEYS['daily']}."
        )
    sources = {source.video_id: source for members in windows.values() for source in members}
    keys = {source.video_id: key for key, members in windows.items() for source in members}

    def groups(new: Sequence[Source]) -> list[_Group]:
        by_key: dict[str, list[Source]] = {}
        for source in new:
            by_key.setdefault(keys[source.video_id], []).append(source)
        by_key.update((key, []) for key in windows if key not in by_key and key not in register.members)
        return [_window_group(register, key, by_key[key]) for key in sorted(by_key)]

    return _register(register, list(sources.values()), groups, until)


@dataclass(frozen=True)
class _Group:
    """New members of a partition.

    Attributes:
        partition: its key.
        added: digest of the members, where the partition has some already.
        members: sources that no partition holds.
    """

    partition: str
    added: str | None
    members: list[Source]


def _window_group(register: Register, key: str, members: list[Source]) -> _Group:
    known = key in register.members
    return _Group(key, digest(*(source.video_id for source in members), length=12) if known else None, members)


def _register(
    register: Register, sources: Sequence[Source], groups: Callable[[Sequence[Source]], list[_Group]], until: float
) -> list[Source]:
    listed = register.unregistered(sources)
    # Of this call alone, so that a root which is made anew from the same sources is known from the one before.
    token = secrets.token_hex(6)
    _relist(register, listed, token)
    while work := groups(new := [source for source in listed if source.video_id not in register.holder]):
        if not _append(register, work, token, until):
            new = [source for source in new if source.video_id not in register.holder]
            break
    register.save_snapshot()
    return new


def _relist(register: Register, sources: Sequence[Source], token: str) -> None:
    """Known versions among the sources, which others followed, are the newest again."""
    known = [source for source in sources if source.video_id in register.holder]
    while again := register.unregistered(known):
        if register.append({"relisted": [source.video_id for source in again], "registration": token}):
            break


def _append(register: Register, work: list[_Group], token: str, until: float) -> bool:
    """Groups are in the log, up to one that another process undid, or until the time is over; False for the latter."""
    for start in range(0, len(work), READERS):
        batch = work[start : start + READERS]
        written = read_at_once(partial(_write_members, register.storage), batch)
        for group, members in zip(batch, written, strict=True):
            # Each number that is lost may have been taken for these very members.
            while not _is_undone(register, group):
                if register.append(_entry(group, members, token), members):
                    break
            else:
                return True
        if time.monotonic() >= until:
            return False
    return True


def _is_undone(register: Register, group: _Group) -> bool:
    """True where another process registered some of the members, or gave the partition its first ones."""
    first_ones_gone = group.added is None and group.partition in register.members
    return first_ones_gone or any(source.video_id in register.holder for source in group.members)


def _write_members(storage: Storage, group: _Group) -> pa.Table:
    """The members of the partition are there, but in no entry of the log; returns those that the file holds."""
    return create_members_file(storage, members_path(group.partition, group.added), group.members)


def _entry(group: _Group, members: pa.Table, token: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"partition": group.partition, "videos": len(members), "registration": token}
    return {**entry, "added": group.added} if group.added else entry
