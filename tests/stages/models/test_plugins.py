"""Arguments of a user's own class are checked before any work; and what becomes of the dtype that is asked for."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from stages.embed import EmbedPhase
from stages.errors import ParamsError
from stages.models import ModelIdentity, choose_dtype
from stages.models.dtype import cpu_has_bfloat16
from stages.params import EmbedParams
from stages.stage import WorkerMetadata


class LayerEmbedder:
    """Declares what its arguments may be."""

    class Args(BaseModel, extra="forbid"):
        """The arguments."""

        layer: int = Field(ge=0, le=11)
        pooling: str = "mean"

    def __init__(self, params: EmbedParams) -> None:
        self.args = self.Args.model_validate(params.args)

    def identity(self) -> ModelIdentity:
        return ModelIdentity(f"layer-{self.args.layer}", "1")

    def setup(self, worker_metadata: WorkerMetadata) -> None:
        """Nothing to load."""

    def embed(self, clips: object) -> None:
        """Nothing to embed."""


class FreeEmbedder(LayerEmbedder):
    """Takes any arguments."""

    Args = None  # type: ignore[assignment]

    def __init__(self, params: EmbedParams) -> None:
        self.given = params.args

    def identity(self) -> ModelIdentity:
        return ModelIdentity(f"free-{sorted(self.given)}", "1")


def identity(tmp_path: Path, name: str, args: dict[str, Any]) -> dict[str, Any]:
    embedder = name if ":" not in name else f"{__name__}{name}"
    return EmbedPhase(EmbedParams(embedder=embedder, args=args), str(tmp_path)).identity()


def test_arguments_reach_the_class(tmp_path: Path) -> None:
    assert identity(tmp_path, ":LayerEmbedder", {"layer": 3})["model"] == "layer-3"
    assert identity(tmp_path, ":FreeEmbedder", {"any": 1})["model"] == "free-['any']"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"layer": 12}, r"^embed\.args\.layer: .*less than or equal to 11, got 12\.$"),
        ({}, r"^embed\.args\.layer: Field required, got \{\}\.$"),
        ({"layer": 1, "poling": "max"}, r"^embed\.args\.poling is no parameter\. Did you mean embed\.args\.pooling\?$"),
        ({"layer": 1, "resolution": 2}, r"^embed\.args\.resolution is no parameter\. "),
    ],
)
def test_arguments_are_checked_by_the_classes_own_model(tmp_path: Path, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        identity(tmp_path, ":LayerEmbedder", args)
    assert caught.value.param == "embed.args"


def test_bundled_class_takes_no_arguments(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"embed\.args must be empty with 'efficientnet-lite0'.*got layer"):
        identity(tmp_path, "efficientnet-lite0", {"layer": 1})


@pytest.mark.parametrize(
    ("asked", "device", "stored", "found"),
    [
        ("auto", "cpu", "float16", "float32"),
        ("auto", "cuda:0", "float32", "float16"),
        ("auto", "cuda:0", "bfloat16", "bfloat16"),
        ("bfloat16", "cpu", "float32", "bfloat16"),
        ("float32", "cuda:0", "float16", "float32"),
    ],
)
def test_dtype_is_half_on_a_gpu_and_what_is_asked_elsewhere(asked: Any, device: str, stored: str, found: str) -> None:
    assert choose_dtype(asked, device, stored=stored) == found


def test_bfloat16_on_a_cpu_takes_the_hardware_and_the_phase(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("flags : fpu avx512f avx512_bf16 amx_tile\n")
    old.write_text("flags : fpu avx2 avx512f\n")
    assert cpu_has_bfloat16(str(new))
    assert not cpu_has_bfloat16(str(old))
    assert not cpu_has_bfloat16(str(tmp_path / "none"))
    expected = "bfloat16" if cpu_has_bfloat16() else "float32"
    assert choose_dtype("auto", "cpu", bfloat16_on_cpu=True) == expected
