"""Caption real clips by small models through every captioner, and count the tokens that large ones would take.

    PYTHONPATH=. python benchmarks/captioners.py paths WORK VIDEO... [--server "COMMAND {model} {port}"] [--served ...]
    PYTHONPATH=. python benchmarks/captioners.py tokens VIDEO... [--price-input 0.2 --price-output 0.6]

``paths`` makes small random checkpoints, so that the words are noise: what is shown is that the embedded one, each
family in process, a server that is started before, and one of the workers where CURATOR_VLLM names one, answer for
ten clips, with tokens counted.
``tokens`` shows the pictures of each window to processors with the settings of models that are in use.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from statistics import mean
from typing import Any

import av
import numpy as np
import transformers
from numpy.typing import NDArray

from stages.manifest import ManifestRef, read_manifest
from stages.media import evenly_spaced_indices
from stages.models.checkpoints import Checkpoint
from stages.models.managed_server import VLLM_VARIABLE, ManagedServer, Served
from stages.models.vision_language_inputs import WindowProcessor
from stages.params import CaptionParams, ExecutorParams, FilterParams, ReadParams, SplitParams
from stages.run import open_session
from stages.sources import list_sources, register_sources
from stages.storage import Storage
from tests.stages.models.vision_language_checkpoints import (
    MEDIA,
    QWEN_MEDIA,
    QWEN_TOKENS,
    TEMPLATE,
    TEXT,
    Family,
    internvl,
    llava,
    llava_onevision,
    make_checkpoint,
    make_tokenizer,
    qwen2_5_vl,
    qwen3_vl,
    qwen_ids,
    qwen_media,
    smolvlm,
)

WINDOW_S, MAX_FRAMES, MAX_PX = 10.0, 8, 448
DECIDES_NOT = ["repetitive", "wrong_language", "control_characters", "wrong_length", "near_duplicate"]
"""Reasons for which noise is rejected."""


def qwen2_5_vl_wide(ids: Mapping[str, int]) -> Family:
    """As `qwen2_5_vl`, with a head of 64 values: vLLM's attention on a CPU takes no smaller one than 32."""
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4}
    vision |= {"window_size": 16, "fullatt_block_indexes": [1], "out_hidden_size": 64, "tokens_per_second": 2}
    rope = {"rope_type": "default", "mrope_section": [8, 12, 12]}
    text = {**TEXT, "hidden_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1, "rope_parameters": rope}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, "vocab_size": len(ids)}, vision_config=vision, **qwen_ids(ids)
    )
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    return Family(model, {"processor_class": "Qwen2_5_VLProcessor"}, *qwen_media("Qwen2VL", 4), QWEN_TOKENS, QWEN_MEDIA)


IN_PROCESS = {make.__name__: make for make in (qwen2_5_vl, qwen3_vl, smolvlm, internvl, llava_onevision, llava)}
FAMILIES = {**IN_PROCESS, "qwen2_5_vl_wide": qwen2_5_vl_wide}
SERVED = "llava"
"""Takes pictures alone, so that a server needs no torchvision for it."""
PROMPT = "Describe what happens in this video clip in one or two plain sentences."
ANSWER_TOKENS = 80
"""Of a caption of two or three sentences."""


def caption_by_each(root: str, names: Sequence[str], work: Path, families: Sequence[str]) -> None:
    """Print the captions of the clips by the captioner that is no model, and by those in process."""
    print("| captioner | windows | kept | prompt tokens | tokens |")
    show(root, names, "measured", captioner="measured")
    for family in families:
        folder = checkpoint(work, family)
        show(root, names, f"in process, {family}", captioner="transformers", model=str(folder))


def caption_by_servers(root: str, names: Sequence[str], folder: Path, server: str) -> None:
    """Print the captions of the clips by a server of the workers, and by one that is started before."""
    if VLLM_VARIABLE in os.environ:
        show(root, names, f"managed server, {folder.name}", captioner="vllm", model=str(folder))
    if server:
        os.environ[VLLM_VARIABLE] = server
        started = ManagedServer(Served(str(folder), folder))
        try:
            url = started.base_url
            show(root, names, f"server, {folder.name}", captioner="openai", model=str(folder), base_url=url)
        finally:
            started.close()


def checkpoint(work: Path, family: str) -> Path:
    """The folder of a small checkpoint, which is made where it is not there."""
    folder = work / family
    if not folder.exists():
        make_checkpoint(folder, FAMILIES[family])
    return folder


