"""A curation in Dagster on Ray whose clips are embedded by two encoders of `transformers`, small and random.

1. One step makes a table each; vectors are those of the library's own plain loop over the stored pictures.
2. Dedup and search go by the second where they name it, and find what brute force over its vectors finds.
3. Other weights of the second compute its table alone; rows of the first keep their keys.
4. A second encoder that gives NaN fails its own rows, and the checks name it.
"""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from curator_dagster.curation import Curation, default_params
from curator_dagster.definitions import curation_definitions
from curator_dagster.partition_keys import partition_tags, sync_partitions
from curator_dagster.resources import Storage
from stages.manifest import read_manifest
from stages.params import ExecutorParams, FilterParams, ReadParams, SplitParams
from stages.run import open_session
from stages.search import search
from stages.sources import list_sources, register_sources
from stages.tasks import Row
from tests.curator_dagster.conftest import QUIET
from tests.stages.models.picture_checkpoints import dinov2, saved
from tests.stages.models.text_checkpoints import save_clip
from tests.videos import noise_shot, write_video

pytestmark = pytest.mark.system

SEEDS = ((3, 7, 9), (10, 12))
"""Of the shots of each video, of three seconds at 25 frames/s."""
NUM_CLIPS = 5
TEXT = "a dog runs on grass"
UP_TO_EMBEDDINGS = ("videos", "clips", "filtered_clips", "embeddings")
TABLES = ("embeddings", "embeddings.words")
Vectors = dict[str, NDArray[np.float32]]


class Made(NamedTuple):
    """What the first launches made: a root, two checkpoints, how to launch more, and what the launches gave."""

    root: str
    first: Path
    second: Path
    launch: Callable[..., dg.ExecuteInProcessResult]
    embedded: dg.ExecuteInProcessResult
    rest: dg.ExecuteInProcessResult
    eps: float


def embedding(first: Path, second: Path, **values: Any) -> Row:
    """Parameters of embed: the first encoder, and ``words`` as the second."""
    words = {"name": "words", "embedder": "transformers", "model": str(second), "frames_per_clip": 16}
    return {"embedder": "transformers", "model": str(first), "more": [words], **values}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, ray_cluster: None) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("two_encoders")
    first, second, sources = (folder / name for name in ("dino", "clip", "sources"))
    saved(first, dinov2)
    save_clip(second)
    sources.mkdir()
    for number, seeds in enumerate(SEEDS):
        pictures = [picture for seed in seeds for picture in noise_shot(seed, 75)]
        write_video(sources / f"{number}.mp4", pictures, options={"g": "25"})
    root, params = str(folder / "root"), default_params()
    params["split"] = SplitParams(method="fixed_stride", clip_length_s=3)
    params["filter"] = FilterParams(filters=["size", "duration"])
    listed = list_sources(str(sources), ReadParams())
    keys = register_sources(Storage(root=root).open(), listed, ReadParams(partition_size=1))
    with open_session(ExecutorParams(num_workers=2)) as session, dg.DagsterInstance.ephemeral() as instance:
        sync_partitions(instance, Storage(root=root).open())

        def launch(root: str, *assets: str, **configs: Mapping[str, Any]) -> dg.ExecuteInProcessResult:
            definitions = curation_definitions(Curation(params=params), session, Storage(root=root))
            job = definitions.resolve_job_def("curate")
            config = {**QUIET, "ops": {asset: {"config": dict(values)} for asset, values in configs.items()}}
            selected = [dg.AssetKey(asset) for asset in assets]
            tags = partition_tags(keys)
            return job.execute_in_process(instance=instance, run_config=config, tags=tags, asset_selection=selected)

        embedded = launch(root, *UP_TO_EMBEDDINGS, embeddings=embedding(first, second))
        eps = least_eps(vectors_of(root, "embeddings.words"))
        rest = launch(root, "captions", "unique_clips", "dataset", unique_clips={"embedder": "words", "eps": eps})
        yield Made(root, first, second, launch, embedded, rest, eps)


@pytest.fixture
def copied_root(made: Made, tmp_path: Path) -> str:
    """What the first launches made, for a test to launch more on."""
    return str(shutil.copytree(made.root, tmp_path / "root"))


def vectors_of(root: str, table: str) -> Vectors:
    rows = read_manifest(root, table).to_pylist()
    assert {row["status"] for row in rows} == {"kept"}
    return {row["clip_id"]: np.array(row["embedding"], np.float32) for row in rows}


