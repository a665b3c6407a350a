"""Partitions: batches of source videos, as Dagster knows them and as they lie under the root."""

from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from stages.manifest import committed_partitions
from stages.sources import registered_partitions
from stages.storage import Storage

_KEYS_AT_ONCE = 5_000
"""One statement names all new keys, and some builds of SQLite take 32,766 variables at most."""


def sync_partitions(instance: dg.DagsterInstance, storage: Storage, name: str = "sources") -> list[str]:
    """Every partition registered under the root is known to the instance; returns the ones that were not.

    New keys are added in the order of registration, so that a range in the instance is a stretch of that order.
    """
    known = set(known_partitions(instance, name))
    missing = [key for key in registered_partitions(storage) if key not in known]
    add_partitions(instance, name, missing)
    return missing


def add_partitions(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    """Make these keys known to the instance, in this order."""
    for portion in portions(keys):
        instance.add_dynamic_partitions(name, list(portion))


def portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """New keys, so many at once as every database takes."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[start : start + _KEYS_AT_ONCE]


def known_partitions(instance: dg.DagsterInstance, name: str = "sources") -> Sequence[str]:
    """Keys in the order in which the instance counts a range."""
    return instance.get_dynamic_partitions(name)


def stretches(known: Sequence[str], wanted: Iterable[str]) -> list[list[str]]:
    """The wanted keys in the order of the known ones, cut wherever a key in between is not wanted.

    Raises:
        ValueError: a wanted key is not known.
    """
    place = {key: index for index, key in enumerate(known)}
    chosen = set(wanted)
    unknown = sorted(chosen - set(place))
    if unknown:
        raise ValueError(f"Partitions must be known to the Dagster instance, got {unknown}. Register them first.")
    found: list[list[str]] = []
    for key in sorted(chosen, key=place.__getitem__):
        if found and place[found[-1][-1]] == place[key] - 1:
            found[-1].append(key)
        else:
            found.append([key])
    return found


def complete_partitions(storage: Storage, assets: Iterable[str]) -> list[str]:
    """Partitions that have a commit of every one of these assets, in the order of registration."""
    complete = set.intersection(*(set(committed_partitions(storage, asset)) for asset in assets))
    order = registered_partitions(storage)
    return [key for key in order if key in complete]


def partition_tags(keys: Sequence[str]) -> dict[str, str]:
    """What tells a run that it is about this stretch of partitions; nothing for none."""
    if len(keys) == 1:
        return {"dagster/partition": keys[0]}
    edges = {"start": keys[0], "end": keys[-1]} if keys else {}
    return {f"dagster/asset_partition_range_{edge}": key for edge, key in edges.items()}
