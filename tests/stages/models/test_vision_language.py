"""Answers of models in process are those of a plain loop over the library's own network, one window at a time.

The loop's tokens are written out here; its pixels are made by the library's processor of pictures, from frames that
come in equal pairs, of which a processor of videos makes the same patches.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.models.captioner import Caption, CaptionInput
from stages.models.transformers_captioner import TransformersCaptioner
from stages.params import CaptionParams
from tests.clips import WORKER
from tests.stages.models.vision_language_checkpoints import (
    Family,
    internvl,
    llava,
    llava_onevision,
    make_checkpoint,
    qwen2_5_vl,
    qwen3_vl,
    smolvlm,
)
from tests.videos import noise_shot

transformers = pytest.importorskip("transformers")

MAX_TOKENS = 10
PROMPT = "Describe the <|im_end|> video."
FAMILIES = [qwen2_5_vl, qwen3_vl, smolvlm, internvl, llava_onevision, llava]


def window(seed: int, pairs: int, height: int = 48) -> CaptionInput:
    """Frames in equal pairs, 0.2 s apart, the first at 0.1 s."""
    pictures = np.repeat(np.stack(noise_shot(seed, pairs, width=64, height=height, speed=9)), 2, axis=0)
    times = tuple(0.1 + 0.2 * number for number in range(2 * pairs))
    return CaptionInput(pictures, 0.4 * pairs, {}, times)


WINDOWS = [window(1, 2), window(2, 1), window(3, 2), window(4, 3, height=40)]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda make: make.__name__)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Family, Callable[..., Any]]:
    folder = tmp_path_factory.mktemp("checkpoints") / request.param.__name__
    return folder, make_checkpoint(folder, request.param), request.param


def captioner(folder: Path, **params: Any) -> TransformersCaptioner:
    values = {"captioner": "transformers", "prompt": PROMPT, "max_tokens": MAX_TOKENS, "dtype": "float32", **params}
    made = TransformersCaptioner(CaptionParams.model_validate({"model": str(folder), **values}))
    made.setup(WORKER)
    return made


def test_answers_of_a_batch_are_those_of_a_plain_loop(checkpoint: tuple[Path, Family, Any]) -> None:
    folder, family, make = checkpoint
    made = captioner(folder)
    found = made.caption(WINDOWS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ends = family.model.generation_config.eos_token_id
    alike = 0
    for given, caption in zip(WINDOWS, found, strict=True):
        assert isinstance(caption, Caption)
        ids, inputs = plain_inputs(make.__name__, family, tokenizer, given)
        said = plain_loop(family.model, ids, inputs, ends)
        assert caption.prompt_tokens == len(ids)
        assert (caption.tokens, caption.is_cut) == (len(said), said[-1] not in ends)
        text = tokenizer.decode([token for token in said if token not in ends], skip_special_tokens=True).strip()
        assert caption.text == text
        alike += caption.text == getattr(found[0], "text", "")
    assert alike < len(WINDOWS), "answers depend on pictures"


def plain_loop(model: Any, ids: Sequence[int], inputs: Mapping[str, Any], ends: Sequence[int]) -> list[int]:
    """The most probable token each time, over the whole sequence each time, asked twice as long where it is cut."""
    said: list[int] = []
    while not said or (said[-1] not in ends and len(said) < 2 * MAX_TOKENS):
        tokens = torch.tensor([[*ids, *said]])
        kinds = {}
        if "mm_token_type_ids" in inputs:
            kinds = {"mm_token_type_ids": torch.tensor([[*inputs["mm_token_type_ids"], *[0] * len(said)]])}
        with torch.inference_mode():
            logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), **{**inputs, **kinds}).logits
        scores = logits[0, -1].clone()
        scores[model.generation_config.suppress_tokens] = -torch.inf
        said.append(int(scores.argmax()))
    return said


Parts = list[tuple[str | None, str]]
"""Special tokens, or none, each with the text after it, in which nothing is special."""
Media = tuple[Parts, dict[str, Any], str]
"""Parts of the frames, the network's other inputs, and what is said before the prompt."""

TURN = ([("<|im_start|>", "user\n")], [("<|im_end|>", "\n"), ("<|im_start|>", "assistant\n")])
SMOLVLM_TURN = ([("<|im_start|>", "User: ")], [("<end_of_utterance>", "\nAssistant:")])


def plain_inputs(name: str, family: Family, tokenizer: Any, given: CaptionInput) -> tuple[list[int], dict[str, Any]]:
    """Tokens of the prompt, and the network's other inputs."""
    media, inputs, words = MEDIA[name](family, given)
    before, after = SMOLVLM_TURN if name == "smolvlm" else TURN
    ids: list[int] = []
    text = ""
    for token, following in [*before, *media, (None, words + PROMPT), *after]:
        if token is not None:
            ids += [*plain(tokenizer, text), tokenizer.convert_tokens_to_ids(token)]
            text = ""
        text += following
    ids += plain(tokenizer, text)
    if (pad := inputs.get("mm_token_type_ids")) is not None:
        inputs["mm_token_type_ids"] = [2 * (each == pad) for each in ids]
    return ids, inputs


