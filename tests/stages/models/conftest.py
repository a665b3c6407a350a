from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import retry
from stages.params import CAPTION_API_KEY_VARIABLE
from tests.stages.models.caption_server import CaptionServer, make_checkpoint, running_caption_server


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def server(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionServer]:
    """A server of the test's own: a request that another test gave up may still arrive. Four tries, 1 to 4 ms apart."""
    monkeypatch.delenv(CAPTION_API_KEY_VARIABLE, raising=False)
    with running_caption_server(checkpoint) as server, retry.using(retry.Backoff(4, 0.001, 0.004)):
        yield server
