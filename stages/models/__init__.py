"""The shot detection network, embedders, captioners and their interfaces; `stages.registry` lists the classes.

In: RGB frames, uint8. Out: shot change probabilities, vectors, captions. Each name is imported on first access, so that
a network needs no more than its own libraries (`tests/gpu` runs them without pydantic, Ray and FFmpeg).
"""

from typing import TYPE_CHECKING

from stages import lazy

__all__ = [
    "PICTURES_ON_CPU",
    "PICTURES_ON_GPU",
    "SPEECH_BLOCK_S",
    "SPEECH_RATE_HZ",
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
    "SpeechDetector",
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
    "load_speech_network",
    "may_run_code_of",
    "mean_pool",
    "model_needs",
    "package_file",
    "put_question",
    "replace_surrogates",
    "sentence_model_folder",
    "shot_detector_factory",
    "speech_identity",
    "speech_weights",
    "text_tower",
    "trust_advice",
    "trusted_entries",
    "trusting",
]

if TYPE_CHECKING:
    from stages.models.brisque import Brisque
    from stages.models.captioner import Caption, Captioner, CaptionInput, replace_surrogates
    from stages.models.dtype import choose_dtype
    from stages.models.embedder import (
        PICTURES_ON_CPU,
        PICTURES_ON_GPU,
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
    from stages.models.silero import SPEECH_BLOCK_S, SPEECH_RATE_HZ, speech_identity, speech_weights
    from stages.models.speech_detector import SpeechDetector, load_speech_network
    from stages.models.text_reader import TextBox, TextReader
    from stages.models.text_towers import TextEncoder, check_same_weights, text_tower
    from stages.models.transnetv2 import shot_detector_factory
    from stages.models.trust import TRUST_VARIABLE, may_run_code_of, trust_advice, trusted_entries, trusting
    from stages.models.weights import file_hash, package_file
    from stages.models.yes_no import put_question
else:
    __getattr__ = lazy.module_getattr(
        __name__,
        brisque=("Brisque",),
        captioner=("Caption", "Captioner", "CaptionInput", "replace_surrogates"),
        dtype=("choose_dtype",),
        embedder=(
            "PICTURES_ON_CPU",
            "PICTURES_ON_GPU",
            "BatchedEmbedder",
            "Embedder",
            "ModelIdentity",
            "check_same_model",
            "encoding_key",
            "mean_pool",
        ),
        linear_head=("LinearHead",),
        needs=("ModelNeed", "fetch_models", "model_needs"),
        nsfw=("NsfwClassifier",),
        plugins=("construct",),
        sentence_encoder=("SentenceEncoder", "sentence_model_folder"),
        speech_detector=("SpeechDetector", "load_speech_network"),
        silero=("SPEECH_BLOCK_S", "SPEECH_RATE_HZ", "speech_identity", "speech_weights"),
        text_reader=("TextBox", "TextReader"),
        text_towers=("TextEncoder", "check_same_weights", "text_tower"),
        transnetv2=("shot_detector_factory",),
        trust=("TRUST_VARIABLE", "may_run_code_of", "trust_advice", "trusted_entries", "trusting"),
        weights=("file_hash", "package_file"),
        yes_no=("put_question",),
    )
