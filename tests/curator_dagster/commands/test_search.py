"""`curator search` as a person calls it, and its page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app
from stages.storage import Storage
from tests.curator_dagster.report.pages import Parts
from tests.curator_dagster.synthetic_roots import JPEG, write_frames
from tests.stages.search.roots import drawn_vectors, write_clips, write_unique

HOSTILE = '</bdi></style><script>document.title = "owned"</script><img src=x onerror="document.title=1">"\' \x1b[31m'
VECTORS = drawn_vectors(6)


@pytest.fixture
def root(tmp_path: Path) -> str:
    """Six clips; one is a duplicate, and the caption and source of one are hostile."""
    captions = {name: [f"clip {name} of six"] for name in VECTORS} | {"c01": [HOSTILE]}
    place = tmp_path / "root"
    write_clips(place, VECTORS, captions=captions, facts={"c01": {"uri": f"/{HOSTILE}.mp4"}})
    write_unique(place, {name: "duplicate" if name == "c04" else "kept" for name in VECTORS})
    write_frames(Storage(place), "p1", "v-p1", [1100, 2100, 2300])
    return str(place)


def curator(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def order_of(name: str) -> list[str]:
    """Kept clips by falling similarity to one."""
    others = [other for other in VECTORS if other not in (name, "c04")]
    return sorted(others, key=lambda other: -float(VECTORS[name] @ VECTORS[other]))


def test_table_has_similarity_clip_and_caption(root: str) -> None:
    out, err = curator(root, "--like", "c00", "--top", "3")
    lines = [line for line in out.splitlines() if " c0" in line]
    assert [line.split()[1] for line in lines] == order_of("c00")[:3]
    assert lines[0].split()[0] == f"{VECTORS['c00'] @ VECTORS[order_of('c00')[0]]:.3f}"
    assert "by toy/mean" in err
    assert "3 of 4 clips; --top 0 shows all." in err
    assert "\x1b" not in out


def test_json_has_all_columns(root: str) -> None:
    out, _ = curator(root, "--where", "clip_id >= 'c03'", "--status", "all", "--json")
    rows = json.loads(out)
    assert [(row["clip_id"], row["status"], row["reason"], row["query_similarity"]) for row in rows] == [
        ("c03", "kept", None, None),
        ("c04", "rejected", "duplicate", None),
        ("c05", "kept", None, None),
    ]
    assert rows[0]["caption"] == "clip c03 of six"
    assert curator(root, "--where", "height < 0", "--json")[0].split() == ["[", "]"]
    assert "No clip was found." in curator(root, "--where", "height < 0")[1]


def test_page_has_pictures_and_runs_nothing(root: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "found.html"
    out, _ = curator(root, "--like", "c00", "--status", "all", "--html", str(target))
    assert out == f"Page: {target}\n"
    text = target.read_text()
    page = Parts(text)
    assert not [tag for tag, _ in page.tags if tag in ("script", "iframe", "object", "link")]
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in images)
    assert len(images) == 3, "one of c01, two of c02"
    assert all(set(image) == {"src", "alt"} for image in images)
    assert "&lt;/bdi&gt;&lt;/style&gt;&lt;script&gt;" in text
    assert text.count("no frames stored") == 3
    assert text.count('class="badge rejected"') == 1
    assert len(JPEG) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "requires a text, --like, --image or --where"),
        (("--like", "c0"), "--like must be a clip with an embedding, got 'c0'"),
        (("--where", "higth > 1"), "got 'higth'. Did you mean height"),
        (("--like", "c00", "--html", "."), "--html must be a file, got ."),
        (("--like", "c00", "--asset", "videos"), "asset must be one of clips"),
    ],
)
def test_command_says_what_is_wrong(arguments: tuple[str, ...], message: str, root: str) -> None:
    result = CliRunner().invoke(app, ["search", root, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_root_without_tables_names_the_command_that_makes_them(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["search", str(tmp_path), "--like", "c00"])
    assert result.exit_code == 2
    assert "Nothing is committed for unique_clips" in result.stderr
