"""The shot detection network, embedders, captioners and their interfaces; `stages.registry` lists the classes.

In: RGB frames, uint8. Out: shot change probabilities, vectors, captions. Networks are imported in the worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.models.captioner import Caption, Captioner, CaptionInput, replace_surrogates
from stages.models.embedder import Embedder, ModelIdentity, check_same_model, mean_pool
from stages.models.weights import file_hash, package_file

__all__ = [
    "Caption",
    "CaptionInput",
    "Captioner",
    "Embedder",
    "ModelIdentity",
    "check_same_model",
    "file_hash",
    "mean_pool",
    "nemo_detector_factory",
    "package_file",
    "padded_detector_factory",
    "replace_surrogates",
]

if TYPE_CHECKING:
    from stages.models.transnetv2 import nemo_detector_factory, padded_detector_factory
else:
    __getattr__ = lazy.module_getattr(__name__, transnetv2=("nemo_detector_factory", "padded_detector_factory"))
