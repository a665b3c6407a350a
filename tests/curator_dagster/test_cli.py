import csv
import io
import json
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from curator_dagster.cli import app
from curator_dagster.commands.show import write_table
from curator_dagster.commands.show_partitions import describe_partitions, write_partitions_table
from stages.manifest import ManifestRef, last_commit, read_manifest
from stages.params import GROUPS, ReadParams
from stages.run.phases import PHASE_CLASSES
from stages.sources import Register, list_sources, register_sources, registered_partitions
from stages.storage import Storage
from tests.curator_dagster import tiny_phases
from tests.curator_dagster.conftest import write_sources

LOCAL = ["--set", "executor.mode=local"]


@pytest.fixture
def runner(_tiny_phases: None, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return CliRunner()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def curated(runner: CliRunner, source_folder: Path, root: str) -> Result:
    return runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL])


@pytest.fixture(scope="module")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root with all seven tables, for tests that only read."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        for name, phase in tiny_phases.PHASES.items():
            patch.setitem(PHASE_CLASSES, name, phase)
        patch.delenv("DAGSTER_HOME", raising=False)
        arguments = ["run", str(write_sources(folder / "sources")), "--root", str(folder / "root"), *LOCAL]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    return str(folder / "root")


def figures(table: str) -> dict[str, list[str]]:
    """Cells by the first one, of lines that hold seven numbers."""
    lines = (line.split() for line in table.splitlines())
    return {cells[0]: cells[1:] for cells in lines if len(cells) == 8 and cells[1].isdigit()}


def test_run_ends_with_a_table_of_all_phases(curated: Result, root: str) -> None:
    assert curated.exit_code == 0, curated.stderr
    table = figures(curated.stdout)
    assert list(table) == ["read", "split", "filter", "embed", "caption", "dedup", "write"]
    assert table["read"][:6] == ["4", "0", "1", "0", "0", "5"]
    assert table["embed"][:3] == ["2", "0", "1"]
    assert f"Dataset: {root}/dataset\nVersion of the root: 1\n" in curated.stdout
    assert "read: 5 of 5 items, 1 failed" in curated.stderr


@pytest.mark.system
def test_run_again_reuses_every_row(curated: Result, runner: CliRunner, source_folder: Path, root: str) -> None:
    again = runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL])
    assert {phase: cells[3:6] for phase, cells in figures(again.stdout).items()} == {
        phase: [cells[5], "0", "0"] for phase, cells in figures(curated.stdout).items()
    }


def test_run_exits_1_where_too_much_failed_but_shows_what_was_committed(
    runner: CliRunner, source_folder: Path, root: str
) -> None:
    strict = ["--set", "embed.max_failed_fraction=0.1"]
    result = runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL, *strict])
    assert result.exit_code == 1
    assert "failed rows must be at most 10%" in result.stderr
    assert "All rows are committed" in result.stderr
    assert "embed" in figures(result.stdout)
    assert "dedup" not in figures(result.stdout)


