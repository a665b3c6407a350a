"""Partition keys: those registered under the root, those added to the Dagster instance, and ranges of them."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from stages.sources import registered_partitions
from stages.storage import Storage

_MAX_KEYS_PER_CALL = 5_000
"""Dagster adds keys in one SQL statement, and some builds of SQLite take 32,766 variables at most."""


def sync_partitions(instance: dg.DagsterInstance, storage: Storage, name: str = "sources") -> list[str]:
    """Add every partition registered under the root to the instance; returns the new keys.

    Keys are added in the order of registration, so that a range in the instance is a range in that order.
    """
    known = set(dynamic_partition_keys(instance, name))
    missing = [key for key in registered_partitions(storage) if key not in known]
    add_partitions(instance, name, missing)
    return missing


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Add dynamic partitions to the instance, in this order."""
    for chunk in key_chunks(keys):
        instance.add_dynamic_partitions(name, list(chunk))


def key_chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in chunks that every database takes in one statement."""
    for start in range(0, len(keys), _MAX_KEYS_PER_CALL):
        yield keys[start : start + _MAX_KEYS_PER_CALL]


def dynamic_partition_keys(instance: dg.DagsterInstance, name: str = "sources") -> Sequence[str]:
    """Keys in the order of the instance, in which ranges count."""
    return instance.get_dynamic_partitions(name)


def partition_ranges(known: Sequence[str], wanted: Iterable[str]) -> list[list[str]]:
    """The wanted keys as contiguous ranges of the known ones.

    Raises:
        ValueError: a wanted key is not known.
    """
    position = {key: index for index, key in enumerate(known)}
    chosen = set(wanted)
    unknown = sorted(chosen - set(position))
    if unknown:
        raise ValueError(f"Partitions must be known to the Dagster instance, got {unknown}. Register them first.")
    found: list[list[str]] = []
    for key in sorted(chosen, key=position.__getitem__):
        if found and position[found[-1][-1]] == position[key] - 1:
            found[-1].append(key)
        else:
            found.append([key])
    return found


def partition_tags(keys: Sequence[str]) -> dict[str, str]:
    """Run tags that select this contiguous range of partitions; none for no keys."""
    if len(keys) == 1:
        return {"dagster/partition": keys[0]}
    edges = {"start": keys[0], "end": keys[-1]} if keys else {}
    return {f"dagster/asset_partition_range_{edge}": key for edge, key in edges.items()}
