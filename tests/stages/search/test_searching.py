"""Searches by likeness and by conditions, against brute force over the vectors that were written."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest

import curator_dagster
from stages.dedup.segment_files import KEYS, VECTORS, model_folder
from stages.errors import CurationError, ManifestError, ParamsError
from stages.manifest import publish_version
from stages.models.efficientnet import EfficientNetLite0Embedder
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import EmbedParams
from stages.search import search
from stages.storage import Storage
from stages.tasks import Frames, Row
from tests.clips import WORKER
from tests.stages.models.text_checkpoints import save_clip
from tests.stages.search.roots import MODEL, SIZE, commit_rows, drawn_vectors, similarities, write_clips, write_unique
from tests.videos import noise_shot

VECTORS_OF = drawn_vectors(30)
FOLDER = model_folder(MODEL["model"], MODEL["weights_hash"])
OUTCOMES = {name: "duplicate" if int(name[1:]) % 5 == 0 else "kept" for name in VECTORS_OF}
KEPT = [name for name, outcome in OUTCOMES.items() if outcome == "kept"]
FACTS: dict[str, Row] = {
    name: {"height": 480 + 240 * (number % 2), "camera_motion": ("pan", "static", "zoom")[number % 3]}
    | {"scores": {"motion": 0.01 * number, "height": 9.0}}
    for number, name in enumerate(VECTORS_OF)
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two partitions; a fifth of the clips are duplicates."""
    halves = {"p1": list(VECTORS_OF)[:18], "p2": list(VECTORS_OF)[18:]}
    for partition, names in halves.items():
        write_clips(tmp_path, {name: VECTORS_OF[name] for name in names}, partition=partition, facts=FACTS)
    write_unique(tmp_path, OUTCOMES)
    return tmp_path


def brute_force(query: np.ndarray, names: list[str], count: int) -> tuple[list[str], np.ndarray]:
    similarity = np.array([VECTORS_OF[name] @ query / np.linalg.norm(query) for name in names])
    order = np.argsort(-similarity)[:count]
    return [names[place] for place in order], similarity[order]


def check(found: pd.DataFrame, query: np.ndarray, names: list[str], count: int = 20) -> None:
    expected, similarity = brute_force(query, names, count)
    assert found["clip_id"].tolist() == expected
    np.testing.assert_allclose(found["query_similarity"], similarity, atol=1e-6)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_like_finds_the_nearest_kept_clips_and_writes_nothing(root: Path) -> None:
    before = files_of(root)
    check(search(str(root), like="c07", top=6), VECTORS_OF["c07"], [name for name in KEPT if name != "c07"], 6)
    everything = search(str(root), like="c05", status="all", top=0)  # itself a duplicate
    check(everything, VECTORS_OF["c05"], [name for name in VECTORS_OF if name != "c05"], 99)
    assert everything.attrs["num_searched"] == 29
    lost = [name for name in VECTORS_OF if name not in KEPT]
    check(search(str(root), like="c05", status="rejected"), VECTORS_OF["c05"], [name for name in lost if name != "c05"])
    check(search(str(root), like="c05", asset="embeddings"), VECTORS_OF["c05"], [n for n in VECTORS_OF if n != "c05"])
    assert files_of(root) == before


def test_index_is_used_where_it_is_and_made_where_it_is_asked_for(root: Path) -> None:
    first = search(str(root), like="c07", index=True)
    assert {path.suffix for path in (root / FOLDER).iterdir()} == {KEYS, VECTORS}
    before = files_of(root)
    for index in (None, True, False):
        pd.testing.assert_frame_equal(search(str(root), like="c07", index=index), first)
    assert files_of(root) == before


@pytest.mark.parametrize("keeps", [None, True])
def test_damaged_index_changes_no_result(root: Path, keeps: bool | None) -> None:
    first = search(str(root), like="c07", index=True)
    (path,) = (root / FOLDER).glob(f"*{VECTORS}")
    whole = path.read_bytes()
    path.write_bytes(whole[:40] + bytes([whole[40] ^ 0x41]) + whole[41:])
    pd.testing.assert_frame_equal(search(str(root), like="c07", index=keeps), first)
    assert (path.read_bytes() == whole) is (keeps is True)


def test_where_alone_lists_clips_and_joins_any_query(root: Path) -> None:
    panning = [name for name in KEPT if FACTS[name]["camera_motion"] == "pan" and FACTS[name]["height"] >= 720]
    condition = "camera_motion = 'pan' AND height >= 720 AND duration_s = 0.5"
    listed = search(str(root), where=condition)
    assert listed["clip_id"].tolist() == panning
    assert np.isnan([*similarities(listed).values()]).all()
    check(search(str(root), like="c07", where=condition), VECTORS_OF["c07"], [n for n in panning if n != "c07"])
    assert search(str(root), where=condition, top=2)["clip_id"].tolist() == panning[:2]


