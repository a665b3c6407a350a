"""Small random checkpoints of networks of texts, with tokenizers that know some words."""

import json
from pathlib import Path

WORDS = ("a", "the", "dog", "cat", "runs", "sleeps", "on", "grass", "sofa", "red", "car", "drives", "fast", "street")
WORDS += ("water", "glass", "is", "poured", "into")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def save_tokenizer(folder: Path) -> int:
    """A tokenizer of whole words in this folder; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": value for name, value in names.items()}
    )
    wrapped.save_pretrained(folder)
    return len(vocabulary)


def save_sentence_model(folder: Path) -> Path:
    """A BERT in the layout of sentence-transformers."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    size = save_tokenizer(folder)
    transformers.set_seed(3)
    config = transformers.BertConfig(
        vocab_size=size, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).eval().save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12, "do_lower_case": False}))
    return folder


VISION = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_clip(folder: Path, seed: int = 1) -> Path:
    """A CLIP with its image processor and tokenizer."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    size = save_tokenizer(folder)
    transformers.set_seed(seed)
    text = {**TEXT, "vocab_size": size, "max_position_embeddings": 10, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**VISION, "patch_size": 8, "image_size": 32}, projection_dim=24
    )
    transformers.CLIPModel(config).eval().save_pretrained(folder)
    square = {"height": 32, "width": 32}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square).save_pretrained(folder)
    return folder


def save_siglip(folder: Path) -> Path:
    """A SigLIP, likewise."""
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    size = save_tokenizer(folder)
    transformers.set_seed(2)
    text = {**TEXT, "vocab_size": size, "max_position_embeddings": 9, "pad_token_id": 0, "eos_token_id": 3}
    config = transformers.SiglipConfig(text_config=text, vision_config={**VISION, "patch_size": 8, "image_size": 32})
    transformers.SiglipModel(config).eval().save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    square = {"height": 32, "width": 32}
    transformers.SiglipImageProcessorPil(size=square, image_mean=half, image_std=half).save_pretrained(folder)
    return folder
