"""What of a model's answer is its words: without its thinking, without the marks of its chat template."""

import re

_TAGS = "think|thinking|thought|reasoning|reflection"
_OPEN = re.compile(rf"<(?:{_TAGS})>|◁think▷", re.IGNORECASE)
_CLOSE = re.compile(rf"</(?:{_TAGS})>|◁/think▷", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"</?(?:answer|caption|response|output)>", re.IGNORECASE)
_LAST_MARKS = re.compile(r"(?:\s*(?:<\|(?:im_end|endoftext|eot_id|end|return)\|>|</s>|<end_of_turn>|<eos>))+\s*$")
"""Ends of an answer that some servers forget to take away."""
_FENCE = re.compile(r"^```[a-z]*\s*\n(.*?)\n?```$", re.DOTALL | re.IGNORECASE)


def without_thinking(text: str) -> tuple[str, int]:
    """The words of an answer, and how many characters of thinking were taken away.

    What stands before the last closing tag is thinking, also where the opening one is missing: chat templates put it
    into the prompt. What follows an opening tag that is never closed is thinking too, so that nothing is left.
    """
    closings = list(_CLOSE.finditer(text))
    rest = text[closings[-1].end() :] if closings else text
    if (unclosed := _OPEN.search(rest)) is not None:
        rest = rest[: unclosed.start()]
    thinking = len(text) - len(rest)
    rest = _LAST_MARKS.sub("", _ANSWER_TAG.sub("", rest)).strip()
    return rest, thinking


def without_fence(text: str) -> str:
    """The text inside a fence of Markdown that stands around all of it, as models put around JSON."""
    found = _FENCE.match(text.strip())
    return found.group(1).strip() if found else text.strip()
