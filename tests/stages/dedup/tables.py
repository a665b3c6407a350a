"""Manifests of embedded clips, and dedup run over them without Ray."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.manifest import ALL, ManifestRef, read_manifest
from stages.params import DedupParams, ExecutorParams
from stages.phase import PhaseReport
from stages.run import open_session
from stages.storage import Storage, digest
from stages.tasks import Row
from tests.made_tables import commit_items


@dataclass
class Library:
    """Partitions of clips with vectors, written as the phases before dedup would."""

    root: Path
    partitions: list[str] = field(default_factory=lambda: [])

    def add(
        self,
        partition: str,
        vectors: Mapping[str, list[float]],
        *,
        facts: dict[str, Row] | None = None,
    ) -> None:
        """Write (again) one partition: a vector a clip, and further columns of its row in filtered_clips."""
        source = {"partition": partition, "video_id": f"v-{partition}", "uri": f"/{partition}.mp4", "status": "kept"}
        model = {"model": "toy", "weights_hash": "0" * 16}
        known = facts or {}
        write_table(
            self.root,
            "embeddings",
            partition,
            [
                {**source, **model, "clip_id": name, "embedding": vector, "row_key": digest(name, repr(vector))}
                for name, vector in vectors.items()
            ],
        )
        write_table(
            self.root,
            "filtered_clips",
            partition,
            [{**source, "clip_id": name, **known.get(name, {})} for name in vectors],
        )
        if partition not in self.partitions:
            self._register(partition)

    def _register(self, partition: str) -> None:
        self.partitions.append(partition)
        entry = json.dumps({"partition": partition}).encode()
        Storage(self.root).create_bytes(f"partitions/_order/{len(self.partitions)}.json", entry)

    def dedup(self, partitions: list[str] | None = None, **params: Any) -> PhaseReport:
        """Run the phase over the partitions (all of them) and return its report."""
        inputs = {
            asset: [ManifestRef(str(self.root), asset, name) for name in partitions or self.partitions]
            for asset in ("embeddings", "filtered_clips")
        }
        output = ManifestRef(str(self.root), "unique_clips", ALL)
        with open_session(ExecutorParams(mode="local")) as session:
            return session.run_phase(DedupParams(**params), inputs, [output])[ALL]

    def rows(self) -> dict[str, Row]:
        """Rows of unique_clips by clip."""
        return {row["clip_id"]: row for row in self.table().to_pylist()}

    def table(self) -> pa.Table:
        """The table unique_clips."""
        return read_manifest(str(self.root), "unique_clips")

    def kept(self) -> set[str]:
        """Ids of the kept clips."""
        return {clip_id for clip_id, row in self.rows().items() if row["status"] == "kept"}


def write_table(root: Path, asset: str, partition: str, rows: list[Row]) -> None:
    """Commit rows, each an item of its own."""
    items = ((row.get("row_key", digest(repr(row))), [row]) for row in rows)
    commit_items(ManifestRef(str(root), asset, partition), items)


def angles(**degrees: float) -> dict[str, list[float]]:
    """Unit vectors of a plane by their angle: cos of the difference is the similarity of two."""
    return {
        name: [float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))] for name, angle in degrees.items()
    }
