"""Makes captions of chat completions, and tells answers that another try may mend from those that it will not."""

import codecs
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from stages.errors import Reason
from stages.models.captioner import Caption
from stages.models.json_server import PassingError, Request, error_of
from stages.tasks import Failed

MAX_TOKEN_COUNT = 2**31 - 1
"""Largest token count that the column holds; a larger one from the server is ignored."""
TEXT_PARTS = ("text", "output_text")


def read_completion(url: str, body: bytes) -> Request[Caption]:
    """The request whose answer is a chat completion.

    Args:
        url: where it goes, for messages.
        body: of the request, JSON.
    """
    return Request(body, partial(_caption_of, url))


def _caption_of(url: str, answer: bytes, charset: str) -> Caption | Failed:
    completion = completion_of(url, answer, charset)
    if isinstance(completion, Failed):
        return completion
    choice, message = message_of(completion, answer)
    text = text_of(message.get("content"))
    is_cut = choice.get("finish_reason") == "length"
    if not text and not is_cut:
        said = message.get("refusal") or message.get("content")
        raise PassingError(f"no words, got {said!r}. Try another prompt", reason=Reason.EMPTY_CAPTION)
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens, prompt_tokens = (_valid_count(usage.get(name)) for name in ("completion_tokens", "prompt_tokens"))
    return Caption(text, tokens, prompt_tokens=prompt_tokens, is_cut=is_cut)


def completion_of(url: str, answer: bytes, charset: str) -> dict[str, Any] | Failed:
    """The JSON object of an answer, which is no error.

    Raises:
        PassingError: an object begins, but is no whole one; or it is an error that may pass.
        RefusedError: it is another error.
    """
    completion = _decoded(url, answer, charset)
    if isinstance(completion, dict) and (error := completion.get("error")):
        _raise_error(url, error)
    return completion


def message_of(completion: Mapping[str, Any], answer: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first choice of a completion, and its message; `answer` is for messages.

    Raises:
        PassingError: there is none.
    """
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    choice = choice if isinstance(choice, dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise PassingError(f"an answer without a choice, {answer[:200]!r}")
    return choice, message


def _decoded(url: str, answer: bytes, charset: str) -> dict[str, Any] | Failed:
    try:
        completion = json.loads(_text(answer, charset))
    except (ValueError, RecursionError) as error:
        if answer.lstrip().startswith(b"{"):
            raise PassingError(f"half an answer ({type(error).__name__}: {error}), {answer[:200]!r}") from error
        return _no_completion(url, answer, type(error).__name__)
    return completion if isinstance(completion, dict) else _no_completion(url, answer, type(completion).__name__)


def _text(answer: bytes, charset: str) -> str:
    """JSON is UTF-8 whatever the header says (RFC 8259); of what is not, the header's word counts.

    Raises:
        ValueError: it is neither.
    """
    try:
        return answer.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            return answer.decode(codecs.lookup(charset).name if charset else json.detect_encoding(answer))
        except LookupError as error:
            raise ValueError(f"the unknown charset {charset!r}") from error


def _no_completion(url: str, answer: bytes, found: str) -> Failed:
    # A transient reason: the cause is the address, which enters no row key, so the next run must try again.
    return Failed(
        Reason.SERVICE,
        f"{url} must answer with a chat completion, got {answer[:200]!r} ({found}). Check caption.base_url.",
    )


def _raise_error(url: str, error: object) -> None:
    """Raise what an error means that stands inside an answer with status 200.

    Raises:
        PassingError: its code is none, or one of a state that passes.
    """
    code = error.get("code") or error.get("status") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else 500
    raise error_of(status, url, f"an error inside the answer: {str(error)[:500]}")


def text_of(content: object) -> str:
    """The words of a message's content, a string or a list of parts; empty where there are none."""
    if isinstance(content, str):
        return content.strip()
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in TEXT_PARTS]
    return "".join(part for part in parts if isinstance(part, str)).strip()


def _valid_count(tokens: object) -> int | None:
    """The server's token count if the column can hold it, else None; servers also send text, or nothing."""
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKEN_COUNT else None
