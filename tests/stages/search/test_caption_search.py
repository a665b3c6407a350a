"""Search among captions by a small network of sentences that the test makes, against brute force."""

from pathlib import Path

import numpy as np
import pytest

from stages.dedup.segment_files import VECTORS, model_folder
from stages.errors import ManifestError
from stages.maintenance import vacuum
from stages.models import SentenceEncoder
from stages.search import search
from stages.storage import Storage
from tests.clips import WORKER
from tests.stages.models.text_checkpoints import save_sentence_model
from tests.stages.search.roots import drawn_vectors, similarities, write_clips, write_unique

pytest.importorskip("transformers")

CAPTIONS = {
    "c00": ["a dog runs on the grass", "the dog sleeps"],
    "c01": ["the red car drives fast on the street"],
    "c02": ["water is poured into a glass", "a glass"],
    "c03": ["a dog runs on the grass"],
    "c04": ["", "   "],
    "c05": ["a cat sleeps on the sofa", "the dog runs fast", "a dog"],
}
QUERY = "a dog runs"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_model(tmp_path_factory.mktemp("sentences") / "bert")


@pytest.fixture
def root(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clips with captions; the small network stands where the package's lies, whose weights are 90 MB."""
    monkeypatch.setattr("stages.search.searching.sentence_model_folder", lambda: model)
    write_clips(tmp_path, drawn_vectors(7), captions=CAPTIONS)
    write_unique(tmp_path, dict.fromkeys(drawn_vectors(7), "kept"))
    return tmp_path


def brute_force(model: Path) -> dict[str, tuple[float, str]]:
    """By clip, the similarity of the most similar of its captions, and that caption."""
    encoder = SentenceEncoder(model, WORKER)
    query = encoder.encode([QUERY])[0]
    found = {}
    for name, texts in CAPTIONS.items():
        scored = [(float(encoder.encode([text])[0] @ query), text) for text in texts if text.strip()]
        if scored:
            found[name] = max(scored)
    return found


def index_of(root: Path, model: Path) -> list[Path]:
    identity = SentenceEncoder(model, WORKER).identity
    return sorted((root / model_folder(identity.model, identity.weights_hash)).glob("*"))


@pytest.mark.parametrize("top", [1, 2, 20])
def test_clips_are_found_by_their_most_similar_caption(root: Path, model: Path, top: int) -> None:
    truth = brute_force(model)
    found = search(str(root), QUERY, top=top)
    order = sorted(truth, key=lambda name: (-round(truth[name][0], 6), name))[:top]
    assert found["clip_id"].tolist() == order
    np.testing.assert_allclose(found["query_similarity"], [truth[name][0] for name in order], atol=1e-5)
    assert found["matched_text"].tolist() == [truth[name][1] for name in order]
    assert found.attrs["num_searched"] == 5
    assert "2 clips are left out, which have no caption." in found.attrs["notes"]


def test_vectors_of_captions_are_kept_and_made_again_where_they_are_lost(root: Path, model: Path) -> None:
    search(str(root), QUERY, index=False)
    assert index_of(root, model) == []
    first = search(str(root), QUERY)
    files = {path: path.read_bytes() for path in index_of(root, model)}
    (vectors,) = (path for path in files if path.suffix == VECTORS)
    assert vectors.stat().st_size == 4 * 24 * 8, "of each text once"
    vectors.write_bytes(files[vectors][:50] + b"\x00\x01\x02\x03" + files[vectors][54:])
    for _ in range(2):
        assert search(str(root), QUERY).equals(first)
        assert {path: path.read_bytes() for path in index_of(root, model)} == files


def test_new_captions_are_added_to_those_that_are_kept(root: Path, model: Path) -> None:
    search(str(root), QUERY)
    more = {"d0": ["the dog runs"], "d1": ["a dog runs on the grass"]}
    vectors = dict(zip(more, drawn_vectors(2, 4).values(), strict=True))
    write_clips(root, vectors, partition="p2", captions=more)
    write_unique(root, dict.fromkeys([*drawn_vectors(7), *more], "kept"))
    similarity = similarities(search(str(root), QUERY, top=0))
    assert set(similarity) == {*CAPTIONS, *more} - {"c04"}
    assert similarity["d1"] == similarity["c03"]
    sizes = sorted(path.stat().st_size for path in index_of(root, model) if path.suffix == VECTORS)
    assert sizes == [4 * 24, 4 * 24 * 8]


def test_vacuum_leaves_the_vectors_of_captions_that_are_there(root: Path, model: Path) -> None:
    search(str(root), QUERY)
    before = index_of(root, model)
    vacuum(Storage(root), min_age_s=0)
    assert index_of(root, model) == before != []


def test_text_burned_into_pictures_is_searched_too(root: Path, model: Path) -> None:
    """A clip without captions is found by what its pictures say; the vector of that text survives a vacuum."""
    write_clips(root, drawn_vectors(7), captions=CAPTIONS, facts={"c04": {"text": "a cat sleeps"}})
    found = search(str(root), "a cat sleeps", top=1)
    assert (found["clip_id"].tolist(), found["matched_text"].tolist()) == (["c04"], ["a cat sleeps"])
    assert found["query_similarity"].tolist() == pytest.approx([1], abs=1e-6)
    before = index_of(root, model)
    vacuum(Storage(root), min_age_s=0)
    assert index_of(root, model) == before != []


def test_no_clip_that_meets_a_condition_is_no_error(root: Path) -> None:
    assert search(str(root), QUERY, where="height < 0").empty
    only = search(str(root), QUERY, where="caption LIKE '%car%'")
    assert only["clip_id"].tolist() == ["c01"]


def test_root_without_captions_says_so(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.search.searching.sentence_model_folder", lambda: model)
    write_clips(tmp_path, drawn_vectors(2), captions={"c00": [""]})
    write_unique(tmp_path, {"c00": "kept"})
    with pytest.raises(ManifestError, match="requires captions of the clips, and none"):
        search(str(tmp_path), QUERY)
