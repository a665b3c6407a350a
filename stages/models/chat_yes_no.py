"""Makes probabilities of chat completions that answer a question by yes or no."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from stages.errors import Reason
from stages.models.chat_completion import completion_of, message_of, text_of
from stages.models.json_server import Request
from stages.models.yes_no import is_answer, no_answer, probability_of_text, probability_of_yes
from stages.tasks import Failed


def read_yes_no(url: str, body: bytes) -> Request[float]:
    """The request whose answer is yes or no; the result is the probability of yes, 0 to 1.

    Where the answer holds log probabilities it is made of those, else it is 1 or 0.
    """
    return Request(body, partial(_probability_of, url))


def _probability_of(url: str, answer: bytes, charset: str) -> float | Failed:
    choice, message = message_of(url, completion_of(url, answer, charset), answer)
    text = text_of(message.get("content"))
    places = [*_places(choice.get("logprobs"))]
    place = next((each for each in places if is_answer(each[0])), places[0] if places else None)
    found = probability_of_text(text) if place is None else probability_of_yes(place[1])
    return Failed(Reason.STAGE_ERROR, no_answer(text)) if found is None else found


def _places(log_probabilities: object) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Of each place of the answer, its token, and the most probable tokens with their probabilities."""
    content = log_probabilities.get("content") if isinstance(log_probabilities, dict) else None
    for each in content if isinstance(content, list) else []:
        if isinstance(each, dict) and isinstance(each.get("token"), str):
            top = each.get("top_logprobs")
            listed = [*_tokens(top if isinstance(top, list) else [])] or [*_tokens([each])]
            if listed:
                yield each["token"], listed


def _tokens(entries: list[Any]) -> Iterator[tuple[str, float]]:
    for entry in entries:
        if not isinstance(entry, Mapping):
            continue
        token, value = entry.get("token"), entry.get("logprob")
        if isinstance(token, str) and isinstance(value, int | float) and not math.isnan(value):
            yield token, math.exp(min(0.0, value))
