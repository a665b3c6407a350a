import pytest

from stages.errors import ParamsError
from stages.models.extras import extra_file


def test_file_of_an_installed_package_is_found() -> None:
    found = extra_file("dev", "numpy", "version.p[y]", "filter 'text'")
    assert found.parent.name == "numpy"
    assert found.name == "version.py"


def test_missing_package_says_which_extra_brings_it() -> None:
    with pytest.raises(ParamsError, match=r"requires the package no_such_package.*curator-dagster\[filters\]"):
        extra_file("filters", "no_such_package", "models/*.onnx", "filter 'text'")


def test_package_of_another_version_is_told() -> None:
    with pytest.raises(ParamsError, match=r"requires one file models/\*\.none in .*numpy.*got \[\]"):
        extra_file("filters", "numpy", "models/*.none", "filter 'text'")
