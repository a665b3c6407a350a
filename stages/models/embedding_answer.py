"""Makes vectors of the answers of a server of embeddings."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from stages.errors import Reason
from stages.models.json_answers import json_object
from stages.models.json_server import PassingError, RefusedError, Request

_ADVICE = "Check embed.base_url."


def read_embedding(url: str, body: bytes) -> Request[NDArray[np.float64]]:
    """The request whose answer is a list with one embedding; the result is float64 ``[D]``, finite or not.

    Args:
        url: where it goes, for messages.
        body: of the request, JSON.
    """
    return Request(body, partial(_vector_of, url))


def _vector_of(url: str, answer: bytes, charset: str) -> NDArray[np.float64]:
    found = json_object(url, answer, charset, wanted="a list of embeddings", advice=_ADVICE)
    data = found.get("data")
    if not isinstance(data, list) or not data:
        raise PassingError(f"an answer without an embedding, {answer[:200]!r}")
    numbers = data[0].get("embedding") if isinstance(data[0], dict) else None
    try:
        vector = np.asarray(numbers if isinstance(numbers, list) else (), np.float64)
    except (ValueError, TypeError, OverflowError) as error:  # texts among the numbers, or lists of several lengths
        raise _no_vector(url, answer, f"{type(error).__name__}: {error}") from error
    if vector.ndim != 1 or not vector.size:
        raise _no_vector(url, answer, f"the shape {vector.shape}")
    return vector


def _no_vector(url: str, answer: bytes, found: str) -> RefusedError:
    text = f"{url} must answer with one vector a picture, got {found}: {answer[:200]!r}. {_ADVICE}"
    return RefusedError(Reason.SERVICE, text)