def pairs_of(vectors: Vectors) -> list[tuple[float, frozenset[str]]]:
    """All pairs of clips with their similarity, the most similar first."""
    found = [(float(vectors[one] @ vectors[other]), one, other) for one, other in combinations(vectors, 2)]
    return [(similarity, frozenset(pair)) for similarity, *pair in sorted(found, reverse=True)]


def least_eps(vectors: Vectors) -> float:
    """With which one pair is near-duplicate and no other, half way to the second."""
    (most, _), (next_one, _) = pairs_of(vectors)[:2]
    assert most - next_one > 1e-4
    return 1 - (most + next_one) / 2


def stored_pictures(root: str, clip: Row) -> list[Image.Image]:
    """The JPEGs of the frame store within a clip, decoded by Pillow."""
    times = pq.read_table(Path(root, "frames", clip["partition"], f"{clip['video_id']}.parquet")).to_pylist()
    inside = [each["jpeg"] for each in times if clip["start_pts"] <= each["pts"] < clip["end_pts"]]
    assert 4 <= len(inside) <= 8  # so that both encoders take all of them
    return [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in inside]


def plain_loop(folder: Path, pictures: list[Image.Image]) -> NDArray[np.float32]:
    """The library alone: each picture by itself, mean, unit length."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = AutoModel.from_pretrained(folder).eval()
    encode = getattr(model, "get_image_features", model)
    with torch.inference_mode():
        made = [encode(**processor(images=each, return_tensors="pt")).pooler_output[0] for each in pictures]
    mean = torch.stack(made).mean(0)
    return (mean / mean.norm()).numpy()


def checks_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, list[dg.AssetCheckEvaluation]]:
    found: dict[str, list[dg.AssetCheckEvaluation]] = {}
    for each in result.get_asset_check_evaluations():
        if each.asset_key.path == [asset]:
            found.setdefault(each.check_name, []).append(each)
    return found


def further_figures(result: dg.ExecuteInProcessResult) -> dict[str, list[Any]]:
    """Of the second table by partition: kept, failed, reused and computed of each."""
    names = ("kept", "failed", "reused", "computed")
    events = result.asset_materializations_for_node("embeddings")
    records = [event.metadata["further_embedders"].records[0].data for event in events]  # type: ignore[union-attr]
    assert {each["embedder"] for each in records} == {"words"}
    return {name: sorted(each[name] for each in records) for name in names}


def test_each_table_has_the_vectors_of_its_encoder(made: Made) -> None:
    clips = {row["clip_id"]: row for row in read_manifest(made.root, "filtered_clips").to_pylist()}
    assert len(clips) == NUM_CLIPS
    for table, folder, size in zip(TABLES, (made.first, made.second), (32, 24), strict=True):
        vectors = vectors_of(made.root, table)
        assert set(vectors) == set(clips)
        for clip_id, vector in vectors.items():
            assert vector.shape == (size,)
            plain = plain_loop(folder, stored_pictures(made.root, clips[clip_id]))
            np.testing.assert_allclose(vector, plain, atol=1e-4)
        assert {row["model"] for row in read_manifest(made.root, table).to_pylist()} == {f"{folder.name}/mean"}
    assert further_figures(made.embedded) == {"kept": [2, 3], "failed": [0, 0], "reused": [0, 0], "computed": [2, 3]}


def test_checks_pass_and_count_the_rows_of_both_tables(made: Made) -> None:
    for checks in (checks_of(made.embedded, "embeddings"), checks_of(made.rest, "dataset")):
        assert {"no_row_lost", "table_schema", "failed_share"} <= set(checks)
        assert all(each.passed for evaluations in checks.values() for each in evaluations)
    lost = checks_of(made.embedded, "embeddings")["no_row_lost"]
    of_partitions = [each.metadata for each in lost if "rows" in each.metadata]  # one more is of the whole run
    counted = [(each["rows"].value, each["words_rows"].value) for each in of_partitions]
    assert sorted(counted) == [(2, 2), (3, 3)]


def test_dedup_goes_by_the_second_encoder(made: Made) -> None:
    (_, nearest), *_ = pairs_of(vectors_of(made.root, "embeddings.words"))
    of_first = pairs_of(vectors_of(made.root, "embeddings"))
    assert {pair for similarity, pair in of_first if similarity >= 1 - made.eps} != {nearest}
    rows = {row["clip_id"]: row for row in read_manifest(made.root, "unique_clips").to_pylist()}
    (lost,) = (clip_id for clip_id, row in rows.items() if row["status"] == "rejected")
    assert rows[lost]["reason"] == "duplicate"
    assert {lost, rows[lost]["group_id"]} == nearest
    written = {row["clip_id"] for row in read_manifest(made.root, "dataset").to_pylist()}
    assert written == set(rows) - {lost}


def test_search_goes_by_the_second_encoder(made: Made) -> None:
    kept = {row["clip_id"] for row in read_manifest(made.root, "dataset").to_pylist()}
    vectors = {name: each for name, each in vectors_of(made.root, "embeddings.words").items() if name in kept}
    model: Any = AutoModel.from_pretrained(made.second).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(made.second)
    with torch.inference_mode():
        text = model.get_text_features(**tokenizer(TEXT, return_tensors="pt")).pooler_output[0]
    queries = {TEXT: (text / text.norm()).numpy(), "": next(iter(vectors.values()))}
    for words, query in queries.items():
        like = None if words else next(iter(vectors))
        truth = {name: float(each @ query) for name, each in vectors.items() if name != like}
        found = search(made.root, words or None, like=like, embedder="words")
        assert found["clip_id"].tolist() == sorted(truth, key=truth.__getitem__, reverse=True)
        np.testing.assert_allclose(found["query_similarity"], sorted(truth.values(), reverse=True), atol=1e-5)


def test_other_weights_of_the_second_compute_its_table_alone(made: Made, copied_root: str, tmp_path: Path) -> None:
    keys = {table: read_manifest(copied_root, table)["row_key"].to_pylist() for table in TABLES}
    again = made.launch(copied_root, "embeddings", embeddings=embedding(made.first, made.second))
    assert further_figures(again) == {"kept": [2, 3], "failed": [0, 0], "reused": [2, 3], "computed": [0, 0]}
    weights = load_file(save_clip(tmp_path / "clip") / "model.safetensors")
    weights["visual_projection.weight"] = weights["visual_projection.weight"][::-1].copy()
    save_file(weights, tmp_path / "clip" / "model.safetensors", {"format": "pt"})
    before = vectors_of(copied_root, "embeddings.words")
    changed = made.launch(copied_root, "embeddings", embeddings=embedding(made.first, tmp_path / "clip"))
    assert further_figures(changed) == {"kept": [2, 3], "failed": [0, 0], "reused": [0, 0], "computed": [2, 3]}
    for result in (again, changed):
        events = result.asset_materializations_for_node("embeddings")
        assert [event.metadata["items_computed"].value for event in events] == [0, 0]
    for clip_id, vector in vectors_of(copied_root, "embeddings.words").items():
        np.testing.assert_allclose(vector, before[clip_id][::-1], atol=1e-6)  # the projection's rows upside down
    assert read_manifest(copied_root, "embeddings")["row_key"].to_pylist() == keys["embeddings"]
    assert not set(read_manifest(copied_root, "embeddings.words")["row_key"].to_pylist()) & set(
        keys["embeddings.words"]
    )


def test_nan_of_the_second_fails_its_rows_and_the_checks_name_it(made: Made, copied_root: str, tmp_path: Path) -> None:
    weights = load_file(save_clip(tmp_path / "clip") / "model.safetensors")
    weights["visual_projection.weight"][0] = np.nan
    save_file(weights, tmp_path / "clip" / "model.safetensors", {"format": "pt"})
    given = embedding(made.first, tmp_path / "clip", max_failed_fraction=1)
    result = made.launch(copied_root, "embeddings", embeddings=given)
    assert further_figures(result) == {"kept": [0, 0], "failed": [2, 3], "reused": [0, 0], "computed": [2, 3]}
    failed = read_manifest(copied_root, "embeddings.words").to_pylist()
    assert {row["status"] for row in failed} == {"failed"}
    assert all("must have finite numbers" in row["error"] for row in failed)
    vectors_of(copied_root, "embeddings")  # all kept
    checks = checks_of(result, "embeddings")
    assert not any(each.passed for each in checks["failed_share"])
    assert all("words: " in (each.description or "") for each in checks["failed_share"])
    assert not any("First embedder: " in (each.description or "") for each in checks["failed_share"])
    assert all(each.passed for each in checks["no_row_lost"])
