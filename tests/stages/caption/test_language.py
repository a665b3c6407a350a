"""The language rule on real sentences that it was not made by, and on texts that tell none."""

from collections import Counter
from pathlib import Path

import pytest

from stages.caption.language import known_languages, tell_language

SENTENCES = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "sentences.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def test_language_of_real_sentences() -> None:
    """Hardly any sentence is taken for another language. Danish and Norwegian are told apart in half of them."""
    told = [(language, tell_language(text).language) for language, text in SENTENCES]
    of_each = Counter(language for language, _ in told)
    right = Counter(language for language, found in told if found == language)
    assert set(of_each) <= set(known_languages())
    assert len(of_each) >= 30
    assert all(right[language] >= 0.5 * number for language, number in of_each.items()), right
    assert right.total() >= 0.93 * len(told)
    assert sum(found not in (None, language) for language, found in told) <= 0.04 * len(told)


@pytest.mark.parametrize(
    "text",
    ["", "1234 !?", "Bikes", "Berlin, Tokyo, Lagos", "ᚠᚢᚦᚨᚱᚲ", "A door opens.", "Door closes.", "A man in a hat."],
)
def test_language_is_not_told_without_evidence(text: str) -> None:
    assert tell_language(text).language is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A man and a woman walk along the beach.", "en"),
        ("A sign with the word '出口' hangs above the door.", "en"),
        ("猫が窓のそばで寝ている。", "ja"),
        ("一只猫在窗边睡觉。", "zh"),
        ("یک مرد در خیابان راه می‌رود.", "fa"),
        ("رجل يمشي في الشارع مع كلب.", "ar"),
    ],
)
def test_language_of_captions(text: str, language: str) -> None:
    assert tell_language(text).language == language


def test_share_is_that_of_the_letters_of_the_script() -> None:
    assert tell_language("abc где").share == 0.5
    assert tell_language("the cat").share == 1.0
