"""Declared once, refused before anything starts."""

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import ParamsError, nearest_names
from stages.executors import EXECUTORS
from stages.params.base import Effect, Params
from stages.params.caption import CaptionParams
from stages.params.dedup import DedupParams
from stages.params.embed import EmbedParams
from stages.params.executor import ExecutorParams
from stages.params.groups import GROUPS, PARAM_NAMES, PHASES, validate, validate_all
from stages.params.messages import describe_bounds
from stages.params.split import SplitParams
from stages.run.phases import PHASE_CLASSES
from stages.split import SplitPhase


def test_every_parameter_has_a_description_and_an_effect() -> None:
    for group, model in GROUPS.items():
        for name, field in model.model_fields.items():
            assert field.description, f"{group}.{name}"
            assert field.json_schema_extra["effect"] in get_args(Effect), f"{group}.{name}"  # type: ignore[index]


def test_every_phase_and_executor_mode_has_its_class() -> None:
    assert list(PHASE_CLASSES) == list(PHASES)
    assert list(EXECUTORS) == ["local", "streaming", "batch", "xenna", "xenna_batch"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"split": {"threshold": 3}}, r"split\.threshold: .*less than 1, got 3"),
        ({"split": {"treshold": 0.3}}, r"^split\.treshold is no parameter\. Did you mean split\.threshold\?$"),
        ({"split": {"brightness": 1}}, r"split\.brightness is no parameter\. split has: .*threshold"),
        ({"spilt": {}}, r"^spilt is no group of parameters\. Did you mean split\?$"),
        ({"xyz": {"abc": 1}}, r"xyz is no group of parameters\. The groups are: read, split"),
        ({"dedup": {"keep": "rank"}}, "requires rank_by"),
        ({"split": {"compat": "nemo", "detector": "a.b:C"}}, "compat=nemo requires detector=transnetv2, got a.b:C"),
        ({"split": {"min_length_s": 20}}, "min_length_s must be at most max_length_s, got 20.0 > 10.0.$"),
        ({"split": {"signals": ["sound"]}}, "signals must be among"),
        ({"split": {"frames_fps": "fast"}}, r"split\.frames_fps: .*valid number.*got 'fast'"),
        ({"filter": {"motion_min": 2, "motion_max": 1}}, "motion_min must be at most motion_max"),
        ({"filter": {"camera_rejected": ["shaky"]}}, "camera_rejected must be among static, pan, .*, got shaky"),
        ({"embed": {"gpus": 1, "gpu_memory_gb": 2}}, "Cannot specify both gpus and gpu_memory_gb"),
        ({"filter": {"gpus": 1.5}}, "gpus above 1 must be a whole number, got 1.5"),
        (
            {"caption": {"dtype": "float8"}},
            r"caption\.dtype: .*'auto', 'float32', 'bfloat16' or 'float16', got 'float8'",
        ),
        ({"split": {"decoder": "cuvid"}}, r"split\.decoder: .*'software', 'auto' or 'nvdec', got 'cuvid'"),
        ({"write": {"encoder": "hevc_nvenc", "quality": 60}}, "quality must be at most 51 with encoder='hevc_nvenc'"),
        ({"write": {"quality": 52}}, "quality must be at most 51 with encoder='h264', got 52"),
        ({"executor": {"num_workers": -1}}, r"executor\.num_workers: .*greater than or equal to 0"),
    ],
)
def test_validate_all_rejects(config: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        validate_all(config)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("split.treshold", ["split.threshold"]),
        ("filter.threshold", ["split.threshold"]),
        ("filter.motion_mim", ["filter.motion_min", "filter.motion_max"]),
        ("nothing.like_it_at_all", []),
    ],
)
def test_nearest_names_are_few(name: str, nearest: list[str]) -> None:
    assert nearest_names(name, PARAM_NAMES) == nearest


def test_nearest_names_are_not_near_for_their_group_alone() -> None:
    known = ["more[wide].args", "more[wide].name", "more[wide].frames_per_clip"]
    assert nearest_names("more[wide].max_frames", known) == []
    assert nearest_names("more[wide].frames_perclip", known) == ["more[wide].frames_per_clip"]


def test_validate_all_names_every_problem_at_once() -> None:
    with pytest.raises(ParamsError) as caught:
        validate_all({"split": {"threshold": 3, "crop_s": -1}, "write": {"quality": 99}})
    assert all(name in str(caught.value) for name in ("split.threshold", "split.crop_s", "write.quality"))