def test_run_stops_at_the_asset_that_was_named(runner: CliRunner, source_folder: Path, root: str) -> None:
    result = runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL, "--until", "clips"])
    assert list(figures(result.stdout)) == ["read", "split"]
    assert f"Manifests: {root}/manifests" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "split.treshold=1"], "split.treshold is no parameter. Did you mean split.threshold?"),
        (["--set", 'dedup.rank_by=["foo"]'], "got 'foo'."),
        (["--set", "dedup.rank_by=[-motoin]"], "got 'motoin'. Did you mean motion?"),
        (["--set", "filter.filters+=motoin"], "got 'motoin'. Did you mean motion?"),
        (["--set", "filter.filters+=motion_vectors"], "requires vectors in split.signals, got ['flow']."),
        (["--until", "datset"], "got 'datset'. Did you mean dataset?"),
        (["--set", "split.threshold=1"], "split.threshold: Input should be less than 1, got 1"),
        (["--set", "threshold"], "--set must be PHASE.PARAM=VALUE"),
        (["--until", "clip"], "--until must be one of videos, clips"),
        (["--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_run_rejects_a_wrong_request(
    runner: CliRunner, source_folder: Path, root: str, arguments: list[str], message: str
) -> None:
    result = runner.invoke(app, ["run", str(source_folder), "--root", root, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path(root).exists()


def test_run_exits_130_where_it_is_interrupted_and_goes_on_from_there(
    runner: CliRunner, source_folder: Path, root: str
) -> None:
    (source_folder / "z interrupt-split.mp4").write_bytes(b"z")
    stopped = runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL])
    assert stopped.exit_code == 130
    assert "the same command goes on from there" in stopped.stderr
    assert list(figures(stopped.stdout)) == ["read"]
    again = runner.invoke(app, ["run", str(source_folder), "--root", root, *LOCAL])
    assert again.exit_code == 0
    reused, _, computed = figures(again.stdout)["split"][3:6]
    assert (reused, computed) == ("4", "1")


@pytest.mark.parametrize(
    "assignment", ["embed.embedder=nobody", "caption.captioner=nobody", "split.method=nobody:Nothing"]
)
def test_run_rejects_a_class_that_is_not_there(source_folder: Path, root: str, assignment: str) -> None:
    result = CliRunner().invoke(app, ["run", str(source_folder), "--root", root, "--set", assignment])
    assert result.exit_code == 2
    assert "nobody" in result.stderr
    assert not Path(root).exists()


@pytest.mark.system
@pytest.mark.parametrize(
    "only", [[], ["--asset", "embeddings"], pytest.param(["--reason", "unreadable"], marks=pytest.mark.system)]
)
def test_retry_works_on_failed_rows_and_what_follows(
    curated: Result, runner: CliRunner, root: str, monkeypatch: pytest.MonkeyPatch, only: list[str]
) -> None:
    assert curated.exit_code == 0
    monkeypatch.setattr(tiny_phases, "PHASES_WITHOUT_FAILURES", {"embed"})
    again = runner.invoke(app, ["retry", root, *only, *LOCAL])
    assert again.exit_code == 0, again.stderr
    assert "to be tried again: embeddings: 1 failed with unreadable" in again.stderr
    table = figures(again.stdout)
    assert table["embed"][:3] == ["3", "0", "0"]
    assert {phase: cells[5] for phase, cells in table.items() if cells[5] != "0"} == {
        **({} if only == ["--asset", "embeddings"] else {"read": "1"}),
        "embed": "1",
        "dedup": "1",
        "write": "1",
    }
    assert runner.invoke(app, ["run", str(Path(root).parent / "sources"), "--root", root, *LOCAL]).exit_code == 0
    failed = json.loads(runner.invoke(app, ["show", root, "--status", "failed", "--format", "json"]).stdout)
    assert [(row["asset"], row["rows"], row["next_run"]) for row in failed] == [
        ("videos", 1, "as it is; or `curator retry`")
    ]


def test_retry_says_where_nothing_failed_so(runner: CliRunner, finished_root: str) -> None:
    result = runner.invoke(app, ["retry", finished_root, "--reason", "stalled", *LOCAL])
    assert result.exit_code == 0
    assert "No row failed so" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--asset", "clip"], "--asset must be one of videos, clips"),
        (["--reason", "too_short"], "--reason must be one of unreadable"),
        (["--reason", "stall"], "got stall. Did you mean stalled?"),
        (
            ["--set", "split.threshold=0.3"],
            "(of the executor, or with effect 'none'), got split.threshold",
        ),
    ],
)
def test_retry_rejects_a_wrong_request(
    runner: CliRunner, finished_root: str, arguments: list[str], message: str
) -> None:
    result = runner.invoke(app, ["retry", finished_root, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_retry_rejects_a_root_without_tables(runner: CliRunner, tmp_path: Path) -> None:
    result = runner.invoke(app, ["retry", str(tmp_path)])
    assert result.exit_code == 2
    assert "Nothing is committed under" in result.stderr


def test_table_leaves_out_what_has_no_room(finished_root: str, capsys: pytest.CaptureFixture[str]) -> None:
    narrow, wide = Console(width=40, record=True), Console(width=200, record=True)
    rows = read_manifest(finished_root, "clips")
    write_table(rows, narrow)
    assert "start_s" not in narrow.export_text()
    assert "No room for uri, start_s, end_s, reason, error" in capsys.readouterr().err.replace("\n", " ")
    write_table(rows, wide)
    shown = wide.export_text()
    assert "start_s" in shown
    assert all(clip_id in shown for clip_id in rows["clip_id"].drop_null().to_pylist())


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_show_counts_the_reasons_of_all_assets(runner: CliRunner, finished_root: str, form: str) -> None:
    shown = runner.invoke(app, ["show", finished_root, "--format", form])
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("videos", "unreadable", "clips", "too_short", "dataset"))


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_run_rejects_a_source_without_videos(runner: CliRunner, tmp_path: Path, root: str, folder: str) -> None:
    result = runner.invoke(app, ["run", str(tmp_path / folder), "--root", root, *LOCAL])
    assert result.exit_code == 2
    assert "SOURCE must" in result.stderr


@pytest.mark.parametrize("command", [[], ["run"], ["retry"]])
def test_help_is_one_screen(runner: CliRunner, command: list[str]) -> None:
    text = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "80"}).stdout
    assert len(text.splitlines()) <= 40
    assert ("--help-params [GROUP]" in text) is bool(command)


