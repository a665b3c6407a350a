import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from curator_dagster import report
from curator_dagster.printable_text import printable
from curator_dagster.report.contents import page_contents
from curator_dagster.report.page import render_page, script_json
from stages.storage import Storage
from tests.curator_dagster.report.pages import Parts
from tests.curator_dagster.synthetic_roots import CLIP_ASSETS, clip, write_root

ROOM = 1_000_000


HOSTILE = '</script ><script>document.title = 1</script><img src=//x onerror="alert(1)"><!--<script>&lt;\u202egpj\x1b'


def page_of(storage: Storage) -> Parts:
    return Parts(render_page(page_contents(storage, ROOM)))


def test_page_stays_below_the_size_asked_for_and_counts_all_clips(storage: Storage) -> None:
    write_root(storage, [clip(number, uri="/long name/" * 50) for number in range(300)], until="clips")
    text = render_page(page_contents(storage, 300_000))
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
    assert row["caption"] == row["source"] == printable(HOSTILE, 500)
    assert "\u202e" not in row["caption"]
    assert parts.clips()["clip1"]["reason"] == printable(HOSTILE, 500)


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
