"""What README, docs/reading.md and the notebook show, run as it stands."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.manifest import tag_version
from stages.storage import Storage
from tests.stages.dataset.roots import FORKS

PROJECT = Path(__file__).parents[3]


@pytest.mark.filterwarnings(FORKS)
def test_the_notebook_runs_from_the_first_to_the_last_cell(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((PROJECT / "docs" / "reading.ipynb").read_text())
    monkeypatch.setenv("CURATOR_ROOT", str(root))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["strip"].shape == (96, 8 * 128, 3)
    assert torch.equal(names["strip"][:, 128:256], names["clips"][0]["frames"][1].permute(1, 2, 0))
    assert len(names["train"]) + len(names["validation"]) == len(names["clips"]) == 4
    assert len(names["losses"]) == len(names["loader"])
    assert all(map(torch.isfinite, torch.tensor(names["losses"])))


def test_the_notebook_is_stored_without_output() -> None:
    notebook = json.loads((PROJECT / "docs" / "reading.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * len(cells)


@pytest.mark.filterwarnings(FORKS)
@pytest.mark.parametrize("page", ["README.md", "docs/reading.md"])
def test_the_code_of_a_page_runs(page: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (PROJECT / page).read_text(), re.MULTILINE | re.DOTALL)
    reading = [block for block in blocks if "open_dataset" in block]
    assert reading
    (tmp_path / "curated").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    tag_version(Storage(root), "paper", 1)
    names: dict[str, Any] = {}
    for block in reading:
        exec(compile(block, page, "exec"), names)
    assert names["train"][0]["frames"].shape == (16, 3, 224, 224)
