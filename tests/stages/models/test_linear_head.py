import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages.errors import ParamsError
from stages.models import LinearHead

SIZE = 12


def chain() -> torch.nn.Sequential:
    """As LAION's improved predictor: layers without activations, dropout between them."""
    torch.manual_seed(3)
    sizes = (SIZE, 10, 7, 1)
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after), torch.nn.Dropout(0.2)]
    return torch.nn.Sequential(*layers[:-1]).eval()


def tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {f"layers.{name}": value for name, value in network.state_dict().items()}


def save(path: Path, values: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(values, path)
    elif path.suffix == ".pth":
        torch.save(values, path)
    else:
        arrays: dict[str, Any] = {name: value.numpy() for name, value in values.items()}
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("extension", ["safetensors", "pth", "npz"])
def test_chain_of_layers_is_what_torch_computes(extension: str, tmp_path: Path) -> None:
    network = chain()
    head = LinearHead(str(save(tmp_path / f"head.{extension}", tensors(network))), "filter.aesthetic_head")
    vectors = torch.randn(5, SIZE)
    with torch.inference_mode():
        expected = network(vectors)[:, 0].numpy()
    np.testing.assert_allclose(head(vectors.numpy()), expected, atol=1e-5)
    assert head.size == SIZE


def test_one_layer_is_a_head(tmp_path: Path) -> None:
    weight, bias = torch.arange(SIZE, dtype=torch.float32)[None], torch.tensor([0.5])
    head = LinearHead(str(save(tmp_path / "head.pth", {"weight": weight, "bias": bias})), "filter.aesthetic_head")
    assert head(np.ones((1, SIZE))) == pytest.approx([SIZE * (SIZE - 1) / 2 + 0.5])


class Code:
    """What a pickle runs when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    file, trace = tmp_path / "head.pth", tmp_path / "trace"
    file.write_bytes(pickle.dumps({"weight": Code(trace)}, protocol=2))
    with pytest.raises(ParamsError, match=r"filter\.aesthetic_head must hold a linear head.*more than tensors"):
        LinearHead(str(file), "filter.aesthetic_head")
    torch.save({"weight": Code(trace)}, file)
    with pytest.raises(ParamsError, match="more than tensors"):
        LinearHead(str(file), "filter.aesthetic_head")
    assert not trace.exists()


@pytest.mark.parametrize("extension", ["safetensors", "pth", "npz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_truncated_file_is_refused(extension: str, share: float, tmp_path: Path) -> None:
    file = save(tmp_path / f"head.{extension}", tensors(chain()))
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(ParamsError, match=r"filter\.aesthetic_head must hold a linear head"):
        LinearHead(str(file), "filter.aesthetic_head")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected weight and bias"),
        ({"weight": torch.ones(1, 4)}, "expected weight and bias"),
        ({"weight": torch.ones(3, 4), "bias": torch.ones(3)}, "expected one number as its output, got 3"),
        ({"weight": torch.full((1, 4), float("nan")), "bias": torch.ones(1)}, "not finite"),
        (
            {
                "0.weight": torch.ones(3, 4),
                "0.bias": torch.ones(3),
                "1.weight": torch.ones(1, 2),
                "1.bias": torch.ones(1),
            },
            "do not follow each other",
        ),
        ({"conv.weight": torch.ones(1, 3, 2, 2), "conv.bias": torch.ones(1)}, "do not follow each other"),
    ],
)
def test_other_networks_are_refused(values: dict[str, torch.Tensor], message: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=message):
        LinearHead(str(save(tmp_path / "head.safetensors", values)), "filter.aesthetic_head")


def test_missing_file_and_unknown_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "head.bin").write_bytes(b"1")
    for name in ("none.npz", "head.bin"):
        with pytest.raises(ParamsError, match=r"filter\.aesthetic_head must be a file of"):
            LinearHead(str(tmp_path / name), "filter.aesthetic_head")
