"""Tells the language of a text by its script, by letters that few languages have, and by function words.

A small rule, not a trained model: it knows the languages of `known_languages`, says nothing of a text without evidence,
and may take a text in another language for a neighbour. docs/captions.md has what was measured.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

LANGUAGES_FILE = Path(__file__).parent / "data" / "languages.tsv"
LETTER_WEIGHT = 0.5
"""Of such a letter, where a function word that no other language has counts 1."""

MIN_EVIDENCE = 1.0
"""Least weight of words and letters; of less no language is told."""
MIN_LEAD = 1.15
"""How many times as much the language must have as the next one."""
MIN_LATIN_WORDS = 6
"""Least words of a text in Latin letters: of fewer, one word that is another in another language decides. "A man in a
hat." would be German by ``man`` and ``hat``, "Door closes." Dutch."""

_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CJK": "zh",
    "THAI": "th",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "GUJARATI": "gu",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
}
"""Scripts of one language here; Hindi stands for all that are written in Devanagari."""
_CYRILLIC = ("ru", "uk", "bg", "sr")
_KANA_SHARE = 0.05
"""Of the letters of a text in Japanese; Chinese has none."""
_WORD = re.compile(r"[^\W\d_]+")


class Told(NamedTuple):
    """The language of a text.

    Attributes:
        language: its code; None where there is too little evidence.
        share: share of the text's letters in the script of the language, or in the most frequent one.
    """

    language: str | None
    share: float


def tell_language(text: str) -> Told:
    """The language of a text, as far as script, letters and function words tell it."""
    scripts = Counter(_script(letter) for letter in text if letter.isalpha())
    total = scripts.total()
    if not total:
        return Told(None, 0.0)
    japanese = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if japanese >= _KANA_SHARE * (japanese + scripts["CJK"]) and japanese:
        scripts["HIRAGANA"] = japanese + scripts.pop("CJK", 0)
        del scripts["KATAKANA"]
    script, count = scripts.most_common(1)[0]
    share = count / total
    if script in _SCRIPTS:
        return Told(_SCRIPTS[script], share)
    if script == "ARABIC":
        return Told(_arabic(text), share)
    if script not in ("LATIN", "CYRILLIC"):
        return Told(None, share)
    is_cyrillic = script == "CYRILLIC"
    if not is_cyrillic and len(_WORD.findall(text)) < MIN_LATIN_WORDS:
        return Told(None, share)
    candidates = [each for each in _languages() if (each in _CYRILLIC) == is_cyrillic]
    return Told(_by_words(text, candidates), share)


def _by_words(text: str, candidates: Iterable[str]) -> str | None:
    lowered = unicodedata.normalize("NFC", text).lower()
    evidence = dict.fromkeys(candidates, 0.0)
    weights = _weights()
    for word in _WORD.findall(lowered):
        for language, weight in weights.get(word, ()):
            if language in evidence:
                evidence[language] += weight
    for letter in lowered:
        for language in _letters().get(letter, ()):
            if language in evidence:
                evidence[language] += LETTER_WEIGHT
    best, next_best = sorted(evidence, key=lambda language: -evidence[language])[:2]
    most, second = evidence[best], evidence[next_best]
    return best if most >= MIN_EVIDENCE and most >= MIN_LEAD * second else None


def _arabic(text: str) -> str:
    """Persian and Urdu by letters that Arabic has not; the code points, since they look alike in print."""
    if any(letter in text for letter in "\u0679\u0688\u0691\u06d2\u06ba\u06be"):
        return "ur"
    return "fa" if any(letter in text for letter in "\u067e\u0686\u0698\u06af\u06cc\u06a9") else "ar"


@cache
def _script(letter: str) -> str:
    """The script of a letter, by the first word of its name in Unicode; characters of Chinese are CJK."""
    return unicodedata.name(letter, "").split(" ")[0]


@cache
def _languages() -> dict[str, tuple[str, tuple[str, ...]]]:
    """By code, the letters and words of each language that is told by words."""
    rows = [line.split("\t") for line in LANGUAGES_FILE.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {code: (letters, tuple(words.split())) for code, letters, words in rows}


def known_languages() -> list[str]:
    """Codes (ISO 639-1) of the languages that are told."""
    return sorted({*_languages(), *_SCRIPTS.values(), "ar", "fa", "ur"})


@cache
def _weights() -> dict[str, list[tuple[str, float]]]:
    """By word, the languages that have it, each with its weight: less for a word of many."""
    having: dict[str, list[str]] = {}
    for language, (_, words) in _languages().items():
        for word in words:
            having.setdefault(word, []).append(language)
    return {word: [(each, 1 / len(languages)) for each in languages] for word, languages in having.items()}


@cache
def _letters() -> dict[str, list[str]]:
    having: dict[str, list[str]] = {}
    for language, (letters, _) in _languages().items():
        for letter in letters:
            having.setdefault(letter, []).append(language)
    return having