def filtered_clips(work: Path, videos: Sequence[Path], num_clips: int) -> tuple[str, list[str]]:
    """Curate videos up to filtered_clips, of which so many are kept; the root and its partitions."""
    source, root = work / "in", str(work / "out")
    source.mkdir(parents=True)
    for video in videos:
        shutil.copy(video, source)
    names = register_sources(Storage(root), list_sources(str(source), ReadParams()), ReadParams(exact_copies=False))
    split = SplitParams(method="fixed_stride", clip_length_s=4)
    steps = [("videos", ReadParams(exact_copies=False)), ("clips", split)]
    before: dict[str, list[ManifestRef]] = {}
    with open_session(ExecutorParams(mode="local")) as session:
        for asset, params in [*steps, ("filtered_clips", FilterParams(filters=["duration"]))]:
            outputs = [ManifestRef(root, asset, name) for name in names]
            session.run_phase(params, before, outputs)
            before = {asset: outputs}
    found = len(read_manifest(root, "filtered_clips"))
    assert found >= num_clips, f"more videos must be given, got {found} clips"
    return root, names


def show(root: str, names: Sequence[str], title: str, **params: Any) -> None:
    inputs = {"filtered_clips": [ManifestRef(root, "filtered_clips", name) for name in names]}
    outputs = [ManifestRef(root, "captions", name) for name in names]
    with open_session(ExecutorParams(mode="local")) as session:
        session.run_phase(
            CaptionParams(max_tokens=24, max_failed_fraction=1, score_only=DECIDES_NOT, **params), inputs, outputs
        )
    rows = read_manifest(root, "captions").to_pylist()
    reasons = Counter(row["reason"] or "kept" for row in rows)
    prompt, said = (sum(row[name] or 0 for row in rows) for name in ("prompt_tokens", "tokens"))
    print(f"| {title} | {len(rows)} | {dict(reasons)} | {prompt} | {said} |")
    for row in rows[:3]:
        print(f"    {(row['caption'] or row['error'] or '')[:100]!r}", flush=True)


def real_settings(folder: Path) -> dict[str, WindowProcessor]:
    """Processors of models in use, without their weights.

    Sizes of SmolVLM2, InternVL3 and LLaVA-OneVision are from memory; those of Qwen are the library's defaults.
    """
    smol = {"size": {"longest_edge": 1536}, "max_image_size": {"longest_edge": 384}, "resample": 1, "do_resize": True}
    smol_videos = {**smol, "video_processor_type": "SmolVLMVideoProcessor", "do_pad": True}
    smol_videos["video_sampling"] = {"max_frames": 64, "fps": 1, "video_size": {"longest_edge": 384}}
    square = {"size": {"height": 448, "width": 448}, "do_resize": True}
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    patches = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    pictures = transformers.Qwen2VLImageProcessorPil
    made = {
        "Qwen2.5-VL": (
            transformers.Qwen2_5_VLConfig(),
            {"processor_class": "Qwen2_5_VLProcessor"},
            pictures(),
            {"video_processor_type": "Qwen2VLVideoProcessor"},
            {},
            QWEN_MEDIA,
        ),
        "Qwen3-VL": (
            transformers.Qwen3VLConfig(),
            {"processor_class": "Qwen3VLProcessor"},
            pictures(**patches),
            {"video_processor_type": "Qwen3VLVideoProcessor"},
            {},
            QWEN_MEDIA,
        ),
        "SmolVLM2 2.2B": (
            transformers.SmolVLMConfig(),
            {"processor_class": "SmolVLMProcessor", "image_seq_len": 81},
            transformers.SmolVLMImageProcessorPil(**smol),
            smol_videos,
            {},
            MEDIA,
        ),
        "InternVL3": (
            transformers.InternVLConfig(),
            {"processor_class": "InternVLProcessor", "image_seq_length": 256},
            transformers.GotOcr2ImageProcessorPil(**square),
            {"video_processor_type": "InternVLVideoProcessor", **square},
            {**named, "video_token": "<video>"},
            {"video": "<video>\n", "image": "<IMG_CONTEXT>\n"},
        ),
        "LLaVA-OneVision": (
            transformers.LlavaOnevisionConfig(),
            {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 729},
            transformers.LlavaOnevisionImageProcessorPil(),
            {"video_processor_type": "LlavaOnevisionVideoProcessor"},
            {},
            MEDIA,
        ),
    }
    return {name: processor(folder / str(number), *parts) for number, (name, parts) in enumerate(made.items())}


