"""Vectors from a real HTTP server that encodes the pictures that it is sent."""

import base64
import io
import json
import math
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stages import retry
from stages.errors import ParamsError, Reason
from stages.models.openai_embedder import OpenAIEmbedder
from stages.params import EMBED_API_KEY_VARIABLE, EmbedParams
from stages.retry import Backoff
from stages.run import LaunchPolicy
from stages.tasks import Failed, Frames
from tests.clips import WORKER


class EmbeddingServer(ThreadingHTTPServer):
    """Answers with the mean colour of the picture, unless `script` has a status or an answer for the next request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: deque[int | bytes] = deque()
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: EmbeddingServer  # pyrefly: ignore[bad-override-mutable-attribute] - the one that serves

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append({**body, "path": self.path})
        self.server.authorizations.append(self.headers["Authorization"])
        scripted = self.server.script.popleft() if self.server.script else None
        if isinstance(scripted, int):
            self.send_error(scripted)
            return
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
        answer = (
            scripted
            if scripted is not None
            else json.dumps({"data": [{"embedding": picture.mean((0, 1)).tolist()}]}).encode()
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.delenv(EMBED_API_KEY_VARIABLE, raising=False)
    with EmbeddingServer() as made, retry.using(Backoff(3, 0.01, 0.01)):
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def clip(*colours: tuple[int, int, int]) -> Frames:
    images = np.array(colours, np.uint8)[:, None, None].repeat(16, 1).repeat(16, 2)
    return Frames(np.arange(len(colours)), images)


def embed(server: EmbeddingServer, *clips: Frames, **params: Any) -> list[np.ndarray | Failed]:
    made = OpenAIEmbedder(EmbedParams(embedder="openai", model="m", base_url=server.url, **params))
    made.setup(WORKER)
    try:
        return [*made.embed(clips)]
    finally:
        made.close()


def test_vector_of_a_clip_is_the_mean_of_what_the_server_says(server: EmbeddingServer) -> None:
    found = embed(server, clip((200, 0, 0), (0, 100, 0)), clip((0, 0, 250)))
    for vector, expected in zip(found, ([100, 50, 0], [0, 0, 250]), strict=True):
        np.testing.assert_allclose(vector, np.array(expected) / math.hypot(*expected), atol=0.02)  # type: ignore[arg-type]
    assert {(each["path"], each["model"], each["encoding_format"]) for each in server.requests} == {
        ("/v1/embeddings", "m", "float")
    }
    assert len(server.requests) == 3
    assert OpenAIEmbedder(EmbedParams(embedder="openai", model="m")).identity().model == "m/mean"


def test_key_is_sent_where_there_is_one(server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    embed(server, clip((1, 2, 3)))
    monkeypatch.setenv(EMBED_API_KEY_VARIABLE, "secret")
    embed(server, clip((1, 2, 3)))
    assert server.authorizations == [None, "Bearer secret"]


@pytest.mark.parametrize(
    "script", [[503, 429], [b"{", b""], [b'{"data": []}', b'{"error": {"message": "overloaded"}}']], ids=str
)
def test_what_may_pass_is_tried_again(server: EmbeddingServer, script: list[int | bytes]) -> None:
    server.script.extend(script)
    (vector,) = embed(server, clip((10, 0, 0)))
    assert isinstance(vector, np.ndarray)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([500, 500, 500], "must answer, and did not in 3 tries: status 500"),
        ([400], "must accept the request, got status 400"),
        ([302], "must accept the request, got status 302"),
        ([b"{}"] * 3, "did not in 3 tries: an answer without an embedding"),
        ([b"[1.0]"], "must answer with a list of embeddings"),
        ([b'{"error": {"code": 400, "message": "no picture"}}'], "an error inside the answer"),
        ([b'{"data": [{"embedding": "AAAA"}]}'], "must answer with one vector a picture"),
        ([b'{"data": [null]}'], "must answer with one vector a picture"),
        ([b'{"data": [{"embedding": [1' + b"0" * 400 + b"]}]}"], "must answer with one vector a picture"),
        ([b'{"data": [{"embedding": [null, 1.0]}]}'], "must be finite"),
        ([b'{"data": [{"embedding": [1e999, 1.0]}]}'], "must be finite"),
        ([b'{"data": [{"embedding": [NaN, 1.0]}]}'], "must be finite"),
        ([b'{"data": [{"embedding": []}]}'], "must answer with one vector a picture"),
        ([b'{"data": [{"embedding": [[1.0]]}]}'], "must answer with one vector a picture"),
    ],
)
def test_a_clip_that_fails_fails_alone(server: EmbeddingServer, script: list[Any], message: str) -> None:
    server.script.extend(script)
    failed, kept = embed(server, clip((9, 0, 0)), clip((0, 9, 0)), requests_in_flight=1)
    assert isinstance(failed, Failed)
    assert message in failed.error
    assert failed.reason in (Reason.SERVICE, Reason.STAGE_ERROR)
    assert isinstance(kept, np.ndarray)


def test_embedder_rejects_no_model_and_no_url() -> None:
    with pytest.raises(ParamsError, match=r"embed\.model must be the name of a model on the server"):
        OpenAIEmbedder(EmbedParams(embedder="openai"))
    with pytest.raises(ValueError, match="base_url must be an http or https URL"):
        EmbedParams(embedder="openai", base_url="ftp://host")


def test_launch_sends_the_key_only_to_hosts_of_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(url: str, embedder: str = "openai") -> list[EmbedParams]:
        return [EmbedParams(embedder=embedder, model="m", base_url=url)]

    policy = LaunchPolicy(embed_hosts=frozenset({"embed.example"}), plugins=frozenset({"acme"}))
    monkeypatch.delenv(EMBED_API_KEY_VARIABLE, raising=False)
    policy.check(asked("https://evil.example/v1"))
    monkeypatch.setenv(EMBED_API_KEY_VARIABLE, "secret")
    policy.check(asked("https://embed.example/v1"))
    policy.check(asked("http://127.0.0.1:1/v1"))
    policy.check(asked("https://evil.example/v1", "efficientnet-lite0"))
    for embedder in ("openai", "acme:Embedder"):
        with pytest.raises(ParamsError, match="a launch may send the key in CURATOR_EMBED_API_KEY only to hosts"):
            policy.check(asked("https://evil.example/v1", embedder))
