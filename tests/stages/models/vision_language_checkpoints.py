"""Small random checkpoints of vision-language models, one a family, with a tokenizer and a chat template.

Their words are noise. Many tokens end an answer, so that answers end at lengths of their own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

SPECIAL = (
    *("<pad>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    *("<image>", "<video>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    *("<img>", "</img>", "<IMG_CONTEXT>"),
)
ENDS = (SPECIAL.index("<|im_end|>"),)
"""Special tokens that may be said: a network that says pictures would be shown none."""
CORPUS = ("Describe the video in one sentence.", "Yes No yes no", "The camera moves slowly over a red square.") * 3
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'video' %}VIDEO{% elif c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NORM = {"image_mean": [0.5, 0.4, 0.5], "image_std": [0.5, 0.5, 0.4], "do_rescale": True, "do_normalize": True}
QWEN_TOKENS = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT |= {"num_key_value_heads": 2, "max_position_embeddings": 2048}
VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"image_size": 32, "patch_size": 8}
MEDIA = {"video": "<video>", "image": "<image>"}


def library() -> Any:
    """Importing it takes seconds, in each process that runs tests."""
    import transformers

    return transformers


class Family(NamedTuple):
    """What is saved of a model.

    Attributes:
        model: with random weights.
        processor: settings of its processor, with its class.
        pictures: its processor of pictures, by Pillow.
        videos: settings of its processor of videos; empty where it has none.
        tokens: named tokens of the tokenizer.
        media: what the chat template writes for a video and for a picture.
    """

    model: Any
    processor: Mapping[str, Any]
    pictures: Any
    videos: Mapping[str, Any]
    tokens: Mapping[str, str]
    media: Mapping[str, str]


def qwen2_5_vl(ids: Mapping[str, int]) -> Family:
    transformers = library()
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4}
    vision |= {"window_size": 16, "fullatt_block_indexes": [1], "out_hidden_size": 32, "tokens_per_second": 2}
    text = {**TEXT, "vocab_size": len(ids), "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **qwen_ids(ids))
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    return Family(model, {"processor_class": "Qwen2_5_VLProcessor"}, *qwen_media("Qwen2VL", 4), QWEN_TOKENS, QWEN_MEDIA)


def qwen3_vl(ids: Mapping[str, int]) -> Family:
    transformers = library()
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 4}
    vision |= {"out_hidden_size": 32, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    text = {**TEXT, "vocab_size": len(ids), "head_dim": 8, "rope_parameters": rope}
    config = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **qwen_ids(ids))
    model = transformers.Qwen3VLForConditionalGeneration(config)
    return Family(model, {"processor_class": "Qwen3VLProcessor"}, *qwen_media("Qwen3VL", 4), QWEN_TOKENS, QWEN_MEDIA)


QWEN_MEDIA = {
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
}


def qwen_ids(ids: Mapping[str, int]) -> dict[str, int]:
    named = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    named |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {name: ids[token] for name, token in named.items()}


def qwen_media(kind: str, patch: int) -> tuple[Any, Mapping[str, Any]]:
    transformers = library()
    sizes = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2}
    pictures = transformers.Qwen2VLImageProcessorPil(**NORM, **sizes, size={"shortest_edge": 64, "longest_edge": 1024})
    videos = {"video_processor_type": f"{kind}VideoProcessor", **NORM, **sizes, "resample": 3, "do_resize": True}
    if kind == "Qwen2VL":  # counts the pixels of one frame
        return pictures, {**videos, "size": {"shortest_edge": 64, "longest_edge": 1024}}
    # Qwen3-VL counts those of all; of one it takes as many as 16 tokens are, 1024.
    return pictures, {**videos, "size": {"shortest_edge": 64, "longest_edge": 8 * 1024}, "max_video_tokens": 16}


def smolvlm(ids: Mapping[str, int]) -> Family:
    transformers = library()
    text = {**TEXT, "vocab_size": len(ids), "model_type": "llama"}
    config = transformers.SmolVLMConfig(
        text_config=text, vision_config=VISION, scale_factor=2, image_token_id=ids["<image>"], pad_token_id=0
    )
    sizes = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}, "resample": 1, "do_resize": True}
    pictures = transformers.SmolVLMImageProcessorPil(**NORM, **sizes, do_image_splitting=False, do_pad=True)
    videos: dict[str, Any] = {"video_processor_type": "SmolVLMVideoProcessor", **NORM, **sizes, "do_pad": True}
    videos["video_sampling"] = {"max_frames": 64, "fps": 1, "video_size": {"longest_edge": 64}}
    processor = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    return Family(transformers.SmolVLMForConditionalGeneration(config), processor, pictures, videos, {}, MEDIA)


def internvl(ids: Mapping[str, int]) -> Family:
    transformers = library()
    text = {**TEXT, "vocab_size": len(ids), "model_type": "qwen2"}
    config = transformers.InternVLConfig(
        text_config=text, vision_config=VISION, image_token_id=ids["<IMG_CONTEXT>"], image_seq_length=4
    )
    size = {"size": {"height": 32, "width": 32}, "resample": 3, "do_resize": True}
    pictures = transformers.GotOcr2ImageProcessorPil(**NORM, **size, crop_to_patches=False)
    videos = {"video_processor_type": "InternVLVideoProcessor", **NORM, **size}
    tokens = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    processor = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    media = {"video": "<video>\n", "image": "<IMG_CONTEXT>\n"}
    model = transformers.InternVLForConditionalGeneration(config)
    return Family(model, processor, pictures, videos, {**tokens, "video_token": "<video>"}, media)


def llava_onevision(ids: Mapping[str, int]) -> Family:
    transformers = library()
    text = {**TEXT, "vocab_size": len(ids), "model_type": "qwen2"}
    vision = {**VISION, "model_type": "siglip_vision_model", "vision_use_head": False}
    config = transformers.LlavaOnevisionConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=[[32, 32]],
    )
    size = {"size": {"height": 32, "width": 32}, "resample": 3, "do_resize": True}
    pictures = transformers.SiglipImageProcessorPil(**NORM, **size)  # what it does with a frame, without its grids
    videos = {"video_processor_type": "LlavaOnevisionVideoProcessor", **NORM, **size}
    processor = {"processor_class": "LlavaOnevisionProcessor", "num_image_tokens": 16}
    processor["vision_feature_select_strategy"] = "full"
    model = transformers.LlavaOnevisionForConditionalGeneration(config)
    return Family(model, processor, pictures, videos, {}, MEDIA)


def llava(ids: Mapping[str, int]) -> Family:
    """A model of pictures, which has no processor of videos."""
    transformers = library()
    text = {**TEXT, "vocab_size": len(ids), "model_type": "llama"}
    vision = {**VISION, "model_type": "clip_vision_model"}
    config = transformers.LlavaConfig(
        text_config=text, vision_config=vision, image_token_index=ids["<image>"], image_seq_length=16
    )
    square = {"height": 32, "width": 32}
    pictures = transformers.CLIPImageProcessorPil(**NORM, size={"shortest_edge": 32}, crop_size=square)
    processor = {"processor_class": "LlavaProcessor", "patch_size": 8, "num_additional_image_tokens": 1}
    processor["vision_feature_select_strategy"] = "default"
    return Family(transformers.LlavaForConditionalGeneration(config), processor, pictures, {}, {}, MEDIA)


def make_checkpoint(folder: Path, make: Any) -> Family:
    """Save a checkpoint of a family; returns what it was made of, the model in evaluation mode."""
    import torch

    transformers = library()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    ids = tokenizer.get_vocab()
    transformers.set_seed(5)
    family = make(ids)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for weights in family.model.parameters():
            if weights.ndim > 1:  # what the library draws is so small that all pictures have one answer
                weights.normal_(0, 0.25, generator=generator)
    family.model.generation_config.eos_token_id = [ids["<|im_end|>"], *range(len(SPECIAL), len(ids), 6)]
    family.model.generation_config.suppress_tokens = [number for number in range(len(SPECIAL)) if number not in ENDS]
    family.model.generation_config.pad_token_id = ids["<pad>"]
    family.model.eval().save_pretrained(folder)
    named = {"pad_token": "<pad>", "eos_token": "<|im_end|>", **family.tokens}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    family.pictures.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps(family.processor))
    if family.videos:
        (folder / "video_preprocessor_config.json").write_text(json.dumps(family.videos))
    template = TEMPLATE.replace("VIDEO", family.media["video"]).replace("IMAGE", family.media["image"])
    (folder / "chat_template.jinja").write_text(template)
    return family


def make_tokenizer() -> Any:
    """A byte-level tokenizer with a few merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE

    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer
