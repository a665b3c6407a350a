"""Errors keep their facts on the way from a worker, and through a block that is about a parameter."""

import pickle

import pytest

from stages.errors import (
    CorruptStream,
    CurationError,
    ParamsError,
    Reason,
    SourceGone,
    StageError,
    StorageError,
    concerning,
)


@pytest.mark.parametrize(
    "error",
    [
        ParamsError("split.threshold must be below 1, got 3.", "split.threshold"),
        SourceGone("s3://b/a.mp4", "it is gone"),
        CorruptStream("/a.mp4", "it ends", 75),
        StageError("it stopped", Reason.SERVICE),
        StorageError("s3://b", "it does not answer"),
    ],
)
def test_errors_cross_processes_with_their_facts(error: CurationError) -> None:
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), vars(copied)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize(("own", "param"), [("", "embed.embedder"), ("embed.model", "embed.model")])
def test_an_error_is_about_the_innermost_parameter_that_is_named(own: str, param: str) -> None:
    with pytest.raises(ParamsError) as raised, concerning("embed"), concerning("embed.embedder"):
        raise ParamsError("wrong", own)
    assert raised.value.param == param
