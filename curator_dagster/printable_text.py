"""Makes untrusted text (file names, captions, messages) safe to show in the HTML report and in Dagster's UI."""

import re
import sys
import unicodedata

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_JOINERS = "\u200c\u200d"
"""Invisible, but needed to write Persian and emoji."""
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories: controls, formats (which can reverse text), surrogates, line and paragraph separators."""


def printable(text: str, max_chars: int = sys.maxsize) -> str:
    """The text on one line, at most so long, with invisible characters written out: ``⟨U+202E⟩``.

    User name and password of a URL are removed, because pages are passed on.
    """
    plain = _CREDENTIALS.sub("", text).strip()
    cut = plain if len(plain) <= max_chars else plain[: max_chars - 1] + "…"
    return cut if cut.isprintable() else "".join(map(_escape_invisible, cut.replace("\r\n", "\n")))


def _escape_invisible(char: str) -> str:
    if char in "\n\t":
        return " "
    hidden = char not in _JOINERS and unicodedata.category(char) in _INVISIBLE
    return f"⟨U+{ord(char):04X}⟩" if hidden else char