def processor(
    folder: Path,
    config: Any,
    settings: Mapping[str, Any],
    pictures: Any,
    videos: Mapping[str, Any],
    tokens: Mapping[str, str],
    media: Mapping[str, str],
) -> WindowProcessor:
    config.save_pretrained(folder)
    pictures.save_pretrained(folder)
    ends = {"pad_token": "<pad>", "eos_token": "<|im_end|>"}
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=make_tokenizer(), **ends, **tokens)
    made.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(settings))
    (folder / "video_preprocessor_config.json").write_text(json.dumps(videos))
    template = TEMPLATE.replace("VIDEO", media["video"]).replace("IMAGE", media["image"])
    (folder / "chat_template.jinja").write_text(template)
    return WindowProcessor(Checkpoint(str(folder), "", folder, "caption.model"))


def windows(video: Path) -> list[NDArray[np.uint8]]:
    """The pictures of each whole window of a video, as the frame store has them: two a second, 448 px."""
    found: list[list[NDArray[np.uint8]]] = []
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        due = Fraction(0)
        for frame in container.decode(stream):
            if frame.time is None or Fraction(frame.time) < due:
                continue
            due += Fraction(1, 2)
            number = int(frame.time / WINDOW_S)
            while len(found) <= number:
                found.append([])
            share = min(1.0, MAX_PX / max(frame.width, frame.height))
            width, height = (2 * round(side * share / 2) for side in (frame.width, frame.height))
            found[number].append(frame.reformat(width, height, format="rgb24").to_ndarray())
    whole = [each for each in found if len(each) >= MAX_FRAMES]
    return [np.stack([each[place] for place in evenly_spaced_indices(len(each), MAX_FRAMES)]) for each in whole]


def count_tokens(videos: Sequence[Path], price_input: float, price_output: float) -> None:
    """Print tokens of a window and the cost of 1,000, by model."""
    shown = [window for video in videos for window in windows(video)]
    times = [(number + 0.5) * WINDOW_S / MAX_FRAMES for number in range(MAX_FRAMES)]
    sizes = sorted({window.shape[1:3] for window in shown})
    print(f"{len(shown)} windows of {len(videos)} videos, {MAX_FRAMES} pictures each, of the sizes {sizes}")
    print("| model | prompt tokens of a window: mean, least, most | of them text | of 1,000 windows |")
    with tempfile.TemporaryDirectory() as folder:
        for name, made in real_settings(Path(folder)).items():
            prepared = [made.prepare(window, times, WINDOW_S, PROMPT) for window in shown]
            counts = [each.num_tokens for each in prepared]
            ids = prepared[0].text["input_ids"][0].tolist()
            most_common = max(set(ids), key=ids.count)
            text = len(ids) - ids.count(most_common)
            cost = (mean(counts) * price_input + ANSWER_TOKENS * price_output) / 1000
            print(f"| {name} | {mean(counts):.0f}, {min(counts)}, {max(counts)} | {text} | {cost:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    paths = commands.add_parser("paths")
    paths.add_argument("work", type=Path)
    paths.add_argument("videos", type=Path, nargs="+")
    paths.add_argument("--clips", type=int, default=10)
    paths.add_argument("--server", default="", help="command line of a server, with {model} and {port}")
    paths.add_argument("--served", default=SERVED, choices=FAMILIES, help="what servers are given")
    paths.add_argument("--families", nargs="*", default=[*IN_PROCESS], choices=FAMILIES, help="what runs in process")
    tokens = commands.add_parser("tokens")
    tokens.add_argument("videos", type=Path, nargs="+")
    tokens.add_argument("--price-input", type=float, default=0.2)
    tokens.add_argument("--price-output", type=float, default=0.6)
    arguments = parser.parse_args()
    if arguments.command == "paths":
        root, names = filtered_clips(arguments.work, arguments.videos, arguments.clips)
        caption_by_each(root, names, arguments.work, arguments.families)
        caption_by_servers(root, names, checkpoint(arguments.work, arguments.served), arguments.server)
    else:
        count_tokens(arguments.videos, arguments.price_input, arguments.price_output)


if __name__ == "__main__":
    main()
