"""The captioner in process beside its words: draws, memory, windows that do not fit, and what is refused."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from stages import heartbeat
from stages.errors import ParamsError, Reason
from stages.models import ModelIdentity
from stages.models.captioner import Caption, CaptionInput
from stages.models.transformers_captioner import TransformersCaptioner
from stages.params import CaptionParams
from stages.tasks import Failed
from tests.clips import WORKER, clip_row
from tests.stages.caption.test_phase import captions, run
from tests.stages.models.vision_language_checkpoints import make_checkpoint, qwen2_5_vl
from tests.videos import noise_shot, write_video

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    make_checkpoint(folder, qwen2_5_vl)
    return folder


def captioner(folder: Path, **params: Any) -> TransformersCaptioner:
    made = unset(folder, **params)
    made.setup(WORKER)
    return made


def unset(folder: Path, **params: Any) -> TransformersCaptioner:
    values = {"captioner": "transformers", "model": str(folder), "max_tokens": 8, **params}
    return TransformersCaptioner(CaptionParams.model_validate(values))


def window(seed: int, count: int = 2) -> CaptionInput:
    return CaptionInput(np.stack(noise_shot(seed, count, width=64, height=48, speed=9)), 1.0, {})


def test_drawn_answers_are_the_same_in_any_company_and_vary_with_the_window(checkpoint: Path) -> None:
    made = captioner(checkpoint, temperature=1.5)
    together = made.caption([window(seed) for seed in range(4)])
    assert [made.caption([window(seed)])[0] for seed in (2, 0)] == [together[2], together[0]]
    assert together != captioner(checkpoint).caption([window(seed) for seed in range(4)])
    other = made.caption([CaptionInput(window(1).images, 1.0, {}, prompt="What else?")])
    assert other != [together[1]]


def test_draws_follow_the_softmax_of_the_scores() -> None:
    from stages.models.vision_language_model import _Draw

    scores, temperature, count = torch.tensor([0.0, 1.0, 2.0, -float("inf")]), 0.8, 4000
    draw = _Draw(temperature, list(range(count)))
    drawn = Counter(draw(torch.zeros(count, 1), scores.repeat(count, 1)).argmax(-1).tolist())
    expected = (scores / temperature).softmax(-1).tolist()
    for token, probability in enumerate(expected):
        deviation = np.sqrt(probability * (1 - probability) / count)
        assert drawn[token] / count == pytest.approx(probability, abs=4 * deviation + 1e-9)


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(checkpoint: Path) -> None:
    heartbeat.take_counts()
    made = captioner(checkpoint, batch_size=5)
    windows = [window(seed) for seed in range(5)]
    expected = made.caption(windows)
    sizes: list[int] = []

    def limit(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        sizes.append(len(named["input_ids"] if named.get("input_ids") is not None else arguments[0]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = made._model._model.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        assert made.caption(windows) == expected
        assert max(sizes[1:]) == 2
        assert heartbeat.take_counts()["halved_batches"] == 1
        hook.remove()
        hook = made._model._model.register_forward_pre_hook(lambda *_: never_enough())
        with pytest.raises(torch.OutOfMemoryError):
            made.caption(windows[:1])
    finally:
        hook.remove()


def never_enough() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_window_that_does_not_fit_fails_alone(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = captioner(checkpoint, max_tokens=4)
    needed = made._model.windows.prepare(*shown(window(1, 2))).num_tokens + 4
    monkeypatch.setattr(made._model, "max_tokens", needed)
    kept, failed = made.caption([window(1, 2), window(1, 12)])
    assert isinstance(kept, Caption)
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.STAGE_ERROR
    assert "Show fewer pictures (caption.max_frames)" in failed.error


def shown(given: CaptionInput) -> tuple[Any, ...]:
    prompt = CaptionParams().prompt
    return given.images, (0.25, 0.75), given.duration_s, prompt


def test_question_about_a_text_needs_no_pictures(checkpoint: Path) -> None:
    none = np.zeros((0, 1, 1, 3), np.uint8)
    (caption,) = captioner(checkpoint).caption([CaptionInput(none, 1.0, {}, prompt="Say it in fewer words.")])
    assert isinstance(caption, Caption)
    assert 0 < (caption.prompt_tokens or 0) < 60


def test_rows_name_model_tokens_and_precision(checkpoint: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [picture for seed in (1, 2, 3) for picture in noise_shot(seed, 25)])
    params: dict[str, Any] = {"captioner": "transformers", "model": str(checkpoint), "max_tokens": 60}
    report = run(tmp_path, [clip_row(video, start, start + 25) for start in (0, 25, 50)], **params)
    rows = [row for row in captions(tmp_path) if row["tokens"]]  # their words are noise, which is rejected
    assert rows, [row["error"] for row in captions(tmp_path)]
    for row in rows:
        assert (row["model"], row["dtype"], len(row["weights_hash"])) == ("tiny", "float32", 16)
        assert row["tokens"] > 1
        assert row["prompt_tokens"] > 20
    assert report.counters["caption_prompt_tokens"] >= sum(row["prompt_tokens"] for row in rows)


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "video_preprocessor_config.json"])
def test_identity_follows_all_that_changes_words(checkpoint: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    before = unset(folder).identity()
    assert before == unset(checkpoint).identity() == ModelIdentity("tiny", before.weights_hash)
    (folder / name).write_text((folder / name).read_text() + " ")
    assert unset(folder).identity() != before


def test_checkpoint_without_a_chat_template_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(
        ParamsError, match=r"caption\.model must be a vision-language model with a processor and a chat"
    ):
        captioner(folder)


def test_checkpoint_that_lacks_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    weights = {name: array for name, array in load_file(folder / "model.safetensors").items() if "blocks.1" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ParamsError, match=r"must be those of its architecture, and \d+ are missing"):
        captioner(folder)


def test_checkpoint_of_pictures_alone_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    with pytest.raises(ParamsError, match=r"caption\.model must be a vision-language model"):
        captioner(tmp_path)


def test_captioner_rejects_no_model() -> None:
    with pytest.raises(ParamsError, match=r"caption\.model must name a checkpoint"):
        TransformersCaptioner(CaptionParams(captioner="transformers"))
