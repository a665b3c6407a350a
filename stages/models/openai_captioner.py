"""A captioner behind an HTTP server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama and others."""

import base64
import http.client
import io
import json
import os
import time
import urllib.error
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages import heartbeat
from stages.errors import ParamsError, Reason
from stages.models.captioner import Caption, CaptionInput
from stages.models.embedder import ModelIdentity
from stages.models.http_deadline import post
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

BACKOFF_S = (1.0, 2.0, 4.0, 8.0)
"""Delay before each retry."""
JPEG_QUALITY = 90
MAX_TOKEN_COUNT = 2**31 - 1
"""Largest token count that the column holds; a larger one from the server is ignored."""
CONFIGURATION_STATUSES = (301, 302, 303, 307, 308, 401, 403, 404)
"""Statuses for a wrong key, address or model name: faults of the configuration, not of the window."""


class _Unavailable(Exception):
    """The server did not respond, or is temporarily unable to."""


class OpenAICaptioner:
    """Sends each window's frames with the prompt; several requests are in flight at once.

    Transient errors (no connection, timeout, status 429 or 5xx) are retried with exponential backoff; after the last
    try the window fails with a reason that the next run tries again. A refused request is not retried.
    """

    columns: tuple[str, ...] = ()
    reads_prompt = True

    def __init__(self, params: CaptionParams) -> None:
        if not params.model:
            raise ParamsError(
                "caption.model must be the name of a model on the server, got ''. Ask BASE_URL/models.", "caption.model"
            )
        self._params = params
        self._headers = {"Content-Type": "application/json"}

    def identity(self) -> ModelIdentity:
        """The model's name on the server; the hash is empty, since the server does not identify its weights."""
        return ModelIdentity(self._params.model, "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Read the API key from the worker's environment."""
        key = os.environ.get(CAPTION_API_KEY_VARIABLE)
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One caption per window, in their order."""
        with ThreadPoolExecutor(self._params.requests_in_flight) as pool:
            answers = [pool.submit(self._caption_with_retries, window) for window in windows]
            waiting: set[Future[Caption | Failed]] = set(answers)
            while waiting:
                # Each request has its own timeout, so waiting for one is not a stall.
                waiting = wait(waiting, timeout=5.0).not_done
                heartbeat.beat()
            return [answer.result() for answer in answers]

    def _caption_with_retries(self, window: CaptionInput) -> Caption | Failed:
        body = json.dumps(self._request_body(window)).encode()
        error = ""
        for delay_s in (*BACKOFF_S, None):
            try:
                return self._post(body)
            except _Unavailable as problem:
                error = str(problem)
            if delay_s is not None:
                heartbeat.count("caption_retries")
                time.sleep(delay_s)
        tries = len(BACKOFF_S) + 1
        return Failed(Reason.SERVICE, f"{self._params.base_url} must answer, and did not in {tries} tries: {error}")

    def _request_body(self, window: CaptionInput) -> dict[str, Any]:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_url(image)}} for image in window.images
        ]
        content.append({"type": "text", "text": self._params.prompt})
        return {
            "model": self._params.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self._params.max_tokens,
            "temperature": self._params.temperature,
        }

    def _post(self, body: bytes) -> Caption | Failed:
        """Send one request.

        Raises:
            _Unavailable: the error is transient.
        """
        url = f"{self._params.base_url.rstrip('/')}/chat/completions"
        try:
            return _parse_completion(url, post(url, body, self._headers, timeout_s=self._params.request_timeout_s))
        except urllib.error.HTTPError as error:
            return _status_failure(url, error)
        except (OSError, http.client.HTTPException) as error:  # URLError and TimeoutError are OSErrors
            raise _Unavailable(f"{type(error).__name__}: {error}") from error


def data_url(image: NDArray[np.uint8]) -> str:
    """An image, uint8 ``[H, W, 3]`` RGB, as a data URL with a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _status_failure(url: str, error: urllib.error.HTTPError) -> Failed:
    """The window's failure for a status other than 2xx.

    Raises:
        _Unavailable: the status is transient.
    """
    try:
        with error:
            detail = error.read().decode(errors="replace")[:500]
    except (OSError, http.client.HTTPException) as problem:
        detail = f"no readable message ({type(problem).__name__})"
    message = f"status {error.code}: {detail}"
    if error.code == 429 or error.code >= 500:
        raise _Unavailable(message) from error
    reason = Reason.SERVICE if error.code in CONFIGURATION_STATUSES else Reason.STAGE_ERROR
    return Failed(reason, f"{url} must accept the request, got {message}")


def _parse_completion(url: str, answer: bytes) -> Caption | Failed:
    try:
        completion = json.loads(answer)
        text = completion["choices"][0]["message"]["content"]
        tokens = (completion.get("usage") or {}).get("completion_tokens")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # A transient reason: the cause is the address, which enters no row key, so the next run must try again.
        return Failed(
            Reason.SERVICE,
            f"{url} must answer with a chat completion, got {answer[:200]!r} ({type(error).__name__}). "
            "Check caption.base_url.",
        )
    if not isinstance(text, str) or not text.strip():
        return Failed(Reason.EMPTY_CAPTION, f"{url} must answer with words, got {text!r}. Try another prompt.")
    return Caption(text.strip(), _valid_token_count(tokens))


def _valid_token_count(tokens: object) -> int | None:
    """The server's token count if the column can hold it, else None; servers also send text, or nothing."""
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKEN_COUNT else None
