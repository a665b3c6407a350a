"""Executors by mode."""

import importlib.util

import pytest

from stages.errors import ParamsError
from stages.executors import build_executor
from stages.params import ExecutorParams


@pytest.mark.skipif(importlib.util.find_spec("cosmos_xenna") is not None, reason="the package is there")
def test_executor_without_its_package_is_refused() -> None:
    with pytest.raises(
        ParamsError, match=r"cosmos-xenna, which is not installed.*'curator-dagster\[xenna\]'"
    ) as refused:
        build_executor(ExecutorParams(mode="xenna"))
    assert refused.value.param == "executor.mode"
