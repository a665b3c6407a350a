"""Reads the JSON object that a server answers with, and tells what another try may mend from what it will not."""

import codecs
import json
import re
from typing import Any

from stages.errors import Reason
from stages.models.captioner import replace_surrogates
from stages.models.json_server import PassingError, RefusedError, error_of

_BEGUN = re.compile(rb"[\s\x00\xef\xbb\xbf\xfe\xff]*\{")
"""An object that begins, maybe after a byte order mark, with the zeros of UTF-16 and UTF-32."""
_STATUS = re.compile("[45][0-9]{2}")
_STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "context_length_exceeded": 400,
    "invalid_argument": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found": 404,
    "notfounderror": 404,
}
"""Statuses of errors that do not pass, by name in lower case, as services of OpenAI's kind and gRPC have them."""


def json_object(url: str, answer: bytes, charset: str, *, wanted: str, advice: str) -> dict[str, Any]:
    """The JSON object of an answer, which is no error.

    Args:
        url: where it came from, for messages.
        answer: its body.
        charset: that its headers declare; empty for none.
        wanted: what it must be, as ``a chat completion``, for messages.
        advice: where it is something else.

    Raises:
        PassingError: there is nothing, or an object begins and is no whole one; or it is an error that may pass.
        RefusedError: it is something else, or an error that will not pass.
    """
    if not answer.strip():
        raise PassingError("an empty answer")
    try:
        found = json.loads(_text(answer, charset))
    except (ValueError, RecursionError) as error:
        if _BEGUN.match(answer):
            raise PassingError(f"half an answer ({type(error).__name__}: {error}), {answer[:200]!r}") from error
        raise _something_else(url, answer, type(error).__name__, wanted, advice) from error
    if not isinstance(found, dict):
        raise _something_else(url, answer, type(found).__name__, wanted, advice)
    error = found if found.get("object") == "error" else found.get("error")
    if error:
        raise error_in_answer(url, error)
    return found


def error_in_answer(url: str, error: object) -> PassingError | RefusedError:
    """What an error means that stands inside an answer with status 200; one that does not say so may pass."""
    names = [error.get(name) for name in ("code", "status", "type")] if isinstance(error, dict) else []
    found = [status for status in map(_status, names) if status]
    text = replace_surrogates(str(error)[:500])
    return error_of(found[0] if found else 500, url, f"an error inside the answer: {text}")


def _status(name: object) -> int | None:
    """The HTTP status that a code or name of an error stands for; None for a service's own numbers."""
    text = str(name).lower() if isinstance(name, str | int) else ""
    return int(text) if _STATUS.fullmatch(text) else _STATUS_OF_NAME.get(text)


def _text(answer: bytes, charset: str) -> str:
    """The text of an answer.

    JSON is UTF-8 whatever the header says (RFC 8259), or shows by its first bytes that it is UTF-16 or UTF-32; of what
    is none of them, the header's word counts.

    Raises:
        ValueError: it is neither.
    """
    try:
        return answer.decode(json.detect_encoding(answer))
    except UnicodeDecodeError:
        if not charset:
            raise
    try:
        return answer.decode(codecs.lookup(charset).name)
    except LookupError as error:
        raise ValueError(f"the unknown charset {charset!r}") from error


def _something_else(url: str, answer: bytes, found: str, wanted: str, advice: str) -> RefusedError:
    # A transient reason: the cause is the address, which enters no row key, so the next run must try again.
    return RefusedError(Reason.SERVICE, f"{url} must answer with {wanted}, got {answer[:200]!r} ({found}). {advice}")
