"""Networks, and what an embedder and a captioner are. The classes that serve a name stand in `stages.registry`.

In: pictures, as uint8 RGB. Out: shot probabilities, vectors, texts. Networks are imported in the worker.
"""

from typing import TYPE_CHECKING

from stages import lazy
from stages.models.captioner import Captioner, Said, Shown, storable
from stages.models.embedder import Embedder, ModelIdentity, pooled, require_same
from stages.models.weights import file_hash, package_file

__all__ = [
    "Captioner",
    "Embedder",
    "ModelIdentity",
    "Said",
    "Shown",
    "file_hash",
    "nemo_detectors",
    "package_file",
    "padded_detectors",
    "pooled",
    "require_same",
    "storable",
]

if TYPE_CHECKING:
    from stages.models.transnetv2 import nemo_detectors, padded_detectors
else:
    __getattr__ = lazy.module_getattr(__name__, transnetv2=("nemo_detectors", "padded_detectors"))
