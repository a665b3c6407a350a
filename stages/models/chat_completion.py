"""Makes captions of chat completions, and tells answers that another try may mend from those that it will not."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from stages.errors import Reason
from stages.models.captioner import Caption
from stages.models.json_answers import error_in_answer, json_object
from stages.models.json_server import PassingError, Request

MAX_TOKEN_COUNT = 2**31 - 1
"""Largest token count that the column holds; a larger one from the server is ignored."""
TEXT_PARTS = ("text", "output_text", None)
"""Types of parts of a message whose ``text`` is meant for the reader; others are thinking, calls and references."""
CUT = ("length", "max_tokens", "max_output_tokens", "model_length")
"""Finish reasons of an answer that ended at the largest number of tokens, as servers call them."""
FILTERED = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist")
"""Those of an answer that a filter of the server withheld, or ended in the middle."""
BROKEN_OFF = ("error", "abort", "aborted", "cancelled")
"""Those of an answer that the server broke off: another try may go well."""


def read_completion(url: str, body: bytes, max_tokens: int) -> Request[Caption]:
    """The request whose answer is a chat completion.

    Args:
        url: where it goes, for messages.
        body: of the request, JSON.
        max_tokens: that it asks for.
    """
    return Request(body, partial(_caption_of, url, max_tokens))


def _caption_of(url: str, max_tokens: int, answer: bytes, charset: str) -> Caption:
    completion = completion_of(url, answer, charset)
    choice, message = message_of(url, completion, answer)
    text = text_of(message.get("content"))
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens, prompt_tokens = (_valid_count(usage.get(name)) for name in ("completion_tokens", "prompt_tokens"))
    end = str(choice.get("finish_reason") or "").lower()
    # A server that tells no reason may have ended it all the same.
    is_cut = end in CUT or (not end and (tokens or 0) >= max_tokens)
    is_filtered = end in FILTERED
    if end in BROKEN_OFF:
        raise PassingError(f"an answer that ended by {end!r}, {answer[:200]!r}")
    if not text and not is_cut and not is_filtered:
        said = message.get("refusal") or message.get("content")
        raise PassingError(f"no words, got {said!r}. Try another prompt", reason=Reason.EMPTY_CAPTION)
    return Caption(text, tokens, prompt_tokens=prompt_tokens, is_cut=is_cut, is_filtered=is_filtered)


def completion_of(url: str, answer: bytes, charset: str) -> dict[str, Any]:
    """The JSON object of an answer, which is no error.

    Raises:
        PassingError, RefusedError: as `json_object`.
    """
    return json_object(url, answer, charset, wanted="a chat completion", advice="Check caption.base_url.")


def message_of(url: str, completion: Mapping[str, Any], answer: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first choice of a completion, and its message; `url` and `answer` are for messages.

    Raises:
        PassingError: there is none, or an error in its place that may pass.
        RefusedError: it is another error.
    """
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    choice = choice if isinstance(choice, dict) else {}
    if choice.get("error"):
        raise error_in_answer(url, choice["error"])
    message = choice.get("message")
    if not isinstance(message, dict):
        raise PassingError(f"an answer without a choice, {answer[:200]!r}")
    return choice, message


def text_of(content: object) -> str:
    """The words of a message's content, a string, a part or a list of both; empty where there are none."""
    parts = content if isinstance(content, list) else [content]
    return "".join(_text_of_part(part) for part in parts).strip()


def _text_of_part(part: object) -> str:
    if isinstance(part, dict) and part.get("type") in TEXT_PARTS:
        part = part.get("text")
    return part if isinstance(part, str) else ""


def _valid_count(tokens: object) -> int | None:
    """The server's token count if the column can hold it, else None; servers also send text, or nothing."""
    return tokens if type(tokens) is int and 0 <= tokens <= MAX_TOKEN_COUNT else None
