import pytest

from curator_dagster.printable_text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 日本語\u3000 and é", "plain, 日本語\u3000 and é"),
        ("evil\u202egpj.exe", "evil⟨U+202E⟩gpj.exe"),
        ("\x1b[31mred\x00", "⟨U+001B⟩[31mred⟨U+0000⟩"),
        ("two\r\nlines\tand\u2028more", "two lines and⟨U+2028⟩more"),
        ("half \udcff", "half ⟨U+DCFF⟩"),
        ("👩\u200d🚀 क्\u200cष", "👩\u200d🚀 क्\u200cष"),
        ("https://me:secret@host/v.mp4", "https://host/v.mp4"),
        ("x" * 60, "x" * 49 + "…"),
    ],
)
def test_printable_writes_out_what_cannot_be_seen(text: str, shown: str) -> None:
    assert printable(text, 50) == shown
