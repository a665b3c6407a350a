"""Roots with embedded and captioned clips, in all tables that a search reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.manifest import ALL, ManifestRef
from stages.params import EmbedParams
from stages.schemas import ASSETS
from stages.storage import digest
from stages.tasks import Row
from tests.made_tables import commit_items

SIZE = 8
MODEL = {"model": "toy/mean", "weights_hash": "0" * 16}


def drawn_vectors(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Unit vectors of clips ``c00``, ``c01``, ..."""
    drawn = np.random.default_rng(seed).normal(size=(count, SIZE))
    return {f"c{number:02d}": row / np.linalg.norm(row) for number, row in enumerate(drawn)}


def commit_rows(root: str, asset: str, partition: str, rows: list[Row], **made_with: Any) -> None:
    """Commit rows, each an item of its own."""
    items = [(str(row.get("row_key", digest(asset, repr(row)))), [row]) for row in rows]
    commit_items(ManifestRef(root, asset, partition), items, made_with=made_with)


def write_clips(
    root: Path | str,
    vectors: Mapping[str, np.ndarray],
    *,
    partition: str = "p1",
    captions: Mapping[str, list[str]] | None = None,
    facts: Mapping[str, Row] | None = None,
    model: Mapping[str, str] = MODEL,
    params: EmbedParams | None = None,
) -> None:
    """Tables of clips, filtered_clips, embeddings and captions of one partition; see `write_unique` for the last."""
    known = facts or {}
    source = {"partition": partition, "video_id": f"v-{partition}", "uri": f"/videos/{partition}.mp4", "status": "kept"}
    spans = [
        {**source, "clip_id": name, "start_pts": 1000 * number, "end_pts": 1000 * number + 500, "time_base": "1/1000"}
        | {"start_s": float(number), "end_s": number + 0.5, "width": 1280, "height": 720, **known.get(name, {})}
        for number, name in enumerate(vectors)
    ]
    for asset in ("clips", "filtered_clips"):
        known_columns = ASSETS[asset].schema.names
        rows = [{name: value for name, value in row.items() if name in known_columns} for row in spans]
        commit_rows(str(root), asset, partition, rows)
    embeddings = [
        {**source, **model, "clip_id": name, "embedding": vector.tolist(), "row_key": digest(name, repr(vector))}
        for name, vector in vectors.items()
    ]
    made_with = {"identity": dict(model), "params": (params or EmbedParams()).model_dump(mode="json")}
    commit_rows(str(root), "embeddings", partition, embeddings, **made_with)
    windows = [
        {**source, "clip_id": name, "window_index": number, "caption": text, "model": "teller"}
        for name, texts in (captions or {}).items()
        for number, text in enumerate(texts)
    ]
    if windows:
        commit_rows(str(root), "captions", partition, windows)


def write_unique(root: Path | str, outcomes: Mapping[str, str], partition: str = "p1") -> None:
    """The table unique_clips: by clip, "kept" or the reason why it is rejected."""
    source = {"partition": partition, "video_id": f"v-{partition}", "uri": f"/videos/{partition}.mp4"}
    rows = [
        {**source, "clip_id": name, "status": "kept" if outcome == "kept" else "rejected"}
        | {"reason": None if outcome == "kept" else outcome, "group_id": name}
        for name, outcome in outcomes.items()
    ]
    commit_rows(str(root), "unique_clips", ALL, rows)


def similarities(found: pd.DataFrame) -> dict[str, float]:
    """Similarity by clip, in the order of the result."""
    return dict(zip(found["clip_id"].tolist(), found["query_similarity"].tolist(), strict=True))
