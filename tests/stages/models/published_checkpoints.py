"""Tiny folders of the interfaces that Cosmos-Embed1 and InternVideo2 publish: code, settings and weights."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.stages.models.text_checkpoints import save_tokenizer

SIDE, FRAMES, WIDTH = 8, 4, 6
CLIP_MEAN, CLIP_STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)

COSMOS_CONFIG = """
from transformers import PretrainedConfig

class CosmosEmbed1Config(PretrainedConfig):
    model_type = "cosmos-embed1"

    def __init__(self, embed_dim=6, vocab_size=32, **kwargs):
        super().__init__(**kwargs)
        self.embed_dim, self.vocab_size = embed_dim, vocab_size
"""
COSMOS_MODEL = """
from dataclasses import dataclass
import torch
from transformers import PreTrainedModel
from transformers.modeling_utils import (
    apply_chunking_to_forward, find_pruneable_heads_and_indices, prune_linear_layer)
from .configuration_embed1 import CosmosEmbed1Config

@dataclass
class Output:
    visual_proj: torch.Tensor = None
    text_proj: torch.Tensor = None

class CosmosEmbed1(PreTrainedModel):
    config_class = CosmosEmbed1Config

    def __init__(self, config):
        super().__init__(config)
        rates = [each.item() for each in torch.linspace(0, 0.1, 3)]  # as the published code does
        self.visual = torch.nn.Linear(3 * len(rates) - 6, config.embed_dim)
        self.words = torch.nn.Embedding(config.vocab_size, config.embed_dim)

    def get_video_embeddings(self, videos):
        assert self.get_head_mask(None, 2) == [None, None]
        time = torch.arange(1, videos.shape[1] + 1, dtype=videos.dtype)
        pooled = (videos.mean((-1, -2)) * time[None, :, None]).mean(1)
        return Output(visual_proj=torch.nn.functional.normalize(self.visual(pooled), dim=-1))

    def word_vectors(self, input_ids):
        return self.words(input_ids)

    def get_text_embeddings(self, input_ids, attention_mask=None):
        found = apply_chunking_to_forward(self.word_vectors, 0, 1, input_ids) * attention_mask[..., None]
        return Output(text_proj=torch.nn.functional.normalize(found.sum(1), dim=-1))
"""
COSMOS_PROCESSOR = """
import torch
from transformers import BatchFeature, ProcessorMixin

class CosmosEmbed1Processor(ProcessorMixin):
    attributes = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"

    def __init__(self, tokenizer=None, resolution=8, num_video_frames=4, max_txt_len=12, **kwargs):
        super().__init__(tokenizer=tokenizer)
        self.resolution, self.num_video_frames, self.max_txt_len = resolution, num_video_frames, max_txt_len

    def __call__(self, videos=None, text=None, return_tensors=None):
        found = {}
        if videos is not None:
            pixels = torch.as_tensor(videos).float() / 255
            batch, time = pixels.shape[:2]
            pixels = torch.nn.functional.interpolate(pixels.flatten(0, 1), (self.resolution, self.resolution))
            mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (MEAN, STD))
            found["videos"] = ((pixels - mean) / std).unflatten(0, (batch, time))
        if text is not None:
            found.update(self.tokenizer(
                text, padding="max_length", truncation=True, max_length=self.max_txt_len, return_tensors="pt"))
            found.pop("token_type_ids", None)
        return BatchFeature(found, tensor_type=return_tensors)
"""
INTERN_MODEL = """
import json
from types import SimpleNamespace
import torch
from transformers import PretrainedConfig, PreTrainedModel

class InternVideo2Config(PretrainedConfig):
    model_type = "internvideo2"

class InternVideo2_Stage2(PreTrainedModel):
    config_class = InternVideo2Config

    def __init__(self, config):
        super().__init__(config)
        with open("configs/words.json") as file:
            self._config = SimpleNamespace(device="cuda", words=json.load(file))
        self.vision_proj = torch.nn.Linear(3, 6)
        self.text_proj = torch.nn.Embedding(len(self._config.words), 6)

    def get_vid_feat(self, frames):
        time = torch.arange(1, frames.shape[1] + 1, dtype=frames.dtype)
        found = self.vision_proj((frames.mean((-1, -2)) * time[None, :, None]).mean(1, keepdim=True))
        return found / found.norm(dim=-1, keepdim=True)

    def get_txt_feat(self, text):
        known = [self._config.words.index(word) for word in text.split() if word in self._config.words]
        found = self.text_proj(torch.tensor(known, device=self._config.device)).sum(0, keepdim=True)
        return found / found.norm(dim=-1, keepdim=True)
"""


def drawn(*shape: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def save_cosmos(folder: Path) -> dict[str, NDArray[np.float32]]:
    """A Cosmos-Embed1; returns its weights."""
    folder.mkdir(parents=True)
    vocabulary = save_tokenizer(folder)
    (folder / "configuration_embed1.py").write_text(COSMOS_CONFIG)
    (folder / "modeling_embed1.py").write_text(COSMOS_MODEL)
    (folder / "preprocessing_embed1.py").write_text(f"MEAN, STD = {CLIP_MEAN}, {CLIP_STD}\n{COSMOS_PROCESSOR}")
    auto_map = {"AutoConfig": "configuration_embed1.CosmosEmbed1Config", "AutoModel": "modeling_embed1.CosmosEmbed1"}
    config = {"model_type": "cosmos-embed1", "auto_map": auto_map, "embed_dim": WIDTH, "vocab_size": vocabulary}
    (folder / "config.json").write_text(json.dumps(config))
    processor = {"auto_map": {"AutoProcessor": "preprocessing_embed1.CosmosEmbed1Processor"}}
    processor |= {"resolution": SIDE, "num_video_frames": FRAMES, "max_txt_len": 12}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    weights = {
        "visual.weight": drawn(WIDTH, 3, seed=1),
        "visual.bias": drawn(WIDTH, seed=2),
        "words.weight": drawn(vocabulary, WIDTH, seed=3),
    }
    save_file(weights, folder / "model.safetensors")
    return weights


INTERN_WORDS = ["a", "dog", "runs", "car"]


def save_internvideo(folder: Path) -> dict[str, NDArray[np.float32]]:
    """An InternVideo2, which opens a file of its folder by relative path; returns its weights."""
    (folder / "configs").mkdir(parents=True)
    (folder / "modeling_internvideo2.py").write_text(INTERN_MODEL)
    (folder / "configs" / "words.json").write_text(json.dumps(INTERN_WORDS))
    config = {"model_type": "internvideo2", "auto_map": {"AutoModel": "modeling_internvideo2.InternVideo2_Stage2"}}
    (folder / "config.json").write_text(json.dumps({**config, "num_frames": FRAMES, "image_res": SIDE}))
    weights = {
        "vision_proj.weight": drawn(WIDTH, 3, seed=4),
        "vision_proj.bias": drawn(WIDTH, seed=5),
        "text_proj.weight": drawn(len(INTERN_WORDS), WIDTH, seed=6),
    }
    save_file(weights, folder / "model.safetensors")
    return weights
