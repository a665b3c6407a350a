"""An embedder behind an HTTP server that speaks OpenAI's embeddings with pictures in messages, as vLLM's does.

Light to import; the HTTP client is loaded in the worker.
"""

import base64
import io
import itertools
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages import lazy
from stages.errors import ParamsError, Reason, StageError
from stages.models.api_key import key_headers
from stages.models.embedder import ModelIdentity, mean_pool
from stages.params import EMBED_API_KEY_VARIABLE, EmbedParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed, Frames

JPEG_QUALITY = 95


class OpenAIEmbedder:
    """The mean over a clip's pictures of the vectors that a server gives, one request a picture.

    Requests of all batches share one client: what may pass is tried again as often and after such waits as
    `executor.max_tries` and `executor.backoff_s` say. A clip that fails does not affect others.
    """

    waits_for_server = True

    def __init__(self, params: EmbedParams) -> None:
        if not params.model:
            raise ParamsError(
                "embed.model must be the name of a model on the server where embed.embedder is 'openai', got ''. Ask "
                "BASE_URL/models.",
                "embed.model",
            )
        self._params = params
        self._url = f"{params.base_url.rstrip('/')}/embeddings"
        self._request: Any = None
        self._server: Any = None

    def identity(self) -> ModelIdentity:
        """The model's name on the server; the hash is empty, since the server does not identify its weights."""
        return ModelIdentity(f"{self._params.model}/mean", "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Read the API key from the worker's environment, and make the client.

        Raises:
            ParamsError: the extra ``servers`` is not installed, or the key is none that can be sent.
        """
        wanted_by = "Embedder 'openai' (extra 'servers')"
        headers = key_headers(os.environ.get(EMBED_API_KEY_VARIABLE), EMBED_API_KEY_VARIABLE)
        self._request = lazy.load("stages.models.embedding_answer:read_embedding", wanted_by=wanted_by)
        self._server = lazy.load("stages.models.json_server:JsonServer", wanted_by=wanted_by)(
            self._url,
            headers,
            requests_in_flight=self._params.requests_in_flight,
            timeout_s=self._params.request_timeout_s,
        )

    def embed(self, clips: Sequence[Frames]) -> list[NDArray[np.float32] | Failed]:
        """One vector per clip, float32 ``[D]``, unit length, or its failure. May be called by several threads."""
        if self._server is None:
            raise RuntimeError("setup must be called before embed.")
        requests = [self._request(self._url, self._body(image)) for clip in clips for image in clip.images]
        answers = iter(self._server.post_all(requests))
        return [_pooled(list(itertools.islice(answers, len(clip)))) for clip in clips]

    def close(self) -> None:
        """Close the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _body(self, image: NDArray[np.uint8]) -> bytes:
        content = [{"type": "image_url", "image_url": {"url": _data_url(image)}}]
        messages = [{"role": "user", "content": content}]
        return json.dumps({"model": self._params.model, "messages": messages, "encoding_format": "float"}).encode()


def _data_url(image: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _pooled(vectors: Sequence[NDArray[np.float64] | Failed]) -> NDArray[np.float32] | Failed:
    """The clip's vector, or the first failure among its pictures."""
    if failure := next((each for each in vectors if isinstance(each, Failed)), None):
        return failure
    found = [each for each in vectors if not isinstance(each, Failed)]
    sizes = {each.size for each in found}
    if len(sizes) > 1:
        return Failed(Reason.SERVICE, f"Vectors of one model must have one size, got {sorted(sizes)}.")
    try:
        return mean_pool(np.stack(found))
    except StageError as error:
        return Failed(error.reason, f"StageError: {error}")
