"""Scores of a caption's text: its length, how much of it repeats, whether it refuses, which characters it holds.

All are functions of the text alone, so that rows can be scored again from what they hold.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from stages.caption.language import tell_language

WORDS, REPETITION, REFUSAL, CONTROL, SCRIPT = "words", "repetition", "refusal", "control_characters", "script_share"
"""Names of scores."""

_TOKEN = re.compile(r"[^\W_]+(?:['\u2019\-][^\W_]+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])\s*|\n+")
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Kana and Chinese characters; each counts as a word."""
_THAI = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_LETTERS_OF_THAI_WORD = 5
"""Thai, Lao, Burmese and Khmer are written without spaces between words, too."""

GRAM_WORDS, GRAM_CHARACTERS = 3, 6
"""Words, or characters of a script without spaces, of the pieces that are looked for again."""
LEAST_GRAMS = 6
"""Of a text with fewer pieces, repetition by pieces is not told."""
MAX_LOOP = 8
"""Words of the longest loop that is looked for."""
LEAST_ROUNDS = 3
LEAST_RUN = 12
"""Equal characters in a row that are no rule or dots."""

_KEPT_CONTROLS = frozenset("\n\r\t\u200c\u200d\ufe0f\ufe0e\u00ad")
"""Line ends and tabs; joiners, which Persian, Hindi and emoji need; variation selectors; soft hyphens."""
_TEMPLATE_MARK = re.compile(
    r"<\|[a-z_]+\|>|<(?:image|video|pad|unk|s|/s)>|\[/?INST\]|<(?:start|end)_of_(?:turn|image)>", re.I
)

REFUSALS_FILE = Path(__file__).parent / "data" / "refusals.txt"
REFUSAL_CHARACTERS = 240
"""A refusal begins an answer; a person in a clip who says sorry may come later."""


def text_scores(text: str) -> tuple[dict[str, float], str | None]:
    """Scores by name, and the language of a caption; see the names."""
    told = tell_language(text)
    scores = {
        WORDS: float(num_words(text)),
        REPETITION: round(repetition(text), 4),
        REFUSAL: float(is_refusal(text)),
        CONTROL: float(num_control_characters(text)),
        SCRIPT: round(told.share, 4),
    }
    return scores, told.language


def num_words(text: str) -> int:
    """Words of a text. Each Chinese and Japanese character counts as one, and five letters of Thai or Khmer do."""
    single, thai = len(_WITHOUT_SPACES.findall(text)), len(_THAI.findall(text))
    others = _THAI.sub(" ", _WITHOUT_SPACES.sub(" ", text))
    return single + -(-thai // _LETTERS_OF_THAI_WORD) + len(_TOKEN.findall(others))


def repetition(text: str) -> float:
    """The share of a text that repeats itself, 0 to 1: the largest of the shares below.

    Pieces of three words that stood there before; words of sentences that did; words of a loop of up to eight words, at
    least three rounds long; a run of one character.
    """
    words = [word.casefold() for word in _TOKEN.findall(text)]
    characters = _WITHOUT_SPACES.findall(text)
    grams = _repeated_grams(words, GRAM_WORDS)
    if len(characters) > len(words):
        grams, words = _repeated_grams(characters, GRAM_CHARACTERS), characters
    return max(grams, _repeated_sentences(text), _looped(words), _run(text))


def is_refusal(text: str) -> bool:
    """True where an answer begins by saying that the model will not or cannot answer, in one of several languages."""
    return _refusals().search(text.lstrip("\"'\u201c\u00ab*_ \n")[:REFUSAL_CHARACTERS]) is not None


def num_control_characters(text: str) -> int:
    """Characters that no text holds, and marks of a chat template.

    Control and unassigned characters, private ones, replacements of what did not decode, and marks of direction.
    """
    marks = len(_TEMPLATE_MARK.findall(text))
    return marks + sum(
        character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs")
        for character in text
        if character not in _KEPT_CONTROLS
    )


@cache
def _refusals() -> re.Pattern[str]:
    lines = REFUSALS_FILE.read_text(encoding="utf-8").splitlines()
    return re.compile("|".join(line for line in lines if line[:1] != "#"), re.IGNORECASE | re.DOTALL)


def _repeated_grams(units: Sequence[str], size: int) -> float:
    total = len(units) - size + 1
    if total < LEAST_GRAMS:
        return 0.0
    return 1 - len({tuple(units[start : start + size]) for start in range(total)}) / total


def _repeated_sentences(text: str) -> float:
    sentences = [" ".join(_TOKEN.findall(each.casefold())) for each in _SENTENCE_END.split(text)]
    counts = Counter(each for each in sentences if each)
    total = sum(len(each) * number for each, number in counts.items())
    return sum(len(each) * (number - 1) for each, number in counts.items()) / total if total else 0.0


def _looped(words: Sequence[str]) -> float:
    """The share of words in the longest loop."""
    longest = 0
    for size in range(1, min(MAX_LOOP, len(words) // LEAST_ROUNDS) + 1):
        run = 0
        for place in range(size, len(words)):
            run = run + 1 if words[place] == words[place - size] else 0
            if run >= (LEAST_ROUNDS - 1) * size:
                longest = max(longest, run + size)
    return longest / len(words) if words else 0.0


def _run(text: str) -> float:
    longest = max((len(match.group()) for match in re.finditer(r"(\S)\1*", text)), default=0)
    return longest / len(text) if longest >= LEAST_RUN else 0.0
