"""Text from outside (file names, captions, messages) as a page may show it: the report's, and those of Dagster."""

import re
import sys
import unicodedata

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_JOINERS = "\u200c\u200d"
"""Invisible, but part of how Persian and emoji are written."""
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls, formats (which turn the direction of text around), halves of surrogates, line and paragraph separators."""


def visible(text: str, longest: int = sys.maxsize) -> str:
    """The text on one line, at most so long, with what cannot be seen written out: ``⟨U+202E⟩``.

    Name and password of a URL are left out: pages are handed on.
    """
    plain = _CREDENTIALS.sub("", text).strip()
    cut = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return cut if cut.isprintable() else "".join(map(_shown, cut.replace("\r\n", "\n")))


def _shown(mark: str) -> str:
    if mark in "\n\t":
        return " "
    hidden = mark not in _JOINERS and unicodedata.category(mark) in _INVISIBLE
    return f"⟨U+{ord(mark):04X}⟩" if hidden else mark