def plain(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text in which nothing is special; what looks special is a text of its own, as a marker divides it."""
    found: list[int] = []
    for piece in re.split(r"(<\|im_end\|>)", text):
        found += tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=True)
    return found


def qwen_media(family: Family, given: CaptionInput, texts: Sequence[str] | None) -> Media:
    made = family.pictures(list(given.images[::2]), return_tensors="pt")
    grid = made["image_grid_thw"]
    count = int(grid[0, 1] * grid[0, 2]) // 4
    frames: Parts = [("<|video_pad|>", "")] * count
    parts: Parts = [("<|vision_start|>", "" if texts is None else texts[0])]
    for number in range(len(grid)):
        if texts is None:
            parts += frames
        else:
            after = texts[number + 1] if number + 1 < len(grid) else ""
            parts += [("<|vision_start|>", ""), *frames, ("<|vision_end|>", after)]
    parts.append(("<|vision_end|>", ""))
    video = torch.tensor([[len(grid), *grid[0, 1:].tolist()]])
    pad = family.model.config.video_token_id
    inputs = {"pixel_values_videos": made["pixel_values"], "video_grid_thw": video, "mm_token_type_ids": pad}
    return parts, inputs, ""


def qwen2_5_media(family: Family, given: CaptionInput) -> Media:
    parts, inputs, words = qwen_media(family, given, None)
    return parts, {**inputs, "second_per_grid_ts": torch.tensor([0.4])}, words


def qwen3_media(family: Family, given: CaptionInput) -> Media:
    middles = [(first + second) / 2 for first, second in zip(given.times_s[::2], given.times_s[1::2], strict=True)]
    return qwen_media(family, given, [f"<{time:.1f} seconds>" for time in middles])


NUMBERS = {2: "two", 4: "four", 6: "six"}


def smolvlm_media(family: Family, given: CaptionInput) -> Media:
    """As the library's own chat template for videos has them."""
    made = family.pictures([list(given.images)], return_tensors="pt")
    count = NUMBERS[len(given.images)]
    length = f"0:00:{int(given.duration_s):02d} [H:MM:SS]"
    intro = f"You are provided the following series of {count} frames from a {length} video.\n"
    around = "<fake_token_around_image>"
    parts: Parts = [(None, intro)]
    for number, time in enumerate(given.times_s):
        is_last = number + 1 == len(given.images)
        parts += [
            (None, f"\nFrame from 00:{int(time):02d}:"),
            (around, ""),
            ("<global-img>", ""),
            *[("<image>", "")] * 4,
        ]
        parts.append((around, "\n\n" if is_last else ""))
    inputs = {name: made[name] for name in ("pixel_values", "pixel_attention_mask")}
    return parts, inputs, ""


def in_words(given: CaptionInput) -> str:
    times = ",".join(f"{time:.2f}s" for time in given.times_s)
    return (
        f"The video lasts for {given.duration_s:.2f} seconds, and {len(given.images)} frames are uniformly sampled "
        f"from it. These frames are located at {times}.\n"
    )


def internvl_media(family: Family, given: CaptionInput) -> Media:
    made = family.pictures(list(given.images), crop_to_patches=False, return_tensors="pt")["pixel_values"]
    parts: Parts = []
    for number in range(len(given.images)):
        last = "" if number + 1 == len(given.images) else f"\nFrame{number + 2}: "
        parts += [("<img>", ""), *[("<IMG_CONTEXT>", "")] * 4, ("</img>", last)]
    parts[-1] = (parts[-1][0], "\n")
    return [(None, "Frame1: "), *parts], {"pixel_values": made}, in_words(given)


def llava_onevision_media(family: Family, given: CaptionInput) -> Media:
    made = family.pictures(list(given.images), return_tensors="pt")["pixel_values"]
    parts: Parts = [("<video>", "")] * (4 * len(given.images) + 1)
    return parts, {"pixel_values_videos": made[None]}, in_words(given)


def llava_media(family: Family, given: CaptionInput) -> Media:
    made = family.pictures(list(given.images), return_tensors="pt")["pixel_values"]
    parts: Parts = []
    for time in given.times_s:
        parts += [(None, f"{time:.1f} s:"), *[("<image>", "")] * 16]
    return parts, {"pixel_values": made}, ""


MEDIA: Mapping[str, Callable[[Family, CaptionInput], Media]] = {
    "qwen2_5_vl": qwen2_5_media,
    "qwen3_vl": qwen3_media,
    "internvl": internvl_media,
    "llava_onevision": llava_onevision_media,
    "llava": llava_media,
    "smolvlm": smolvlm_media,
}
