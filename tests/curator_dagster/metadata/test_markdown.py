import numpy as np
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from curator_dagster.metadata.markdown import (
    BUDGET,
    MAX_BYTES,
    MAX_INLINE_CHARS,
    escape_markdown,
    render_markdown,
)
from curator_dagster.printable_text import printable
from stages.pictures import SVG, WEBP, Exhibit, Picture

HOSTILE = [
    "![x](javascript:alert(1))",
    "](javascript:alert(1)) [click](http://evil.example)",
    "<img src=x onerror=alert(1)><script>alert(1)</script>",
    "a | b || c",
    "`code` ``` fence ~~~ **bold** _it_ ~~s~~",
    "&lt;b&gt; &#x6a;avascript: &amp;",
    "# heading\n\n- item\n> quote\r\n---\n1. one\t    code",
    "\\",
    "\\| \\\\| ends in \\",
    "[ref]: javascript:x\n[^1]: note",
    "\u202eevil\u2066 \x1b[31m \x00",
    "<!-- comment",
]


def tokens_of(markdown: str) -> list[Token]:
    """Everything in it, as GitHub's tables and CommonMark have it."""
    blocks = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)
    return [token for block in blocks for token in [block, *(block.children or [])]]


def picture(*lines: str, size: int = 30) -> Picture:
    noise = np.random.default_rng(size).bytes(size)
    return Picture(noise, WEBP, lines, noise[:500])


@pytest.mark.parametrize("text", HOSTILE)
def test_escape_markdown_shows_the_text_itself(text: str) -> None:
    tokens = tokens_of(escape_markdown(text))
    assert {token.type for token in tokens} <= {"paragraph_open", "inline", "paragraph_close", "text", "text_special"}
    rendered = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
    assert [letter for letter in rendered if letter not in " \u2060"] == [*printable(text).replace(" ", "")]


@pytest.mark.parametrize("text", ["http://evil.example", "HTTPS://e.x", "www.evil.example", "me@evil.example"])
def test_escape_markdown_breaks_bare_addresses(text: str) -> None:
    assert "\u2060" in escape_markdown(text)
    assert escape_markdown(text).replace("\u2060", "").replace("\\", "") == text


def test_escape_markdown_leaves_out_name_and_password_of_an_address() -> None:
    assert "secret" not in escape_markdown("ftp://me:secret@host/a.mp4 is damaged")


@pytest.mark.parametrize("text", HOSTILE)
def test_rendered_markdown_of_hostile_texts_holds_our_pictures_and_no_link(text: str) -> None:
    sheet = Exhibit("kept_clips", text, ((picture(text, "b"), picture("c")), (picture(text), picture("d"))))
    for _, markdown in render_markdown(
        [sheet, Exhibit("captions", text, ((picture(text, text),), (picture("x", "y"),)))]
    ):
        tokens = tokens_of(markdown)
        images = [token.attrs["src"] for token in tokens if token.type == "image"]
        assert images
        assert all(str(source).startswith("data:image/webp;base64,") for source in images)
        assert not [token for token in tokens if token.type.startswith(("link", "html", "code", "fence", "heading"))]
        assert len({token.type for token in tokens if token.type == "table_open"}) <= 1


def test_a_sheet_has_one_table_with_the_lines_below_each_picture() -> None:
    ((_, markdown), *_) = render_markdown(
        [Exhibit("sheet", "note", ((picture("a", "1"), picture("b")), (picture("c"),) * 2))]
    )
    rows = [token.type for token in tokens_of(markdown)].count("tr_open")
    assert rows == 1 + (1 + 2) + (1 + 1)
    assert markdown.splitlines()[-1] == "| c | c |"


def test_a_picture_without_text_stands_alone() -> None:
    svg = Picture(b"<svg/>", SVG, small=b"<svg/>")
    assert list(render_markdown([Exhibit("histogram", "", ((svg,),))])) == [
        ("histogram", "![](data:image/svg+xml;base64,PHN2Zy8+)")
    ]


@pytest.mark.parametrize("letter", ["x", "|", "\U0001f600"])
def test_previews_are_short_enough_to_be_shown_at_once(letter: str) -> None:
    sheet = Exhibit("kept_clips", "", ((picture(letter * 600, letter * 99, size=5000), picture(letter, size=5000)),))
    previews = dict(render_markdown([sheet]))
    assert list(previews) == ["kept_clips", "kept_clips_1", "kept_clips_2"]
    assert letter in previews["kept_clips_1"].replace("\\", "")
    assert all(len(previews[name].encode("utf-16-le")) < 2 * MAX_INLINE_CHARS for name in list(previews)[1:])


def test_markdown_stays_below_its_limit_with_pictures_of_noise_and_long_hostile_texts() -> None:
    rows = tuple((picture("|" * 600, "\U0001f600" * 160, size=BUDGET.total_bytes // 10),) * 2 for _ in range(5))
    sheets = [Exhibit(name, "note", rows) for name in ("kept_clips", "rejected_clips", "captions")]
    found = dict(render_markdown(sheets))
    assert sum(len(markdown.encode()) for markdown in found.values()) <= MAX_BYTES
    assert "no room for pictures" in found["captions"]
    assert "data:image" in found["kept_clips"]


def test_a_missing_picture_is_told() -> None:
    ((_, markdown), *_) = render_markdown([Exhibit("sheet", "", ((Picture(b"", WEBP, ("a",)), picture("b")),))])
    assert "*no picture*" in markdown
