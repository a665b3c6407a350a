import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from curator_dagster import report
from curator_dagster.cli import app
from curator_dagster.report.command import contents, write_report
from curator_dagster.report.page import page, script_json
from curator_dagster.text import visible
from stages.errors import ParamsError
from stages.storage import Storage
from stages.tasks import Row
from tests.curator_dagster.made_roots import CLIP_ASSETS, WEBP, clip, write_frames, write_root

ROOM = 1_000_000
HOSTILE = '</script ><script>document.title = 1</script><img src=//x onerror="alert(1)"><!--<script>&lt;\u202egpj\x1b'


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


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


def page_of(storage: Storage) -> Parts:
    return Parts(page(contents(storage, ROOM)))


def test_page_stays_below_the_size_asked_for_and_counts_all_clips(storage: Storage) -> None:
    write_root(storage, [clip(number, uri="/long name/" * 50) for number in range(300)], until="clips")
    text = page(contents(storage, 300_000))
    parts = Parts(text)
    assert 120_000 < len(text.encode()) <= 300_000
    assert parts.data()["entries"] == 300
    assert 100 < len(parts.clips()) < 300
    assert parts.data()["funnel"][1]["rows"]["kept"] == 300


def test_page_holds_hostile_texts_as_data_alone(storage: Storage) -> None:
    ends = {"filtered_clips": {"status": "rejected", "reason": HOSTILE, "error": HOSTILE}}
    write_root(storage, [clip(0, uri=HOSTILE, caption=HOSTILE, scores={HOSTILE: 1.0}), clip(1, ends=ends)])
    plain, parts = page_of(Storage(storage.root + "-none")), page_of(storage)
    assert parts.tags == plain.tags
    row = parts.clips()["clip0"]
    assert row["caption"] == row["source"] == visible(HOSTILE, 500)
    assert "\u202e" not in row["caption"]
    assert parts.clips()["clip1"]["reason"] == visible(HOSTILE, 500)


def test_json_in_a_script_holds_no_mark_that_begins_or_ends_anything() -> None:
    text = script_json({HOSTILE: HOSTILE})
    assert not set("<>&") & set(text)
    assert json.loads(text) == {HOSTILE: HOSTILE}


def test_page_allows_its_own_script_and_style_and_no_request(storage: Storage) -> None:
    parts = page_of(storage)
    policy = next(attrs["content"] for tag, attrs in parts.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        text = next(text for name, text in parts.texts if name == tag and not text.startswith("{"))
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    assert not [attrs for _, attrs in parts.tags if {"src", "href", "style"} & set(attrs)]
    assert not [name for _, attrs in parts.tags for name in attrs if name.startswith("on")]


def test_page_script_makes_no_markup_from_text() -> None:
    scripts = "".join(path.read_text() for path in Path(report.__file__).parent.glob("*.js"))
    assert "textContent" in scripts
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(", scripts)


@pytest.mark.parametrize("until", ["videos", *CLIP_ASSETS])
def test_page_shows_a_root_where_only_some_phases_are_made(storage: Storage, until: str) -> None:
    write_root(storage, [clip(number) for number in range(4)], until=until)
    parts = page_of(storage)
    made = [step["asset"] for step in parts.data()["funnel"] if step["partitions"]]
    assert made == ["videos", *CLIP_ASSETS][: len(made)]
    assert made[-1] == until
    assert [way["asset"] for way in parts.data()["made_with"]] == made
    assert len(parts.clips()) == (3 if until == "videos" else 4)


def test_page_names_parameters_that_are_not_the_default(storage: Storage) -> None:
    write_root(storage, [clip(0)])
    ways = {way["asset"]: way for way in page_of(storage).data()["made_with"]}
    assert ["threshold", "0.4", False] in ways["clips"]["params"]
    assert not [name for way in ways.values() for name, _, is_changed in way["params"] if is_changed]


def test_report_command_writes_the_page_into_the_root(storage: Storage) -> None:
    write_root(storage, [clip(0, caption="a dog runs")])
    result = CliRunner().invoke(app, ["report", storage.root])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Report: {storage.root}/report.html\n"
    assert Parts(Path(storage.root, "report.html").read_text()).clips()["clip0"]["caption"] == "a dog runs"


def test_report_of_a_root_that_is_no_folder_goes_to_the_file_named(tmp_path: Path) -> None:
    write_root(Storage("memory://report"), [clip(0)])
    target = tmp_path / "new" / "page.html"
    assert write_report("memory://report", str(target), 1) == str(target)
    assert "clip0" in Parts(target.read_text()).clips()
    assert write_report("memory://report", "memory://elsewhere/page.html", 1) == "memory://elsewhere/page.html"
    assert Storage("memory://elsewhere").read_bytes("page.html").startswith(b"<!doctype html>")


def test_report_of_a_bucket_has_its_pictures(s3_bucket: str, tmp_path: Path) -> None:
    storage = Storage(f"{s3_bucket}/root")
    storage.write_bytes("dataset/p0/0.webp", WEBP)
    write_frames(storage, "p1", "v1", [2000, 3000, 5000])
    write_root(storage, [clip(0, preview_path="dataset/p0/0.webp"), clip(1)])
    write_report(storage.root, str(tmp_path / "page.html"), 1)
    clips = Parts((tmp_path / "page.html").read_text()).clips()
    assert {name: row["pictures"] for name, row in clips.items()} == {"clip0": 1, "clip1": 2}


@pytest.mark.parametrize(
    ("root", "output", "message"),
    [
        ("missing", None, "ROOT must be a folder"),
        ("memory://report", None, "--output must name a file where ROOT is a URL"),
        (".", ".", "--output must be a file, got \\."),
        (".", "memory://bucket/", "--output must be a file, got memory://bucket/"),
    ],
)
def test_report_rejects_what_it_cannot_read_or_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, output: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=message):
        write_report(root, output, 1)
