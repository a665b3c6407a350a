"""Weights are data: no code that stands in them or beside them runs."""

import ast
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from stages.errors import ParamsError
from stages.models.efficientnet_network import Network
from stages.models.transnetv2_network import load_transnetv2
from stages.params import EmbedParams
from tests.clips import WORKER

PROJECT = Path(__file__).parents[3]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.mark,)


@pytest.mark.parametrize("load", [load_transnetv2, Network])
def test_pickled_code_in_weights_does_not_run(tmp_path: Path, load: Callable[[str, str], object]) -> None:
    torch.save({"weight": Bomb(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(str(tmp_path / "weights.pth"), "cpu")
    assert not (tmp_path / "ran").exists()


def test_code_beside_weights_does_not_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from stages.models.transformers_embedder import TransformersEmbedder

    (tmp_path / "bomb.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Bomb: pass\n")
    auto = {name: "bomb.Bomb" for name in ("AutoConfig", "AutoModel", "AutoImageProcessor")}
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text(json.dumps({"model_type": "bomb", "auto_map": auto}))
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(ParamsError, match=r"embed\.model must be an image encoder"):
        TransformersEmbedder(EmbedParams(embedder="transformers", model=str(tmp_path))).setup(WORKER)
    assert not (tmp_path / "ran").exists()


def calls(tree: ast.AST) -> list[tuple[str, dict[str, str]]]:
    """Dotted name and named arguments of every call."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (ast.unparse(call.func), {each.arg or "**": ast.unparse(each.value) for each in call.keywords})
        for call in found
    ]


@pytest.mark.parametrize("folder", ["stages", "curator_dagster"])
def test_nothing_loads_pickles_or_trusts_code(folder: str) -> None:
    for path in (PROJECT / folder).rglob("*.py"):
        text = path.read_text()
        assert '"trust_remote_code": True' not in text
        assert "trust_remote_code=True" not in text
        for name, named in calls(ast.parse(text)):
            # A worker takes tasks from its own driver alone, by Ray, which unpickles them otherwise.
            is_from_driver = path == PROJECT / "stages/executors/worker.py"
            assert is_from_driver or name not in ("pickle.load", "pickle.loads", "joblib.load"), path
            assert name != "np.load" or named.get("allow_pickle") == "False", path
            assert name != "torch.load" or named.get("weights_only") == "True", path
