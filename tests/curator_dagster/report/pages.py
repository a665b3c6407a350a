"""Reads a page of the report as a test needs it."""

import json
from html.parser import HTMLParser
from typing import Any

from stages.tasks import Row


class Parts(HTMLParser):
    """Elements of a page, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = [("", "")]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.texts.append(("", ""))

    def handle_data(self, data: str) -> None:
        self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)  # it comes in pieces

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        return json.loads(next(text for tag, text in self.texts if tag == "script" and text.startswith("{")))

    def clips(self) -> dict[str, Row]:
        """Rows of the gallery by id."""
        gallery = self.data()["gallery"]
        rows = (dict(zip(gallery["columns"], row, strict=True)) for row in gallery["rows"])
        return {row["id"]: row for row in rows}