def test_where_reads_scores_and_outcomes(root: Path) -> None:
    assert search(str(root), where="motion > 0.265", status="all")["clip_id"].tolist() == ["c27", "c28", "c29"]
    assert len(search(str(root), where="scores.height = 9")) == 20
    duplicates = search(str(root), where="reason = 'duplicate' AND motion < 0.1", status="all")
    assert duplicates["clip_id"].tolist() == ["c00", "c05"]
    assert search(str(root), where="height < 0").empty


def test_image_is_embedded_by_the_model_of_the_vectors(tmp_path: Path) -> None:
    """The truth is the embedder itself, given the picture as a clip of one frame."""
    random = np.random.default_rng(5)
    pictures = {f"c{number}": random.integers(0, 255, (48, 64, 3), np.uint8) for number in range(3)}
    embedder = EfficientNetLite0Embedder(EmbedParams())
    embedder.setup(WORKER)
    vectors = embedder.embed([Frames(np.zeros(1, np.int64), picture[None]) for picture in pictures.values()])
    identity = embedder.identity().as_dict()
    write_clips(tmp_path, dict(zip(pictures, vectors, strict=True)), model=identity)
    write_unique(tmp_path, dict.fromkeys(pictures, "kept"))
    PIL.Image.fromarray(pictures["c1"]).save(tmp_path / "query.png")
    found = search(str(tmp_path), image=str(tmp_path / "query.png"))
    assert found["clip_id"].iloc[0] == "c1"
    np.testing.assert_allclose(sorted(found["query_similarity"]), sorted(vectors @ vectors[1]), atol=1e-5)
    both = search(str(tmp_path), image=str(tmp_path / "query.png"), like="c2")
    mean = vectors[1].astype(float) + vectors[2]
    truth = vectors[:2] @ (mean / np.linalg.norm(mean))
    np.testing.assert_allclose(sorted(both["query_similarity"]), sorted(truth), atol=1e-5)


def test_version_is_searched_as_it_was(root: Path) -> None:
    publish_version(Storage(root), {})
    write_unique(root, {**OUTCOMES, "c01": "duplicate"})
    names = [name for name in KEPT if name != "c07"]
    check(search(str(root), like="c07", version=1, top=0), VECTORS_OF["c07"], names, 99)
    check(search(str(root), like="c07", top=0), VECTORS_OF["c07"], [name for name in names if name != "c01"], 99)


def test_clips_of_another_model_are_left_out_and_counted(root: Path) -> None:
    others = {f"x{number}": vector[: SIZE - 1] for number, vector in enumerate(drawn_vectors(2, 9).values())}
    write_clips(root, others, partition="p3", model={"model": "other", "weights_hash": "1" * 16})
    write_unique(root, {**OUTCOMES, **dict.fromkeys(others, "kept")})
    found = search(str(root), like="c07", top=0)
    assert set(found["clip_id"]) == {*KEPT} - {"c07"}
    assert any("2 clips are left out, whose embeddings are of another model" in note for note in found.attrs["notes"])


def test_bucket_is_searched_as_a_folder_is(tmp_path: Path) -> None:
    place = "memory://search-root"
    write_clips(place, VECTORS_OF)
    write_unique(place, OUTCOMES)
    names = [name for name in KEPT if name != "c07"]
    for index in (None, True, None):
        check(search(place, like="c07", index=index, top=0), VECTORS_OF["c07"], names, 99)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "requires a text, --like, --image or --where"),
    "clip": ({"like": "c077"}, r"must be a clip with an embedding, got 'c077'. Did you mean c07"),
    "column": ({"where": "camera_moton = 'pan'"}, "Did you mean camera_motion"),
    "score": ({"where": "motoin > 1"}, "got 'motoin'. Did you mean motion"),
    "dataset": ({"where": "bytes > 1"}, "names bytes of dataset, which is not made"),
    "asset": ({"where": "height > 1", "asset": "unique_clip"}, "Did you mean unique_clips"),
    "videos": ({"where": "height > 1", "asset": "videos"}, "asset must be one of clips"),
    "status": ({"where": "height > 1", "status": "good"}, "status must be one of"),
    "by": ({"text": "a dog", "by": "magic"}, "by must be one of"),
    "blank": ({"text": " "}, "must have words in it"),
    "top": ({"like": "c07", "top": -1}, "top must be 0 or more"),
    "image": ({"image": "nowhere.png"}, "which is not there"),
    "version": ({"like": "c07", "version": "paper"}, "Version must be a number or one of the tags"),
    "tower": ({"text": "a dog", "by": "captions", "like": "c07"}, "requires a text alone"),
}


@pytest.mark.parametrize("name", WRONG)
def test_search_rejects(name: str, root: Path) -> None:
    arguments, message = WRONG[name]
    with pytest.raises(CurationError, match=message):
        search(str(root), **arguments)


