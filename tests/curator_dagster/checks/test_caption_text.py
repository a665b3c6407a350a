from pathlib import Path

import pytest

from curator_dagster.checks.caption_text import caption_text
from tests.curator_dagster.checks.tables import checked_table, commit, row


@pytest.mark.parametrize(
    ("captions", "passed"),
    [
        ([f"Text {n}." for n in range(12)], True),
        (["The same."] * 6 + [f"Text {n}." for n in range(6)], True),
        (["The same.", "the  SAME."] * 4 + [f"Text {n}." for n in range(4)], False),
        (["The same."] * 4, True),  # too few to tell
        (["One.", " ", "Two."], False),
        ([], True),
    ],
)
def test_caption_text_passes_captions_that_differ(tmp_path: Path, captions: list[str], passed: bool) -> None:
    made = commit(tmp_path, "captions", [row(n, caption=caption) for n, caption in enumerate(captions)])
    result = caption_text(checked_table(tmp_path, made))
    assert (result.passed, result.excess <= 0) == (passed, passed)