def test_help_says_what_each_command_does_in_whole_sentences(runner: CliRunner) -> None:
    _, _, commands = runner.invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout.partition("Commands:\n")
    assert len(commands.splitlines()) == 11
    assert all(line.endswith(".") and not line.endswith("..") for line in commands.splitlines())


def test_help_params_lists_every_parameter_with_bounds_and_default(runner: CliRunner) -> None:
    text = runner.invoke(app, ["run", "--help-params"]).stdout
    assert all(f"{group}.{name}: " in text for group, model in GROUPS.items() for name in model.model_fields)
    assert "split.threshold: 0 < number < 1, default 0.4" in text


@pytest.mark.parametrize("option", [["--help-params", "split"], ["--help-params=split"]])
def test_help_params_of_a_group_lists_no_other(runner: CliRunner, option: list[str]) -> None:
    text = runner.invoke(app, ["run", *option]).stdout
    assert "  split.threshold: " in text
    assert "write." not in text


def test_help_params_rejects_an_unknown_group(runner: CliRunner) -> None:
    result = runner.invoke(app, ["run", "--help-params", "spilt"])
    assert result.exit_code == 2
    assert "got 'spilt'. Did you mean split?" in result.stderr


def test_version_is_that_of_the_package(runner: CliRunner) -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"curator-dagster {version('curator-dagster')}\n"


def test_run_takes_the_file_of_the_environment_and_says_so(
    runner: CliRunner, source_folder: Path, root: str, tmp_path: Path
) -> None:
    file = tmp_path / "curate.yaml"
    file.write_text("{split: {threshold: 0.3}, executor: {mode: local}}")
    environment = {"CURATOR_CONFIG": str(file), "CURATOR_ROOT": root}
    result = runner.invoke(app, ["run", str(source_folder), "--until", "clips"], env=environment)
    assert result.exit_code == 0, result.stderr
    assert f"parameters: {file} (CURATOR_CONFIG)" in result.stderr
    commit = last_commit(Storage(root), ManifestRef(root, "clips", registered_partitions(Storage(root))[0]))
    assert commit is not None
    assert commit.lineage["params"]["threshold"] == 0.3


def test_show_prints_hostile_names_as_they_are(runner: CliRunner, finished_root: str) -> None:
    shown = runner.invoke(app, ["show", finished_root, "videos", "--status", "kept"])
    assert shown.exit_code == 0
    assert "e [bold]\\x1b[31m.mp4" in shown.stdout
    assert "\x1b" not in shown.stdout
    failed = runner.invoke(app, ["show", finished_root, "videos", "--status", "failed"])
    assert "The header is damaged. Replace the file." in failed.stdout


def test_show_limits_rows_and_says_so(runner: CliRunner, finished_root: str) -> None:
    shown = runner.invoke(app, ["show", finished_root, "clips", "--limit", "1"])
    assert "3 more rows; --limit 0 shows all." in shown.stderr
    assert len(json.loads(runner.invoke(app, ["show", finished_root, "clips", "--format", "json"]).stdout)) == 4