def test_search_says_which_command_makes_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Nothing is committed for unique_clips"):
        search(str(tmp_path), like="c1")
    write_unique(tmp_path, {"c1": "kept"})
    with pytest.raises(ManifestError, match=r"must have embeddings .* Run `curator run SOURCE --root"):
        search(str(tmp_path), like="c1")


def test_image_must_be_there_and_a_picture(tmp_path: Path) -> None:
    identity = EfficientNetLite0Embedder(EmbedParams()).identity().as_dict()
    write_clips(tmp_path, VECTORS_OF, model=identity)
    write_unique(tmp_path, OUTCOMES)
    (tmp_path / "text.png").write_text("no picture")
    PIL.Image.new("L", (4, 4), 255).save(tmp_path / "white.png")
    wrong = {"text.png": "must be a JPEG.*another format", "none.png": "is not there", ".": "must be a picture"}
    for name, message in wrong.items():
        with pytest.raises(ParamsError, match=message):
            search(str(tmp_path), image=str(tmp_path / name))
    other = tmp_path / "other"
    write_clips(other, VECTORS_OF, model={**identity, "weights_hash": "f" * 16})
    write_unique(other, OUTCOMES)
    with pytest.raises(ParamsError, match="must be embedded by the model of the stored vectors"):
        search(str(other), image=str(tmp_path / "white.png"))


def test_search_is_handed_on_by_name() -> None:
    assert curator_dagster.search is search


def test_text_is_compared_with_pictures_where_their_model_reads_text(
    tmp_path: Path,
) -> None:
    """A CLIP that the test makes; the truth is the library's plain loop over pictures and text."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = save_clip(tmp_path / "clip")
    params = EmbedParams(embedder="transformers", model=str(folder))
    embedder = TransformersEmbedder(params)
    embedder.setup(WORKER)
    pictures = {f"c{number}": noise_shot(number, 2, width=48, height=40) for number in range(5)}
    vectors = embedder.embed([Frames(np.arange(2), np.stack(shown)) for shown in pictures.values()])
    identity = embedder.identity().as_dict()
    write_clips(tmp_path, dict(zip(pictures, vectors, strict=True)), model=identity, params=params)
    write_unique(tmp_path, dict.fromkeys(pictures, "kept"))
    model, tokenizer = (kind.from_pretrained(folder) for kind in (transformers.CLIPModel, transformers.AutoTokenizer))
    with torch.no_grad():
        output = model.eval().get_text_features(**tokenizer(["a dog runs"], return_tensors="pt")).pooler_output
    query = output[0].numpy() / np.linalg.norm(output[0].numpy())
    found = similarities(search(str(tmp_path), "a dog runs", by="embeddings"))
    for name, vector in zip(pictures, vectors, strict=True):
        assert found[name] == pytest.approx(float(vector @ query), abs=1e-4)
    assert [*found.values()] == sorted(found.values(), reverse=True)
    mean = query + vectors[3]
    both = similarities(search(str(tmp_path), "a dog runs", like="c3"))
    assert both["c1"] == pytest.approx(float(vectors[1] @ mean / np.linalg.norm(mean)), abs=1e-4)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # a whole file of other weights
    with pytest.raises(ParamsError, match="must be embedded by the model of the stored vectors"):
        search(str(tmp_path), "a dog runs")


def test_search_compares_by_the_embedder_that_is_named(root: Path) -> None:
    other = drawn_vectors(30, seed=1)
    model = {"model": "other/mean", "weights_hash": "1" * 16}
    made_with = {"identity": model, "params": {"name": "other", **EmbedParams().model_dump(mode="json")}}
    source = {"partition": "p1", "video_id": "v-p1", "uri": "/videos/p1.mp4", "status": "kept", **model}
    rows = [
        {**source, "clip_id": name, "embedding": vector.tolist(), "row_key": f"other {name}"}
        for name, vector in other.items()
    ]
    commit_rows(str(root), "embeddings.other", "p1", rows, **made_with)
    found = search(str(root), like="c01", embedder="other", top=5)
    similarity = {name: float(other[name] @ other["c01"]) for name in KEPT if name != "c01"}
    assert found["clip_id"].tolist() == sorted(similarity, key=lambda name: -similarity[name])[:5]
    assert found.attrs["notes"] == ["Compared with the pictures of clips, by other/mean."]
    check(search(str(root), like="c01"), VECTORS_OF["c01"], [name for name in KEPT if name != "c01"])
    indexed = search(str(root), like="c01", embedder="other", top=5, index=True)
    assert indexed["clip_id"].tolist() == found["clip_id"].tolist()
    with pytest.raises(ParamsError, match=r"--embedder must be .* got 'othe'\. Did you mean other\?"):
        search(str(root), like="c01", embedder="othe")
    with pytest.raises(ParamsError, match="has no text tower"):
        search(str(root), "a dog", embedder="other")
    with pytest.raises(ParamsError, match="reads no embeddings, got --embedder too"):
        search(str(root), "a dog", embedder="other", by="captions")
