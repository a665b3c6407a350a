"""Versions of the root: which version of each table belonged together when a dataset was committed.

    {root}/versions/{n}.json   number, time, and the number of the commit of each asset and partition
    {root}/tags/{name}.json    the version that a name stands for

A version is created exclusively and never changed. Numbers of commits only grow, so of two versions that two processes
make at once, the later holds the larger number of each table, whoever comes first.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from stages.errors import ManifestError, ParamsError
from stages.manifest.row_files import ALL, ManifestRef
from stages.manifest.tables import is_table, tables_of
from stages.storage import Storage, file_numbers, map_concurrently

VERSIONS_FOLDER = "versions"
TAGS_FOLDER = "tags"
_TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")

Tables = Mapping[str, Mapping[str, int]]
"""Number of the commit by asset and partition."""


@dataclass(frozen=True)
class RootVersion:
    """One version of a root.

    Attributes:
        number: versions count from 1.
        created: time in UTC, ISO 8601.
        tables: its tables.
    """

    number: int
    created: str
    tables: Tables

    def commit_of(self, asset: str, partition: str) -> int | None:
        """Number of the commit of a table; None where the version has none."""
        return self.tables.get(asset, {}).get(partition)


def version_numbers(storage: Storage) -> list[int]:
    """Numbers of the versions that exist, in ascending order."""
    return sorted(file_numbers(storage.list(VERSIONS_FOLDER)))


def load_version(storage: Storage, number: int) -> RootVersion:
    """Load one version.

    Raises:
        ManifestError: there is no such version, or it is damaged.
    """
    path = _version_path(number)
    try:
        return RootVersion(**json.loads(storage.read_bytes(path)))
    except FileNotFoundError as error:
        raise ManifestError(
            f"Version must be one of those under {storage.location(VERSIONS_FOLDER)}, got {number}."
        ) from error
    except (ValueError, TypeError) as error:
        raise ManifestError(f"Version {storage.location(path)} cannot be read: {error}.") from error


def newest_version(storage: Storage) -> RootVersion | None:
    """The newest version; None where no dataset has been committed since roots have versions."""
    numbers = version_numbers(storage)
    return load_version(storage, numbers[-1]) if numbers else None


def find_version(storage: Storage, version: int | str) -> RootVersion:
    """The version with a number or a tag.

    Raises:
        ManifestError: there is none.
    """
    if isinstance(version, int) or version.isdigit():
        return load_version(storage, int(version))
    tags = read_tags(storage)
    if version not in tags:
        raise ManifestError(f"Version must be a number or one of the tags {sorted(tags) or 'none'}, got {version!r}.")
    return load_version(storage, tags[version])


def read_tags(storage: Storage) -> dict[str, int]:
    """Numbers of versions by tag."""
    names = [info.path.rpartition("/")[2].removesuffix(".json") for info in storage.list(TAGS_FOLDER)]
    found = map_concurrently(lambda name: json.loads(storage.read_bytes(_tag_path(name))), names)
    return {name: int(entry["version"]) for name, entry in zip(names, found, strict=True)}


def tag_version(storage: Storage, name: str, number: int | None = None) -> int:
    """Let a name stand for a version, for good; returns its number.

    Args:
        storage: of the root.
        name: letters, digits, dots, dashes and underscores, a letter first.
        number: of the version; the newest where none is given.

    Raises:
        ParamsError: the name cannot be a tag, or stands for another version.
        ManifestError: there is no such version, or none at all.
    """
    if not _TAG_NAME.fullmatch(name):
        raise ParamsError(
            f"A tag must begin with a letter and have letters, digits, '.', '-' and '_', at most 100, got {name!r}."
        )
    version = newest_version(storage) if number is None else load_version(storage, number)
    if version is None:
        raise ManifestError(f"{storage.root} has no version yet. Run `curator run` up to the dataset first.")
    data = json.dumps({"version": version.number}).encode()
    if not storage.create_bytes(_tag_path(name), data) and storage.read_bytes(_tag_path(name)) != data:
        raise ParamsError(
            f"Tag {name!r} must be new, and stands for version {read_tags(storage)[name]}. Choose another name."
        )
    return version.number


def publish_version(storage: Storage, tables: Tables, withheld: Collection[tuple[str, str]] = ()) -> RootVersion:
    """Create a version with these tables in the place of those of the newest; the newest where nothing changes.

    Args:
        storage: of the root.
        tables: by asset and partition, the number of the commit; an earlier one than the newest version has is not
            taken.
        withheld: asset and partition of tables that the first version of a root does not take either.
    """
    while True:
        newest = newest_version(storage)
        merged = _merge(newest.tables if newest else _committed_tables(storage, withheld), tables)
        if newest and merged == newest.tables:
            return newest
        created = datetime.now(UTC).isoformat(timespec="seconds")
        version = RootVersion(newest.number + 1 if newest else 1, created, merged)
        data = json.dumps(asdict(version), separators=(",", ":")).encode()
        if storage.create_bytes(_version_path(version.number), data):
            return version


def newest_tables(storage: Storage, partitions: Collection[str]) -> dict[str, dict[str, int]]:
    """Number of the newest commit of each table of these partitions, and of those that have no partitions."""
    refs = [
        ManifestRef(storage.root, asset, partition) for asset in tables_of(storage) for partition in (*partitions, ALL)
    ]
    numbers = map_concurrently(lambda ref: file_numbers(storage.list(f"{ref.folder}/_commits")), refs)
    tables: dict[str, dict[str, int]] = {}
    for ref, found in zip(refs, numbers, strict=True):
        if found:
            tables.setdefault(ref.asset, {})[ref.partition] = max(found)
    return tables


def _committed_tables(storage: Storage, withheld: Collection[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Of all partitions, from one listing: of a root that was made before roots had versions."""
    tables: dict[str, dict[str, int]] = {}
    for info in storage.list("manifests"):
        parts = info.path.split("/")
        numbers = file_numbers([info])
        if (
            len(parts) == 5
            and (parts[1], parts[2]) not in withheld
            and parts[3] == "_commits"
            and numbers
            and is_table(parts[1])
        ):
            of_asset = tables.setdefault(parts[1], {})
            of_asset[parts[2]] = max(of_asset.get(parts[2], 0), *numbers)
    return tables


def _merge(old: Tables, new: Tables) -> dict[str, dict[str, int]]:
    merged = {asset: dict(of_asset) for asset, of_asset in old.items()}
    for asset, of_asset in new.items():
        for partition, number in of_asset.items():
            merged.setdefault(asset, {})[partition] = max(number, merged.get(asset, {}).get(partition, 0))
    return merged


def _version_path(number: int) -> str:
    return f"{VERSIONS_FOLDER}/{number}.json"


def _tag_path(name: str) -> str:
    return f"{TAGS_FOLDER}/{name}.json"
