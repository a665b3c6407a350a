"""`curator forget`, and what `curator run` says of a source that was forgotten."""

from pathlib import Path

import pytest

from curator_dagster.commands.cli_params import parse_params
from curator_dagster.commands.forget import forget_command
from curator_dagster.commands.run_plan import plan_run
from stages.errors import ParamsError
from stages.params import ReadParams
from stages.sources import Source, register_sources
from stages.storage import Storage


@pytest.fixture
def root(tmp_path: Path) -> Storage:
    """A root where `a.mp4` of the folder `videos` is registered."""
    (tmp_path / "videos").mkdir()
    for name in "ab":
        (tmp_path / "videos" / f"{name}.mp4").write_bytes(b"video")
    root = Storage(tmp_path / "root")
    register_sources(root, [Source(str(tmp_path / "videos" / "a.mp4"), "1", 5)], ReadParams())
    root.write_bytes("report.html", b"a picture of it")
    return root


def test_forget_says_what_it_removed(
    root: Storage, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "videos")
    assert forget_command(root.root, "a.mp4", asks=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path}/videos/a.mp4 is taken out of all versions of the root."
    assert "report.html removed, which may show it; `curator report` makes it again" in lines
    assert not root.exists("report.html")


def test_run_leaves_out_what_was_forgotten(root: Storage, tmp_path: Path) -> None:
    forgotten = tmp_path / "videos" / "a.mp4"
    forget_command(root.root, str(forgotten), asks=False)
    params = parse_params(None, [])
    assert plan_run(str(forgotten.parent), root.root, params, until="videos").num_sources == 1
    with pytest.raises(ParamsError, match="which `curator forget` took out"):
        plan_run(str(forgotten), root.root, params, until="videos")