def test_validate_all_fills_in_defaults() -> None:
    built = validate_all({"split": {"crop_s": 0, "min_length_s": 0, "max_length_s": 1e6}})
    assert list(built) == list(GROUPS)
    assert built["split"].crop_s == 0
    assert built["executor"] == ExecutorParams()


def test_params_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SplitParams().threshold = 0.5  # pyrefly: ignore[read-only] - what is tried


def test_affecting_divides_the_parameters() -> None:
    params = SplitParams()
    parts = [set(params.used(effect)) for effect in get_args(Effect)]
    assert set.union(*parts) == set(SplitParams.model_fields) - params.unused_fields()
    assert all(set(params.affecting(effect)) <= part for effect, part in zip(get_args(Effect), parts, strict=True))
    assert sum(map(len, parts)) == len(SplitParams.model_fields) - len(params.unused_fields())
    assert "max_failed_fraction" not in params.affecting("work")


@pytest.mark.parametrize(
    ("params", "change", "is_read"),
    [
        (SplitParams(), {"threshold": 0.5}, True),
        (SplitParams(), {"static_threshold": 0}, True),
        (SplitParams(), {"clip_length_s": 5}, False),
        (SplitParams(compat="nemo"), {"static_threshold": 0}, False),
        (SplitParams(method="fixed_stride"), {"threshold": 0.5}, False),
        (SplitParams(method="fixed_stride"), {"stride_s": 5}, True),
        (
            SplitParams(method="tests.stages.split.counting_splitter:CountingSplitter"),
            {"threshold": 0.5, "stride_s": 5},
            True,
        ),
        (DedupParams(), {"seed": 1, "num_clusters": 2, "rank_by": ["motion"]}, False),
        (DedupParams(keep="random"), {"seed": 1}, True),
        (DedupParams(mode="cluster"), {"seed": 1}, True),
        (DedupParams(mode="cluster"), {"num_clusters": 2}, True),
        (DedupParams(keep="rank", rank_by=["motion"]), {"rank_by": ["-motion"]}, True),
        (EmbedParams(), {"revision": "v1"}, False),
        (EmbedParams(embedder="transformers", model="m"), {"revision": "v1"}, True),
        (CaptionParams(), {"temperature": 1.0}, False),
        (CaptionParams(), {"prompt": "What?"}, True),
        (CaptionParams(captioner="openai"), {"prompt": "What?"}, True),
    ],
)
def test_work_hangs_on_what_the_chosen_method_reads(params: Params, change: dict[str, Any], is_read: bool) -> None:
    changed = params.model_copy(update=change)
    assert (changed.affecting("work") != params.affecting("work")) is is_read


@pytest.mark.parametrize(
    ("method", "is_read"),
    [("fixed_stride", False), ("shots", True), ("tests.stages.split.counting_splitter:CountingSplitter", True)],
)
def test_row_key_of_split_hangs_on_the_threshold_where_it_is_read(tmp_path: Path, method: str, is_read: bool) -> None:
    item = {"video_id": "v"}
    first, second = (
        SplitPhase(SplitParams(method=method, threshold=threshold), str(tmp_path)).row_key(item)
        for threshold in (0.4, 0.5)
    )
    assert (first != second) is is_read


@pytest.mark.parametrize("model", PHASES.values())
def test_unused_names_fields_that_enter_a_key(model: type[Params]) -> None:
    assert model().unused_fields() <= {name for name in model.model_fields if model.effect_of(name) != "none"}


def test_crop_stands_for_what_the_rules_need() -> None:
    assert [SplitParams.model_validate(given).cropped_s for given in ({}, {"compat": "nemo"}, {"crop_s": 0})] == [
        0.2,
        0.5,
        0,
    ]


@given(st.floats(allow_nan=True), st.sampled_from(["threshold", "clip_length_s", "crop_s", "frames_fps"]))
def test_validate_never_lets_a_number_out_of_its_bounds(value: float, name: str) -> None:
    bounds = {
        "threshold": (0, 1),
        "clip_length_s": (0, float("inf")),
        "crop_s": (0, float("inf")),
        "frames_fps": (0, 60),
    }
    low, high = bounds[name]
    try:
        built = validate(SplitParams, "split", {name: value})
    except ParamsError:
        return
    assert low <= getattr(built, name) <= high


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("threshold", "0 < number < 1"),
        ("min_length_s", "0 <= number"),
        ("stride_s", "0 < number"),
        ("max_length_mode", "one of stride, truncate"),
        ("max_clips", "0 <= integer"),
    ],
)
def test_describe_bounds_puts_bounds_in_words(name: str, rule: str) -> None:
    assert describe_bounds(SplitParams.model_json_schema()["properties"][name]) == rule
