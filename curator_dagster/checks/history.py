"""Scores of partitions as sketches, so that a partition is compared with those before it without reading their tables.

    {root}/checks/filtered_clips/{partition}.json    the sketches of one version of the table

A sketch is made when it is first asked for, kept under the digest of the table, and made again where that changed. The
files may be deleted.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator_dagster.checks.ecdf import Sketch, sketch_of
from stages.manifest import Commit, ManifestRef, last_commit, read_commit_rows
from stages.sources import registered_partitions
from stages.storage import Storage

ASSET = "filtered_clips"

Sketches = Mapping[str, Sketch]
"""By the name of the score."""


class ScoreHistory:
    """Sketches of the partitions under a root, each read once in a run."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[str, tuple[str, Sketches]] = {}

    def of(self, partition: str, commit: Commit) -> Sketches:
        """The sketches of one version of a partition's table."""
        digest, sketches = self._known.get(partition, ("", {}))
        if digest != commit.digest:
            sketches = self._stored(partition, commit.digest)
            if sketches is None:
                sketches = self._made(partition, commit)
            self._known[partition] = commit.digest, sketches
        return sketches

    def before(self, partition: str, wanted: int) -> list[Sketches]:
        """Sketches of the partitions registered before this one that have a table, `wanted` at most, the last first."""
        place = self._places.get(partition, 0)
        found: list[Sketches] = []
        for earlier in reversed(self._order[:place]):
            if len(found) == wanted:
                break
            sketches = self._newest(earlier)
            if sketches:
                found.append(sketches)
        return found

    @cached_property
    def _order(self) -> list[str]:
        return registered_partitions(self._storage)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {partition: place for place, partition in enumerate(self._order)}

    def _newest(self, partition: str) -> Sketches:
        """Of another partition, as it was when it was first asked for; empty where it has no table."""
        if partition not in self._known:
            commit = last_commit(self._storage, ManifestRef(self._storage.root, ASSET, partition))
            if commit is None:
                self._known[partition] = "", {}
            else:
                self.of(partition, commit)
        return self._known[partition][1]

    def _stored(self, partition: str, digest: str) -> Sketches | None:
        try:
            stored = json.loads(self._storage.read_bytes(_path(partition)))
            if stored["digest"] != digest:
                return None
            return {name: Sketch(**sketch) for name, sketch in stored["scores"].items()}
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # not there, or not of this form: it is made anew
            return None

    def _made(self, partition: str, commit: Commit) -> Sketches:
        ref = ManifestRef(self._storage.root, ASSET, partition)
        sketches = sketches_of(read_commit_rows(self._storage, ref, commit, ["video_id", "scores"]))
        data = {"digest": commit.digest, "scores": {name: asdict(sketch) for name, sketch in sketches.items()}}
        self._storage.write_bytes(_path(partition), json.dumps(data).encode())
        return sketches


def sketches_of(table: pa.Table) -> dict[str, Sketch]:
    """Sketches of all scores of a table with columns ``video_id`` and ``scores``; what was not measured is left out."""
    scored = table.filter(pc.field("scores").is_valid())
    found: dict[str, dict[str, list[float]]] = {}
    for video_id, scores in zip(scored["video_id"].to_pylist(), scored["scores"].to_pylist(), strict=True):
        for name, value in scores:
            if value is not None and np.isfinite(value):
                found.setdefault(name, {}).setdefault(video_id, []).append(value)
    return {name: sketch_of(np.concatenate(list(values.values())), len(values)) for name, values in found.items()}


def _path(partition: str) -> str:
    return f"checks/{ASSET}/{partition}.json"
