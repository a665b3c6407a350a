import dagster as dg
import pytest

from curator_dagster import config as configs
from curator_dagster.config import SplitConfig, config_class, params_from_config, validate_run_config
from curator_dagster.curation import Curation, default_params
from stages.errors import ParamsError
from stages.params import PHASES, Params, SplitParams

CLASSES = [value for value in vars(configs).values() if isinstance(value, type) and issubclass(value, dg.Config)]


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_a_config_with_its_fields(phase: str) -> None:
    (config,) = [cls for cls in CLASSES if issubclass(cls, Params) and cls is not dg.Config and cls.phase == phase]
    assert list(config.model_fields) == list(PHASES[phase].model_fields)


def test_params_from_config_are_free_of_dagster() -> None:
    plain = params_from_config(SplitConfig(threshold=0.3))
    assert type(plain) is SplitParams
    assert plain.threshold == 0.3


def test_config_takes_the_arguments_of_custom_filters() -> None:
    seen: list[object] = []

    @dg.asset
    def probe(config: configs.FilterConfig) -> None:
        seen.append(params_from_config(config).model_dump()["custom"])

    arguments = [{"filter": "mine.filters:Text", "max": 0.2, "words": ["a", "b"]}]
    dg.materialize([probe], run_config={"ops": {"probe": {"config": {"custom": arguments}}}})
    assert seen == [arguments]


@pytest.mark.usefixtures("_tiny_phases")
def test_validate_run_config_accepts_defaults_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPT", "What happens?")
    validate_run_config(Curation(), {}, "root")
    validate_run_config(Curation(), {"ops": {"captions": {"config": {"prompt": {"env": "PROMPT"}}}}}, "root")


@pytest.mark.parametrize(
    ("asset", "values", "message"),
    [
        ("clips", {"threshold": 1.5}, r"split\.threshold: .* less than 1, got 1\.5"),
        ("dataset", {"qualty": 1}, r"write\.qualty is no parameter\. Did you mean write\.quality\?"),
        ("unique_clips", {"keep": "rank"}, "keep='rank' requires rank_by"),
    ],
)
def test_validate_run_config_rejects_values_out_of_bounds(asset: str, values: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        validate_run_config(Curation(), {"ops": {asset: {"config": values}}}, "root")


def test_launchpad_calls_each_parameter_as_the_command_line_does() -> None:
    for phase, params in default_params().items():
        for name, field in config_class(params).model_fields.items():
            assert (field.description or "").startswith(f"{phase}.{name}: ")


def test_ranking_is_checked_where_clips_are_scored_by_the_run() -> None:
    config = {"ops": {"unique_clips": {"config": {"rank_by": ["-motoin"]}}}}
    with pytest.raises(ParamsError, match=r"got 'motoin'\. Did you mean motion\?"):
        validate_run_config(Curation(), config, "root")
    validate_run_config(Curation(), config, "root", are_clips_scored=True)


def test_signals_that_a_filter_requires_are_checked_where_clips_are_scored_by_the_run() -> None:
    config = {"ops": {"filtered_clips": {"config": {"filters": ["motion_vectors"]}}}}
    with pytest.raises(ParamsError, match=r"requires vectors in split\.signals, got \['flow'\]"):
        validate_run_config(Curation(), config, "root")
    validate_run_config(Curation(), config, "root", are_clips_scored=True)
    measured = {"ops": {**config["ops"], "clips": {"config": {"signals": ["flow", "vectors"]}}}}
    validate_run_config(Curation(), measured, "root")
