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
from stages.models.bounded_http import post
from stages.models.captioner import Said, Shown
from stages.models.embedder import ModelIdentity
from stages.params import CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

KEY_VARIABLE = "CURATOR_CAPTION_API_KEY"
WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Before each further try."""
JPEG_QUALITY = 90
MOST_TOKENS = 2**31 - 1
"""A larger count is no count."""
SETUP_STATUSES = (401, 403, 404)
"""The key, the address or the model's name is wrong: nothing that a window could be blamed for."""


class _Unavailable(Exception):
    """The server did not answer, or said that it cannot now."""


class OpenAICaptioner:
    """Sends each window's pictures with the prompt; several requests are in flight at once.

    What passes (no connection, time out, status 429 or 5xx) is tried again after growing waits, and
    then fails the window in a way that the next run tries again. What the server refuses stays refused.
    """

    columns: tuple[str, ...] = ()
    reads_prompt = True

    def __init__(self, params: CaptionParams) -> None:
        if not params.model:
            raise ParamsError("caption.model must be the name of a model on the server, got ''. Ask BASE_URL/models.")
        self._params = params
        self._headers = {"Content-Type": "application/json"}

    def identity(self) -> ModelIdentity:
        """The model's name on the server; nobody tells its weights."""
        return ModelIdentity(self._params.model, "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Take the key from this machine's environment."""
        key = os.environ.get(KEY_VARIABLE)
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def caption(self, windows: Sequence[Shown]) -> list[Said | Failed]:
        """What the server says of each window, in their order."""
        with ThreadPoolExecutor(self._params.requests_in_flight) as pool:
            answers = [pool.submit(self._ask, window) for window in windows]
            waiting: set[Future[Said | Failed]] = set(answers)
            while waiting:
                # A request ends by its own time limit, so a wait for it is no hang.
                waiting = wait(waiting, timeout=5.0).not_done
                heartbeat.beat()
            return [answer.result() for answer in answers]

    def _ask(self, window: Shown) -> Said | Failed:
        body = json.dumps(self._request(window)).encode()
        error = ""
        for pause in (*WAITS_S, None):
            try:
                return self._send(body)
            except _Unavailable as problem:
                error = str(problem)
            if pause is not None:
                heartbeat.count("caption_retries")
                time.sleep(pause)
        tries = len(WAITS_S) + 1
        return Failed(Reason.SERVICE, f"{self._params.base_url} must answer, and did not in {tries} tries: {error}")

    def _request(self, window: Shown) -> dict[str, Any]:
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

    def _send(self, body: bytes) -> Said | Failed:
        """One try.

        Raises:
            _Unavailable: another try may do better.
        """
        url = f"{self._params.base_url.rstrip('/')}/chat/completions"
        try:
            return _read(url, post(url, body, self._headers, timeout_s=self._params.request_timeout_s))
        except urllib.error.HTTPError as error:
            return _refused(url, error)
        except (OSError, http.client.HTTPException) as error:  # URLError and TimeoutError are OSErrors
            raise _Unavailable(f"{type(error).__name__}: {error}") from error


def data_url(image: NDArray[np.uint8]) -> str:
    """The picture, uint8 ``[H, W, 3]`` RGB, as a JPEG inside a URL."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _refused(url: str, error: urllib.error.HTTPError) -> Failed:
    """What a status other than 2xx makes of the window.

    Raises:
        _Unavailable: another try may do better.
    """
    try:
        with error:
            said = error.read().decode(errors="replace")[:500]
    except (OSError, http.client.HTTPException) as problem:
        said = f"no readable message ({type(problem).__name__})"
    message = f"status {error.code}: {said}"
    if error.code == 429 or error.code >= 500:
        raise _Unavailable(message) from error
    reason = Reason.SERVICE if error.code in SETUP_STATUSES else Reason.STAGE_ERROR
    return Failed(reason, f"{url} must accept the request, got {message}")


def _read(url: str, answer: bytes) -> Said | Failed:
    try:
        completion = json.loads(answer)
        text = completion["choices"][0]["message"]["content"]
        tokens = (completion.get("usage") or {}).get("completion_tokens")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # Passing: it tells of the address, which is in no key, so another address must find the window untried.
        return Failed(
            Reason.SERVICE,
            f"{url} must answer with a chat completion, got {answer[:200]!r} ({type(error).__name__}). "
            "Check caption.base_url.",
        )
    if not isinstance(text, str) or not text.strip():
        return Failed(Reason.EMPTY_CAPTION, f"{url} must answer with words, got {text!r}. Try another prompt.")
    return Said(text.strip(), _count(tokens))


def _count(tokens: object) -> int | None:
    """The server's number where it is one that the column holds; servers also send text, or nothing."""
    return tokens if type(tokens) is int and 0 <= tokens <= MOST_TOKENS else None
