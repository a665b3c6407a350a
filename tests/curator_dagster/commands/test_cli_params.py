from pathlib import Path

import pytest

from curator_dagster.commands.cli_params import (
    parse_assignments,
    parse_params,
    parse_retry_params,
    read_config_file,
)
from curator_dagster.commands.params_help import parameter_help
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


def test_read_config_rejects_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"--config, or CURATOR_CONFIG, must name a file .*nowhere\.yaml"):
        read_config_file(tmp_path / "nowhere.yaml")


def test_assignments_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("split: {threshold: 0.3, min_length_s: 1}\nwrite:\n")
    params = parse_params(file, ["split.threshold=0.5"])
    assert (params["split"].threshold, params["split"].min_length_s) == (0.5, 1.0)


@pytest.mark.parametrize("text", ["split: [", "- split", "split: 3", "just words"])
def test_read_config_rejects_other_contents(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ParamsError, match="--config must"):
        read_config_file(file)


@pytest.mark.parametrize(
    ("assignment", "lines"),
    [
        (
            "split.treshold=1",
            [
                "split.treshold is no parameter. Did you mean split.threshold?",
                "`curator run --help-params split` lists the parameters of split.",
            ],
        ),
        (
            "splt.threshold=1",
            [
                "splt is no group of parameters. Did you mean split.threshold?",
                "`curator run --help-params` lists the parameters.",
            ],
        ),
        (
            "filter.threshold=1",
            [
                "filter.threshold is no parameter. Did you mean split.threshold?",
                "`curator run --help-params filter` lists the parameters of filter.",
            ],
        ),
        (
            "filter.filters=size, motion",
            [
                "filter.filters: Input should be a valid list, got 'size, motion'.",
                "Write a list as --set 'filter.filters=[size,motion]', or add to it: --set filter.filters+=size",
            ],
        ),
        ("write.quality=64", ["write.quality: Input should be less than or equal to 63, got 64."]),
        (
            "threshold=1",
            [
                "--set must be PHASE.PARAM=VALUE, as in split.threshold=0.3, got 'threshold=1'. "
                "Did you mean split.threshold?"
            ],
        ),
    ],
)
def test_errors_are_two_lines_at_most_with_the_nearest_names(assignment: str, lines: list[str]) -> None:
    with pytest.raises(ParamsError) as raised:
        parse_params(None, [assignment])
    assert str(raised.value).splitlines() == lines


@pytest.mark.parametrize(
    ("assignments", "filters"),
    [
        (["filter.filters=[size,motion]"], ["size", "motion"]),
        (["filter.filters=[size]", "filter.filters+=[motion, black]"], ["size", "motion", "black"]),
        (["filter.filters+=size", "filter.filters+=a.b:C"], ["frozen", "size", "a.b:C"]),
    ],
)
def test_lists_are_set_or_added_to(tmp_path: Path, assignments: list[str], filters: list[str]) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("filter: {filters: [frozen]}")
    assert parse_params(file, assignments)["filter"].filters == filters


def test_adding_to_a_list_begins_with_its_default() -> None:
    default = parse_params(None, [])
    added = parse_params(None, ["filter.filters+=motion_vectors", "read.include+=*.y4m"])
    assert added["filter"].filters == [*default["filter"].filters, "motion_vectors"]
    assert added["read"].include == [*default["read"].include, "*.y4m"]


def test_a_list_of_globs_is_a_list() -> None:
    assert parse_params(None, ["read.include=[*.mp4, *.mov]"])["read"].include == ["*.mp4", "*.mov"]


def test_parse_params_rejects_adding_to_what_is_no_list() -> None:
    with pytest.raises(ParamsError, match=r"split\.threshold\+= requires a list of values"):
        parse_params(None, ["split.threshold+=0.1"])


def test_retry_takes_of_the_environments_file_what_undoes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("{split: {threshold: 0.3}, caption: {base_url: 'http://a/v1'}, executor: {num_workers: 2}}")
    taken = parse_retry_params(file, ["executor.num_workers=3"], file_is_of_environment=True)
    assert taken == {"split": {}, "caption": {"base_url": "http://a/v1"}, "executor": {"num_workers": 3}}
    with pytest.raises(ParamsError, match=r"got split\.threshold"):
        parse_retry_params(file, [])
    with pytest.raises(ParamsError, match=r"got split\.crop_s"):
        parse_retry_params(file, ["split.crop_s=1"], file_is_of_environment=True)


def test_parameter_lines_name_every_parameter() -> None:
    text = "\n".join(parameter_help(GROUPS))
    for group, model in GROUPS.items():
        for name in model.model_fields:
            assert f"  {group}.{name}: " in text


def test_what_looks_like_a_date_and_is_none_is_a_text(tmp_path: Path) -> None:
    assert parse_assignments(["caption.prompt=2026-02-30"]) == {"caption": {"prompt": "2026-02-30"}}
    (tmp_path / "c.yaml").write_text("caption: {prompt: 2026-02-30}")
    with pytest.raises(ParamsError, match="must be a YAML file"):
        read_config_file(tmp_path / "c.yaml")
