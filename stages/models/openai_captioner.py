"""A captioner behind an HTTP server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama and others.

Light to import; the HTTP client is loaded in the worker.
"""

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages import heartbeat, lazy
from stages.errors import ParamsError, Reason
from stages.models import yes_no
from stages.models.api_key import key_headers
from stages.models.captioner import Caption, CaptionInput
from stages.models.embedder import ModelIdentity
from stages.params import CAPTION_API_KEY_VARIABLE, CaptionParams
from stages.stage import WorkerMetadata
from stages.tasks import Failed

JPEG_QUALITY = 90
LOG_PROBABILITIES = "logprobs"
"""Field of requests; servers that do not know it name it where they refuse."""


class OpenAICaptioner:
    """Sends each window's frames with the prompt; requests of all batches are in flight at once.

    What may pass (no connection, a timeout, status 408, 429 or 5xx, half an answer) is tried again as often and after
    such waits as `executor.max_tries` and `executor.backoff_s` say, or as the server says. A refused request is not.
    An answer that ends at the largest number of tokens is asked for once more with twice as many.
    """

    columns: tuple[str, ...] = ()
    reads_prompt = True
    waits_for_server = True

    def __init__(self, params: CaptionParams) -> None:
        if not params.model:
            raise ParamsError(
                "caption.model must be the name of a model on the server, got ''. Ask BASE_URL/models.", "caption.model"
            )
        self._params = params
        self._model = params.model
        self._url = f"{params.base_url.rstrip('/')}/chat/completions"
        self._tells_probabilities = True
        self._request: Any = None
        self._server: Any = None

    def identity(self) -> ModelIdentity:
        """The model's name on the server; the hash is empty, since the server does not identify its weights."""
        return ModelIdentity(self._params.model, "")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Read the API key from the worker's environment, and make the client.

        Raises:
            ParamsError: the extra ``servers`` is not installed, or the key is none that can be sent.
        """
        wanted_by = "Captioner 'openai' (extra 'servers')"
        self._request = lazy.load("stages.models.chat_completion:read_completion", wanted_by=wanted_by)
        headers = key_headers(self.api_key(), CAPTION_API_KEY_VARIABLE)
        self._server = lazy.load("stages.models.json_server:JsonServer", wanted_by=wanted_by)(
            self._url,
            headers,
            requests_in_flight=self._params.requests_in_flight,
            timeout_s=self._params.request_timeout_s,
        )

    def api_key(self) -> str | None:
        """The key of the server; None where it needs none."""
        return os.environ.get(CAPTION_API_KEY_VARIABLE)

    def caption(self, windows: Sequence[CaptionInput]) -> list[Caption | Failed]:
        """One caption per window, in their order. May be called by several threads at once."""
        answers = self._ask(windows, times=1)
        cut = [index for index, answer in enumerate(answers) if isinstance(answer, Caption) and answer.is_cut]
        if cut:
            heartbeat.count("cut_captions", len(cut))
            longer = self._ask([windows[index] for index in cut], times=2)
            for index, answer in zip(cut, longer, strict=True):
                answers[index] = _of_both(answers[index], answer)
        return answers

    def yes_probabilities(self, windows: Sequence[CaptionInput]) -> list[float | Failed]:
        """The probability of yes, 0 to 1, to the question in each window's prompt; by several threads at once.

        Of a server that refuses to tell log probabilities, 1 or 0.
        """
        if self._server is None:
            raise RuntimeError("setup must be called before yes_probabilities.")
        read = lazy.load("stages.models.chat_yes_no:read_yes_no", wanted_by="Captioner 'openai' (extra 'servers')")
        results: list[float | Failed] = []
        for tells in (True, False) if self._tells_probabilities else (False,):
            bodies = [self._yes_no_body(window, tells_probabilities=tells) for window in windows]
            results = self._server.post_all([read(self._url, body) for body in bodies])
            if not any(isinstance(result, Failed) and LOG_PROBABILITIES in result.error for result in results):
                break
            self._tells_probabilities = False
        return results

    def _yes_no_body(self, window: CaptionInput, *, tells_probabilities: bool) -> bytes:
        body = {**json.loads(self._body(window, yes_no.MAX_TOKENS)), "temperature": 0}
        if tells_probabilities:
            body |= {LOG_PROBABILITIES: True, f"top_{LOG_PROBABILITIES}": yes_no.TOP_TOKENS}
        return json.dumps(body).encode()

    def close(self) -> None:
        """Close the connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _ask(self, windows: Sequence[CaptionInput], *, times: int) -> list[Caption | Failed]:
        """The answers, with so many times as many tokens at most as are asked for."""
        if self._server is None:
            raise RuntimeError("setup must be called before caption.")
        limits = [times * (window.max_tokens or self._params.max_tokens) for window in windows]
        asked = zip(windows, limits, strict=True)
        requests = [self._request(self._url, self._body(window, limit), limit) for window, limit in asked]
        answers = self._server.post_all(requests)
        for name in ("tokens", "prompt_tokens"):
            counted = sum(getattr(answer, name) or 0 for answer in answers if isinstance(answer, Caption))
            heartbeat.count(f"caption_{name}", counted)
        return answers

    def _body(self, window: CaptionInput, max_tokens: int) -> bytes:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_url(image)}} for image in window.images
        ]
        content.append({"type": "text", "text": window.prompt or self._params.prompt})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": max_tokens,
            "temperature": self._params.temperature,
        }
        if window.json_schema is not None:
            named = {"name": "caption", "schema": window.json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return json.dumps(body).encode()


def _of_both(cut: Caption | Failed, longer: Caption | Failed) -> Caption | Failed:
    """The answer that was given more tokens, with what both cost.

    Or the cut one, where more are refused: the model's context may hold no more.
    """
    if not isinstance(cut, Caption) or isinstance(longer, Failed):
        return cut if isinstance(longer, Failed) and longer.reason is Reason.STAGE_ERROR else longer
    return replace(
        longer,
        tokens=_sum(cut.tokens, longer.tokens),
        prompt_tokens=_sum(cut.prompt_tokens, longer.prompt_tokens),
    )


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


def data_url(image: NDArray[np.uint8]) -> str:
    """An image, uint8 ``[H, W, 3]`` RGB, as a data URL with a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
