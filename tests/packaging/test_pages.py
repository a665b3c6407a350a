"""Which test runs which commands of README.md and docs/, and that each can be parsed."""

import importlib.util
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from curator_dagster.cli import app
from tests.packaging.distributions import PROJECT
from tests.packaging.page_commands import Block, block, blocks, inline_commands
from tests.packaging.reader_shell import ReaderShell
from tests.packaging.test_commands import RUN
from tests.videos import three_shots

NOT_RUN = {
    block("docs/models.md", "curator models"): "needs a hub; tests/stages/models/test_checkpoints.py has one",
    block("docs/models.md", "make test-gpu"): "needs a GPU; tests/gpu/test_gpu_checks.py runs it on a CPU",
    block("docs/captions.md", "pip install 'curator-dagster[transformers]'"): (
        "needs a hub; tests/stages/models/test_transformers_captioner.py makes checkpoints of its own"
    ),
    block("docs/captions.md", 'export CURATOR_VLLM="/opt/vllm/bin/vllm serve'): (
        "needs vLLM in an environment of its own; tests/stages/models/test_managed_server.py starts a server of its own"
    ),
    block("docs/search.md", 'curator search ROOT "a cat on a sofa"'): (
        "needs a checkpoint; tests/stages/search/test_searching.py has a further embedder"
    ),
    block("docs/deploy.md", "ray start --head"): "needs a second machine; tests/deploy/test_ray_nodes.py has two nodes",
    block("docs/deploy.md", "curator status --address"): "needs a cluster; tests/faults/test_metrics.py asks one",
}
"""Commands that no test runs as they stand, and why."""


def test_every_command_of_the_pages_is_run_by_a_test_or_says_why_not() -> None:
    assert set(RUN) | set(NOT_RUN) == set(blocks())
    assert not set(RUN) & set(NOT_RUN)


def curator_commands() -> list[str]:
    lines = [line for each in blocks() for line in each.lines]
    return [line.removeprefix(".venv/bin/") for line in lines if re.match(r"(\.venv/bin/)?curator ", line)] + [
        command for command in inline_commands("curator") if not re.search(r" --(?!help)[a-z]+$", command)
    ]


@pytest.mark.parametrize("line", dict.fromkeys(curator_commands()))
def test_curator_takes_the_arguments_of_the_pages(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are parsed, and nothing is done."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "curate.yaml").touch()
    monkeypatch.setenv("CURATOR_ROOT", "curated")
    _, name, *arguments = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    command = group.commands[name]
    if arguments and not any(argument.startswith("--help") for argument in arguments):
        command.make_context(name, arguments)


@pytest.mark.parametrize("target", sorted({command.split()[1] for command in inline_commands("make")}))
def test_make_has_the_targets_of_the_pages(target: str) -> None:
    assert re.search(rf"^{target}:", (PROJECT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", [*inline_commands("python"), *inline_commands("PYTHONPATH=. python")])
def test_scripts_of_the_pages_are_there(line: str) -> None:
    words = line.split()
    if "-m" in words:
        assert importlib.util.find_spec(words[words.index("-m") + 1])
        return
    [script] = [word for word in words if word.endswith(".py")]
    assert (PROJECT / script).is_file()


def test_a_word_to_be_replaced_must_stand_in_the_commands() -> None:
    given = Block("page.md", ("curator show ROOT", 'cp a "$ROOT"'))
    assert given.script({"ROOT": "./a"}) == 'curator show ./a\ncp a "$ROOT"'
    with pytest.raises(AssertionError, match="SOURCE stands in no command"):
        given.script({"SOURCE": "b"})


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("folder", "command", "given"),
    [
        ("docs/example", "dg utils inspect-component", {}),
        (".", "PYTHONPATH=. python benchmarks/ticks.py", {"100000": "200"}),
        (".", "python benchmarks/shots.py", {"FOLDER": "{videos}", "OUT.json": "{work}/out.json"}),
    ],
)
def test_command_in_a_sentence_goes_through(folder: str, command: str, given: dict[str, str], tmp_path: Path) -> None:
    """Words that stand for something of the reader's are replaced; 200 objects stand for 100,000."""
    program = command.split(maxsplit=1)[0] if not command.startswith("PYTHONPATH") else "PYTHONPATH=. python"
    [line] = [each for each in inline_commands(program) if each.startswith(command)]
    (tmp_path / "videos").mkdir()
    three_shots(tmp_path / "videos" / "three.mp4")
    for word, value in given.items():
        assert word in line
        line = line.replace(word, value.format(videos=tmp_path / "videos", work=tmp_path))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert ReaderShell(PROJECT / folder, tmp_path / "home", PATH=path).type(line)
