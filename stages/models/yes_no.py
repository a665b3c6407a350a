"""Questions that are answered by yes or no: how they are put, and what the first tokens of an answer say of it."""

from collections.abc import Iterable

MAX_TOKENS = 4
"""Tokens of an answer: a word, maybe after a line break or a quotation mark."""
TOP_TOKENS = 20
"""Most probable tokens that are looked at; what servers tell at most."""
_AROUND = " \t\r\n\u2581\u0120\u010a\"'`*_.,:;!?()[]"
"""Around the word in a token: blanks, as byte-level tokenizers write them too, quotation marks, Markdown."""


def put_question(question: str) -> str:
    """The prompt of a question."""
    return f"{question.strip()}\nAnswer with one word: yes or no."


def is_answer(token: str) -> bool:
    """Whether a token is the word yes or no."""
    return _word(token) in ("yes", "no")


def probability_of_yes(tokens: Iterable[tuple[str, float]]) -> float | None:
    """The probability of yes, given that the answer is yes or no; None where neither is among the tokens.

    Args:
        tokens: the most probable ones at one place, with their probabilities; however they are written, they add up.
    """
    found = {"yes": 0.0, "no": 0.0}
    for token, probability in tokens:
        if (word := _word(token)) in found:
            found[word] += probability
    total = found["yes"] + found["no"]
    return found["yes"] / total if total > 0 else None


def probability_of_text(text: str) -> float | None:
    """1 for an answer that begins with yes, 0 for one that begins with no; None for any other."""
    words = text.split(maxsplit=1)
    return {"yes": 1.0, "no": 0.0}.get(_word(words[0])) if words else None


def no_answer(said: str) -> str:
    """The message where the answer is neither."""
    return f"The model must answer yes or no, got {said[:100]!r}. Word the question otherwise, or ask another model."


def _word(token: str) -> str:
    return token.strip(_AROUND).casefold()
