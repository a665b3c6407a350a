"""Queries as vectors in the space of the stored embeddings: of a text, a picture, a clip."""

import io
import os
from pathlib import Path

import numpy as np
import PIL
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from stages.errors import ParamsError
from stages.manifest import ManifestRef, load_commit
from stages.models import Embedder, TextEncoder, check_same_weights, construct, text_tower
from stages.params import EmbedParams
from stages.search.stored_vectors import StoredEmbeddings
from stages.stage import NodeInfo, WorkerMetadata
from stages.storage import Storage, normalize_location
from stages.tasks import Frames

DEFAULT_PX = 512
"""Longest side of a picture to search by, where the clips do not tell that of their stored ones."""
_PICTURE_ERRORS = (PIL.UnidentifiedImageError, PIL.Image.DecompressionBombError, OSError, ValueError, SyntaxError)


def worker() -> WorkerMetadata:
    """This process, as models are set up in it: on the CPU, with its cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return WorkerMetadata("search", NodeInfo("local", float(cores), 0.0), "cpu", cores)


class QueryModel:
    """The model that made stored vectors, to embed queries with.

    Args:
        storage: of the root.
        stored: the vectors.

    Raises:
        ParamsError: no commit tells how it was made, or its class cannot be imported.
    """

    def __init__(self, storage: Storage, stored: StoredEmbeddings) -> None:
        self._identity = stored.identity
        self._params = _params_of(storage, stored)
        self._embedder: Embedder = construct("embedder", self._params.embedder, self._params)
        self._is_set_up = False

    def text_encoder(self) -> TextEncoder | None:
        """Its text tower; None where it has none.

        Raises:
            ParamsError: there is one, and it cannot be loaded, or has other weights here.
        """
        found = text_tower(self._embedder, self._params, worker())
        if found is not None:
            check_same_weights(self._identity, self._embedder.identity())
        return found

    def of_picture(self, location: str, max_px: int | None) -> NDArray[np.float32]:
        """The vector of a picture file, as of a clip that shows it: float32 ``[D]``.

        Args:
            location: path or URL.
            max_px: longest side of stored pictures of clips, to which a larger one is scaled.

        Raises:
            ParamsError: there is no such file, it is no picture, or the model has other weights here.
        """
        picture = read_picture(location, max_px or DEFAULT_PX)
        if not self._is_set_up:
            check_same_weights(self._identity, self._embedder.identity())
            self._embedder.setup(worker())
            self._is_set_up = True
        return np.asarray(self._embedder.embed([Frames(np.zeros(1, np.int64), picture[None])])[0], np.float32)


def read_picture(location: str, max_px: int) -> NDArray[np.uint8]:
    """A picture file as uint8 ``[H, W, 3]``, RGB, upright, its longest side at most `max_px`.

    Raises:
        ParamsError: there is no such file, or it is no picture.
    """
    place = normalize_location(location)
    folder, _, name = place.rpartition("/")
    try:
        data = Storage(folder or "/").read_bytes(name)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ParamsError(f"--image must be a picture file, got {location}, which is not there.", "image") from error
    try:
        with PIL.Image.open(io.BytesIO(data)) as opened:
            picture = PIL.ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((max_px, max_px), PIL.Image.Resampling.LANCZOS)
    except _PICTURE_ERRORS as error:
        found = "another format" if isinstance(error, PIL.UnidentifiedImageError) else str(error)
        message = f"--image must be a JPEG, PNG, WebP or another picture, got {location}: {found}."
        raise ParamsError(message, "image") from error
    return np.asarray(picture, np.uint8)


def _params_of(storage: Storage, stored: StoredEmbeddings) -> EmbedParams:
    """The parameters of embed that the vectors were made with, by the commit that holds them."""
    for partition, number in sorted(stored.commits.items()):
        lineage = load_commit(storage, ManifestRef(storage.root, stored.table, partition), number).lineage
        identity = lineage.get("identity") or {}
        made_by = identity.get("model"), identity.get("weights_hash")
        if made_by == (stored.identity.model, stored.identity.weights_hash):
            known = {name: value for name, value in lineage["params"].items() if name in EmbedParams.model_fields}
            params = EmbedParams(**known)
            if params.reads_checkpoint and not Path(params.model).is_dir():
                return params.model_copy(update={"revision": stored.identity.weights_hash})
            return params
    raise ParamsError(
        f"No commit of {stored.table} under {storage.root} tells how {stored.identity.model} was made, which a text or "
        "picture must be embedded by. Search by --like, or run `curator run` again."
    )
