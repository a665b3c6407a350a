"""Registration of source videos: new ones are grouped into partitions and appended to the register.

Members are written before their entry of the log, so that a registration that dies in between is finished by the next.
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
from stages.sources.batch_keys import batch_keys
from stages.sources.grouping import TIME_WINDOW_KEY_FORMATS, group_sources
from stages.sources.members import create_members_file, members_path
from stages.sources.register import Register
from stages.sources.register_log import LOG_FOLDER, entry_path, list_log, read_entries
from stages.sources.snapshot import read_newest_snapshot
from stages.sources.source_listing import Source
from stages.storage import MAX_CONCURRENT, Storage, digest, map_concurrently

_SAFE_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_+-]{0,99}")


def registered_partitions(storage: Storage) -> list[str]:
    """Partition keys in the order of their registration."""
    listing = list_log(storage)
    snapshot = read_newest_snapshot(storage, listing, ["partition"])
    entries = read_entries(storage, range(snapshot.number + 1, max(listing.etags, default=0) + 1))
    recent = [entry["partition"] for entry in entries.values() if "partition" in entry]
    known = [key for key in snapshot.rows["partition"].unique().to_pylist() if key is not None]
    # A partition in two entries has the position of the first.
    return list(dict.fromkeys([*known, *recent]))


def copy_register(source: Storage, target: Storage) -> None:
    """Copy the register, with the members of all partitions, to a root that has none. Others may be registering.

    Members are written before their entry and stay, so those that are listed after the entries are all of them.
    Snapshots, which come and go, are left out: one names the log by content tags, which are others in a copy.
    """
    entries = [entry_path(number) for number in list_log(source).etags]
    members = [info.path for info in source.list("partitions") if not info.path.startswith(f"{LOG_FOLDER}/")]
    map_concurrently(lambda path: target.write_bytes(path, source.read_bytes(path)), [*entries, *members])


def read_members(storage: Storage, partition: str) -> pa.Table:
    """Load the register and call its `read_members`."""
    return Register(storage).read_members(partition)


def register_sources(storage: Storage, sources: Sequence[Source], params: ReadParams) -> list[str]:
    """Register the sources; return the partitions that hold one of them, in the order of registration.

    Forgotten sources are passed over.
    """
    register = Register(storage)
    register_batches(register, sources, params)
    holding = {
        register.partition_by_video_id[source.video_id] for source in sources if not register.is_forgotten(source.uri)
    }
    return [partition for partition in register.member_files if partition in holding]


def register_batches(
    register: Register, sources: Sequence[Source], params: ReadParams, *, deadline: float = math.inf
) -> list[Source]:
    """Register the sources; return those that are left for a later call.

    Known versions of sources keep their partition; new ones form new partitions, see `group_sources`. A known version
    that was followed by another becomes the newest again.

    Args:
        register: need not be up to date: entries that other processes appended meanwhile are read.
        sources: as listed.
        params: define the groups.
        deadline: the `time.monotonic` after which no further partitions are begun; every call makes some.

    Raises:
        ManifestError: a file of the register is missing or damaged.
        StorageError: the store does not answer; what is registered stays.
    """

    def group(new: Sequence[Source]) -> list[_NewMembers]:
        return [_NewMembers(batch_keys(members, params), None, members) for members in group_sources(new, params)]

    return _register(register, sources, group, deadline)


def register_time_windows(
    register: Register, windows: Mapping[str, Sequence[Source]], *, deadline: float = math.inf
) -> list[Source]:
    """Register the sources in the partitions of their time windows; return those that are left for a later call.

    Registered members never change: later ones are added to the partition. A known version of a source keeps its
    partition.

    Args:
        register: as in `register_batches`.
        windows: sources by the key of the day or hour; a key without sources becomes a partition without members.
        deadline: as in `register_batches`.

    Raises:
        ParamsError: a key holds more than letters, digits, "-", "_", "+" and ":".
        ManifestError: a file of the register is missing or damaged.
        StorageError: the store does not answer; what is registered stays.
    """
    invalid = [key for key in windows if not _SAFE_KEY.fullmatch(key)]
    if invalid:
        raise ParamsError(
            f"Keys of partitions must be letters, digits, '-', '_', '+' and ':', got {invalid[:3]}. Write times as in "
            f"{TIME_WINDOW_KEY_FORMATS['daily']}."
        )
    sources = {source.video_id: source for members in windows.values() for source in members}
    keys = {source.video_id: key for key, members in windows.items() for source in members}

    def group(new: Sequence[Source]) -> list[_NewMembers]:
        by_key: dict[str, list[Source]] = {}
        for source in new:
            by_key.setdefault(keys[source.video_id], []).append(source)
        by_key.update((key, []) for key in windows if key not in by_key and key not in register.member_files)
        return [_time_window_members(register, key, by_key[key]) for key in sorted(by_key)]

    return _register(register, list(sources.values()), group, deadline)


@dataclass(frozen=True)
class _NewMembers:
    """New members of a partition.

    Attributes:
        keys: its key; of a batch, longer ones too, in case that another partition has the shorter ones.
        added: digest of the members where the partition is registered already, else None.
        members: sources that no partition holds.
    """

    keys: tuple[str, ...]
    added: str | None
    members: list[Source]


def _time_window_members(register: Register, key: str, members: list[Source]) -> _NewMembers:
    known = key in register.member_files
    return _NewMembers((key,), digest(*(source.video_id for source in members), length=12) if known else None, members)


def _register(
    register: Register,
    sources: Sequence[Source],
    group: Callable[[Sequence[Source]], list[_NewMembers]],
    deadline: float,
) -> list[Source]:
    listed = register.unregistered(sources)
    # Unique to this call, so that a root recreated from the same sources can be told from the one before.
    registration = secrets.token_hex(6)
    _relist(register, listed, registration)
    while groups := group(new := _not_registered(register, listed)):
        if not _register_groups(register, groups, registration, deadline):
            new = _not_registered(register, new)
            break
    register.save_snapshot()
    return new


def _not_registered(register: Register, sources: Sequence[Source]) -> list[Source]:
    """Sources that no partition holds, without those that another process made the root forget meanwhile."""
    return [
        source
        for source in sources
        if source.video_id not in register.partition_by_video_id and not register.is_forgotten(source.uri)
    ]


def _relist(register: Register, sources: Sequence[Source], registration: str) -> None:
    """Make the known versions among the sources that were followed by others the newest again."""
    known = [source for source in sources if source.video_id in register.partition_by_video_id]
    while again := register.unregistered(known):
        if register.append({"relisted": [source.video_id for source in again], "registration": registration}):
            break


def _register_groups(register: Register, groups: list[_NewMembers], registration: str, deadline: float) -> bool:
    """Append the groups to the log, up to one that is outdated; False where the deadline passes first."""
    for start in range(0, len(groups), MAX_CONCURRENT):
        batch = groups[start : start + MAX_CONCURRENT]
        written = map_concurrently(partial(_write_members, register), batch)
        for group, (key, members) in zip(batch, written, strict=True):
            # Another process that took the number may have registered these very members.
            while not _is_outdated(register, group, key):
                if register.append(_entry(group, key, members, registration), members):
                    break
            else:
                return True
        if time.monotonic() >= deadline:
            return False
    return True


def _is_outdated(register: Register, group: _NewMembers, key: str) -> bool:
    """True where another process registered the partition of a group that is no addition, or took up some members."""
    is_registered = group.added is None and key in register.member_files
    return is_registered or len(_not_registered(register, group.members)) < len(group.members)


def _write_members(register: Register, group: _NewMembers) -> tuple[str, pa.Table]:
    """Write the members file of a group, before its entry of the log; return the key and the members that it holds.

    A key is passed over where it names other members: a registered partition, or one whose registration died. So equal
    members get the same key again, whether or not they were written before.
    """
    video_ids = [source.video_id for source in group.members]
    *shorter, longest = group.keys
    for key in shorter:
        if key not in register.member_files:
            members = create_members_file(register.storage, members_path(key, group.added), group.members)
            if members["video_id"].to_pylist() == video_ids:
                return key, members
    return longest, create_members_file(register.storage, members_path(longest, group.added), group.members)


def _entry(group: _NewMembers, key: str, members: pa.Table, registration: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"partition": key, "videos": len(members), "registration": registration}
    return {**entry, "added": group.added} if group.added else entry
