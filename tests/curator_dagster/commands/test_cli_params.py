from pathlib import Path

import pytest

from curator_dagster.commands.cli_params import parameter_help, parse_assignments, parse_params, read_config_file
from stages.errors import ParamsError
from stages.params import GROUPS


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("split.threshold=0.3", 0.3),
        ("split.stride_s=null", None),
        ("filter.score_only=[motion, black]", ["motion", "black"]),
        ("caption.prompt=no", "no"),
        ("caption.prompt=What: is it? a=b", "What: is it? a=b"),
        ("caption.prompt='quoted'", "quoted"),
        ("write.require_caption=yes", True),
        ("executor.address=127.0.0.1:6379", "127.0.0.1:6379"),
    ],
)
def test_assignments_are_read_as_yaml_but_texts_as_they_are(assignment: str, value: object) -> None:
    ((_, values),) = parse_assignments([assignment]).items()
    assert list(values.values()) == [value]


@pytest.mark.parametrize("assignment", ["split", "split.threshold", "threshold=1", "="])
def test_parse_assignments_rejects_another_form(assignment: str) -> None:
    with pytest.raises(ParamsError, match=r"--set must be PHASE\.PARAM=VALUE"):
        parse_assignments([assignment])


def test_assignments_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("split: {threshold: 0.3, min_length_s: 1}\nwrite:\n")
    params = parse_params(file, ["split.threshold=0.5"])
    assert (params["split"].threshold, params["split"].min_length_s) == (0.5, 1.0)


@pytest.mark.parametrize("text", ["split: [", "- split", "split: 3", "just words"])
def test_read_config_rejects_other_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ParamsError, match="--config must"):
        read_config_file(file)


@pytest.mark.parametrize(
    ("assignment", "lists", "not_lists"),
    [
        ("split.treshold=1", ["split.threshold: 0 < number < 1, default 0.4", "split.crop_s"], "  write.quality"),
        ("splt.threshold=1", ["splt must be one of", "split.crop_s", "write.quality", "executor.mode"], "\0"),
        ("write.quality=64", ["write.quality: ", "got 64"], "write.encoder"),
    ],
)
def test_wrong_names_list_what_there_is(assignment: str, lists: list[str], not_lists: str) -> None:
    with pytest.raises(ParamsError) as raised:
        parse_params(None, [assignment])
    assert all(text in str(raised.value) for text in lists)
    assert not_lists not in str(raised.value)


def test_parameter_lines_name_every_parameter() -> None:
    text = "\n".join(parameter_help(GROUPS))
    for group, model in GROUPS.items():
        for name in model.model_fields:
            assert f"  {group}.{name}: " in text
