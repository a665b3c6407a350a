from pathlib import Path

import pytest
from typer.testing import CliRunner

from curator_dagster.cli import app
from curator_dagster.commands.report import write_report
from stages.errors import ParamsError
from stages.storage import Storage
from tests.curator_dagster.report.pages import Parts
from tests.curator_dagster.synthetic_roots import WEBP, clip, write_frames, write_root


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


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
