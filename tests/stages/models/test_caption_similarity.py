"""The similarity of captions and their pictures, against the `transformers` library's own loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages.tasks import Row
from tests.clips import clip_row
from tests.stages.caption.custom_captioners import ScriptedCaptioner
from tests.stages.caption.test_checks import ASK, SCRIPTED
from tests.stages.caption.test_phase import captions, loaded, run
from tests.stages.models.text_checkpoints import save_clip
from tests.videos import three_shots

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["the red car drives fast on the street", "a cat sleeps on the sofa"]


def library_cosine(folder: Path, pictures: np.ndarray, text: str) -> float:
    """Cosine of the text's vector and the mean of those of the pictures."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)([text], padding=True, return_tensors="pt")
    tokens.pop("token_type_ids", None)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images=[Image.fromarray(each) for each in pictures], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        seen, read = model.get_image_features(pixel_values=pixels), model.get_text_features(**tokens)
    seen, read = ((each if torch.is_tensor(each) else each.pooler_output).numpy() for each in (seen, read))
    mean = seen.mean(axis=0)
    return float(mean @ read[0] / np.linalg.norm(mean) / np.linalg.norm(read[0]))


def scored(root: Path, clips: list[Row], folder: Path, **params: Any) -> list[Row]:
    args = {"answers": {"Describe": TEXTS}}
    run(root, clips, captioner=SCRIPTED, args=args, prompt=ASK, similarity_model=str(folder), max_frames=3, **params)
    by_clip = {row["clip_id"]: row for row in captions(root)}
    return [by_clip[clip["clip_id"]] for clip in clips]


@pytest.mark.long  # transformers takes seconds to import
def test_similarity_is_the_librarys_and_its_threshold_decides_again(tmp_path: Path) -> None:
    ScriptedCaptioner.asked.clear()
    video = three_shots(tmp_path / "three.mp4")
    folder = save_clip(tmp_path / "clip")
    clips = [clip_row(video, 0, 75), clip_row(video, 75, 150)]
    found = [dict(row["scores"])["similarity"] for row in scored(tmp_path, clips, folder)]
    for clip, text, similarity in zip(clips, TEXTS, found, strict=True):
        frames = loaded(tmp_path, clip, max_frames=3).data.clip.frames
        assert frames is not None
        assert similarity == pytest.approx(library_cosine(folder, frames.images, text), abs=2e-3)
    assert found[0] != found[1]
    num_asked = len(ScriptedCaptioner.asked)
    assert num_asked == 2
    least = (found[0] + found[1]) / 2
    rows = scored(tmp_path, clips, folder, min_similarity=least)
    assert [row["reason"] for row in rows] == ["low_similarity" if each < least else None for each in found]
    other = save_clip(tmp_path / "other", seed=8)
    again = [dict(row["scores"])["similarity"] for row in scored(tmp_path, clips, other)]
    assert again != found
    assert len(ScriptedCaptioner.asked) == num_asked
