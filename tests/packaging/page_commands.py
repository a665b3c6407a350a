"""The commands that README.md and docs/ tell a reader to type: indented blocks whose lines begin with a program."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.packaging.distributions import PROJECT

PROGRAMS = re.compile(
    r"(\.venv/bin/)?(make|curator|dg|dagster|create-dagster|pip|python|pytest|ray|cd|cp|cat|mkdir|echo|export) "
)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    \S.*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """Commands that stand together on a page.

    Attributes:
        page: path of the page in the project.
        lines: the commands, with their comments.
    """

    page: str
    lines: tuple[str, ...]

    def script(self, given: Mapping[str, str]) -> str:
        """The commands with words such as ROOT replaced by what a reader puts there; every word must occur."""
        text = "\n".join(self.lines)
        for word, value in given.items():
            text, times = re.subn(rf"(?<![\w$/-]){re.escape(word)}(?!\w)", lambda _, value=value: value, text)
            assert times, f"{word} stands in no command of {self.page}: {text}"
        return text


def pages() -> dict[str, str]:
    """The text of each page by its path."""
    paths = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
    return {path.relative_to(PROJECT).as_posix(): path.read_text() for path in paths}


def blocks() -> list[Block]:
    """Every block of commands of every page, in order."""
    found = []
    for page, text in pages().items():
        for indented in _INDENTED.findall(_FENCED.sub("", text)):
            lines = tuple(line[4:] for line in indented.splitlines())
            if PROGRAMS.match(lines[0]):
                assert all(map(PROGRAMS.match, lines)), f"{page} mixes commands with something else: {lines}"
                found.append(Block(page, lines))
    return found


def block(page: str, begin: str) -> Block:
    """The one block of a page whose first line begins so."""
    [found] = [each for each in blocks() if each.page == page and each.lines[0].startswith(begin)]
    return found


def inline_commands(program: str) -> list[str]:
    """Commands of a program within sentences, with their arguments."""
    texts = [_FENCED.sub("", text) for text in pages().values()]
    return [command for text in texts for command in _INLINE.findall(text) if command.startswith(f"{program} ")]
