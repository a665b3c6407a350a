"""The shot detection network, embedders, captioners and their interfaces; `stages.registry` lists the classes.

In: RGB frames, uint8. Out: shot change probabilities, vectors, captions. Networks are imported in the worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.models.brisque import Brisque
from stages.models.captioner import Caption, Captioner, CaptionInput, replace_surrogates
from stages.models.dtype import choose_dtype
from stages.models.embedder import (
    BatchedEmbedder,
    Embedder,
    ModelIdentity,
    check_same_model,
    encoding_key,
    mean_pool,
)
from stages.models.linear_head import LinearHead
from stages.models.needs import ModelNeed, fetch_models, model_needs
from stages.models.nsfw import NsfwClassifier
from stages.models.plugins import construct
from stages.models.sentence_encoder import SentenceEncoder, sentence_model_folder
from stages.models.text_reader import TextBox, TextReader
from stages.models.text_towers import TextEncoder, check_same_weights, text_tower
from stages.models.trust import TRUST_VARIABLE, may_run_code_of, trust_advice, trusted_entries, trusting
from stages.models.weights import file_hash, package_file

__all__ = [
    "TRUST_VARIABLE",
    "BatchedEmbedder",
    "Brisque",
    "Caption",
    "CaptionInput",
    "Captioner",
    "Embedder",
    "LinearHead",
    "ModelIdentity",
    "ModelNeed",
    "NsfwClassifier",
    "SentenceEncoder",
    "TextBox",
    "TextEncoder",
    "TextReader",
    "check_same_model",
    "check_same_weights",
    "choose_dtype",
    "construct",
    "encoding_key",
    "fetch_models",
    "file_hash",
    "may_run_code_of",
    "mean_pool",
    "model_needs",
    "nemo_detector_factory",
    "package_file",
    "padded_detector_factory",
    "replace_surrogates",
    "sentence_model_folder",
    "text_tower",
    "trust_advice",
    "trusted_entries",
    "trusting",
]

if TYPE_CHECKING:
    from stages.models.transnetv2 import nemo_detector_factory, padded_detector_factory
else:
    __getattr__ = lazy.module_getattr(__name__, transnetv2=("nemo_detector_factory", "padded_detector_factory"))
