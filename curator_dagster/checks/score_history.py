"""Sketches of the scores of each partition, so that partitions are compared without reading their tables again.

    {root}/checks/filtered_clips/{partition}.json    the sketches of one version of the table

A sketch is computed on first use and stored with the digest of the table; where that differs it is computed again. The
files are a cache and may be deleted.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator_dagster.checks.kolmogorov_smirnov import Sketch, sketch_of
from stages.manifest import Commit, ManifestRef, last_commit, read_commit
from stages.sources import registered_partitions
from stages.storage import Storage

ASSET = "filtered_clips"

Sketches = Mapping[str, Sketch]
"""By name of the score."""


class ScoreHistory:
    """Sketches of the partitions under a root, each read once in a run."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._cache: dict[str, tuple[str, Sketches]] = {}

    def sketches(self, partition: str, commit: Commit) -> Sketches:
        """The sketches of one version of a partition's table."""
        digest, sketches = self._cache.get(partition, ("", {}))
        if digest != commit.digest:
            sketches = self._load(partition, commit.digest)
            if sketches is None:
                sketches = self._compute_and_store(partition, commit)
            self._cache[partition] = commit.digest, sketches
        return sketches

    def sketches_before(self, partition: str, max_partitions: int) -> list[Sketches]:
        """Sketches of the last `max_partitions` partitions with a table registered before this one, the last first."""
        position = self._positions.get(partition, 0)
        found: list[Sketches] = []
        for earlier in reversed(self._registration_order[:position]):
            if len(found) == max_partitions:
                break
            sketches = self._latest(earlier)
            if sketches:
                found.append(sketches)
        return found

    @cached_property
    def _registration_order(self) -> list[str]:
        return registered_partitions(self._storage)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {partition: position for position, partition in enumerate(self._registration_order)}

    def _latest(self, partition: str) -> Sketches:
        """Sketches of another partition's newest table at the time of the first call; empty where it has none."""
        if partition not in self._cache:
            commit = last_commit(self._storage, ManifestRef(self._storage.root, ASSET, partition))
            if commit is None:
                self._cache[partition] = "", {}
            else:
                self.sketches(partition, commit)
        return self._cache[partition][1]

    def _load(self, partition: str, digest: str) -> Sketches | None:
        try:
            stored = json.loads(self._storage.read_bytes(_path(partition)))
            if stored["digest"] != digest:
                return None
            return {name: Sketch(**sketch) for name, sketch in stored["scores"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # absent or of another form: computed again
            return None

    def _compute_and_store(self, partition: str, commit: Commit) -> Sketches:
        ref = ManifestRef(self._storage.root, ASSET, partition)
        sketches = sketches_of(read_commit(self._storage, ref, commit, ["video_id", "scores"]))
        data = {"digest": commit.digest, "scores": {name: asdict(sketch) for name, sketch in sketches.items()}}
        self._storage.write_bytes(_path(partition), json.dumps(data).encode())
        return sketches


def sketches_of(table: pa.Table) -> dict[str, Sketch]:
    """Sketches of all scores of a table with columns ``video_id`` and ``scores``; missing scores are left out."""
    scored = table.filter(pc.field("scores").is_valid())
    found: dict[str, dict[str, list[float]]] = {}
    for video_id, scores in zip(scored["video_id"].to_pylist(), scored["scores"].to_pylist(), strict=True):
        for name, value in scores:
            if value is not None and np.isfinite(value):
                found.setdefault(name, {}).setdefault(video_id, []).append(value)
    return {name: sketch_of(np.concatenate(list(values.values())), len(values)) for name, values in found.items()}


def _path(partition: str) -> str:
    return f"checks/{ASSET}/{partition}.json"