def test_show_writes_csv_and_json_with_all_columns(runner: CliRunner, finished_root: str) -> None:
    rows = json.loads(runner.invoke(app, ["show", finished_root, "filtered_clips", "--format", "json"]).stdout)
    lines = csv.DictReader(
        io.StringIO(runner.invoke(app, ["show", finished_root, "filtered_clips", "--format", "csv"]).stdout)
    )
    assert [row["clip_id"] for row in rows] == [line["clip_id"] for line in lines]
    assert {"scores", "thresholds", "row_key", "frames_key"} <= set(rows[0])


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_show_tells_how_a_clip_came_to_be(runner: CliRunner, finished_root: str, form: str) -> None:
    (first, *_) = json.loads(runner.invoke(app, ["show", finished_root, "dataset", "--format", "json"]).stdout)
    shown = runner.invoke(app, ["show", finished_root, "captions", "--lineage", first["clip_id"], "--format", form])
    assert shown.exit_code == 0
    assert all(asset in shown.stdout for asset in ("videos", "clips", "filtered_clips", "captions", "code_version"))
    assert "manifests/dataset/" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "clips"], "Nothing is committed for clips"),
        (["nothing", "clip"], "Asset must be one of"),
        (["root", "clips", "--lineage", "nobody"], "No asset under"),
        (["root", "clips", "--status", "lost"], "--status"),
        (["root", "clips", "--partitions"], "--partitions must stand without ASSET"),
        (["root", "--partitions", "--status", "kept"], "--partitions must stand without ASSET"),
        (["nothing", "--partitions"], "Partitions must be registered under"),
        (["root", "clips", "--format", "xml"], "--format"),
    ],
)
def test_show_rejects_what_is_not_there(
    runner: CliRunner, finished_root: str, arguments: list[str], message: str
) -> None:
    result = runner.invoke(app, ["show", str(Path(finished_root).parent / arguments[0]), *arguments[1:]])
    assert result.exit_code == 2
    assert message in result.stderr


def test_show_says_what_is_in_each_partition(runner: CliRunner, finished_root: str) -> None:
    shown = runner.invoke(app, ["show", finished_root, "--partitions"])
    (row,) = json.loads(runner.invoke(app, ["show", finished_root, "--partitions", "--format", "json"]).stdout)
    (line,) = csv.DictReader(
        io.StringIO(runner.invoke(app, ["show", finished_root, "--partitions", "--format", "csv"]).stdout)
    )
    (key,) = registered_partitions(Storage(finished_root))
    assert (row["partition"], row["videos"], row["hours"]) == (key, 5, round(4 * 2 / 3600, 4))
    assert row["names"] == ["a.mp4", "b unreadable-read.mp4", "c short-split.mp4"]
    assert row["newest"][:10] == key[:10]
    assert {name: str(value) for name, value in row.items() if name != "names"} == {
        name: value for name, value in line.items() if name != "names"
    }
    assert key in shown.stdout
    assert "a.mp4, b unreadable-read.mp4, c short-split.mp4 and 2 more" in shown.stdout


def test_show_has_the_newest_partitions_last(runner: CliRunner, tmp_path: Path) -> None:
    sources = list_sources(str(write_sources(tmp_path / "sources")), ReadParams())
    keys = register_sources(Storage(tmp_path / "root"), sources, ReadParams(partition_size=2))
    shown = runner.invoke(app, ["show", str(tmp_path / "root"), "--partitions", "--limit", "2"])
    assert [line.split()[0] for line in shown.stdout.splitlines() if "mp4" in line] == keys[1:]
    assert "1 older partitions; --limit 0 shows all." in shown.stderr
    narrow = Console(width=50, record=True, file=io.StringIO())
    write_partitions_table(describe_partitions(Register(Storage(tmp_path / "root")), keys), narrow)
    text = narrow.export_text()
    assert all(key in text for key in keys)
    assert ("names" in text, "newest" in text) == (True, False)
    everything = runner.invoke(app, ["show", str(tmp_path / "root"), "--partitions", "--format", "json"])
    assert [(row["partition"], row["hours"]) for row in json.loads(everything.stdout)] == [(key, None) for key in keys]
