"""Checkpoints of the hub: from a server that speaks its protocol, into the cache, by commit."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from stages.errors import ParamsError
from stages.models import checkpoints, fetch_models, model_needs
from stages.models.checkpoints import commit_of, hub_cache_folder, resolve, tensors_of
from stages.models.transformers_embedder import TransformersEmbedder
from stages.params import CaptionParams, EmbedParams, SplitParams

constants = pytest.importorskip("huggingface_hub.constants")
hf_api = pytest.importorskip("huggingface_hub.hf_api")

MODEL, FIRST, LATER = "acme/encoder", "1" * 40, "2" * 40
CARD = "---\nlanguage: en\nlicense: apache-2.0\n---\n# Encoder\n"


class Hub(http.server.ThreadingHTTPServer):
    """A hub with one model, of which a branch is at a commit. Its files are the same at every commit."""

    def __init__(self, files: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubRequest)
        self.files, self.commit = files, FIRST
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubRequest(http.server.BaseHTTPRequestHandler):
    """Tells a commit and its files, and gives them out."""

    server: Hub  # pyrefly: ignore[bad-override-mutable-attribute] - the one that serves

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        path = self.path.partition("?")[0]
        names = sorted(each.name for each in self.server.files.iterdir())
        if path.startswith(f"/api/models/{MODEL}/tree/"):
            entries = [
                {"type": "file", "path": name, "size": self._size(name), "oid": self._etag(name)} for name in names
            ]
            self._answer(json.dumps(entries).encode())
        elif path.startswith(f"/api/models/{MODEL}"):
            revision = path.rpartition("/")[2]
            commit = revision if len(revision) == 40 else self.server.commit
            siblings = [{"rfilename": name} for name in names]
            self._answer(json.dumps({"id": MODEL, "modelId": MODEL, "sha": commit, "siblings": siblings}).encode())
        elif path.startswith(f"/{MODEL}/resolve/") and path.rpartition("/")[2] in names:
            name = path.rpartition("/")[2]
            self._answer((self.server.files / name).read_bytes(), etag=self._etag(name), commit=path.split("/")[4])
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def _size(self, name: str) -> int:
        return (self.server.files / name).stat().st_size

    def _etag(self, name: str) -> str:
        return hashlib.sha256((self.server.files / name).read_bytes()).hexdigest()

    def _answer(self, body: bytes, etag: str = "", commit: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if etag:
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", commit)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    save_file({"weight": np.zeros((10, 100), np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "dinov2"}')
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling_acme.py").write_text("raise SystemExit")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture
def hub(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "CURATOR_TRUST", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    checkpoints._hub_commit.cache_clear()
    server = Hub(files)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(hf_api, "ENDPOINT", server.url, raising=False)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        server.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def params(revision: str = "main") -> EmbedParams:
    return EmbedParams(embedder="transformers", model=MODEL, revision=revision)


def test_fetch_brings_a_commit_without_pickles_and_code(hub: Hub) -> None:
    (need,) = fetch_models([params()])
    folder = hub_cache_folder(MODEL) / "snapshots" / FIRST
    assert sorted(each.name for each in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]
    assert (need.commit, need.is_here, need.licence, need.place) == (FIRST, True, "apache-2.0", str(folder))
    assert need.memory_bytes == 4000 < need.size_bytes
    before = len(hub.requests)
    resolve(MODEL, FIRST).fetch()
    assert resolve(MODEL, "main").commit == FIRST
    assert len(hub.requests) == before


def test_a_file_with_other_bytes_than_the_hub_says_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HubRequest, "_etag", lambda self, name: "a" * 64)
    with pytest.raises(ParamsError, match=f"must have the SHA-256 {'a' * 64}, got "):
        fetch_models([params()])


def test_a_branch_stays_at_the_commit_that_is_here_until_it_is_fetched_anew(hub: Hub) -> None:
    fetch_models([params()])
    hub.commit = LATER
    assert commit_of(MODEL, "main") == FIRST
    checkpoints._hub_commit.cache_clear()  # as in another process
    (need,) = fetch_models([params()])
    assert (need.commit, commit_of(MODEL, "main")) == (LATER, LATER)


def test_workers_are_given_the_commit_that_the_driver_found(hub: Hub) -> None:
    made = TransformersEmbedder(params())
    assert made.pinned_params().revision == made.identity().weights_hash == FIRST
    hub.commit = LATER
    assert TransformersEmbedder(made.pinned_params()).identity() == made.identity()


def test_nothing_here_and_nothing_reachable_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ParamsError, match=r"embed\.revision must be a commit .*HF_HUB_OFFLINE is set"):
        resolve(MODEL, "main")
    with pytest.raises(
        ParamsError, match=rf"hf download {MODEL} --revision {FIRST}; then copy .*models--acme--encoder"
    ):
        resolve(MODEL, FIRST).fetch()
    (need,) = model_needs([params(FIRST)])
    assert (need.is_here, need.size_bytes) == (False, 0)
    assert not hub.requests


def test_a_model_that_the_hub_does_not_have_is_no_fault_of_the_network(hub: Hub) -> None:
    with pytest.raises(ParamsError, match="404 Not Found"):
        commit_of("acme/none", "main")


def test_needs_of_the_defaults_lie_in_packages() -> None:
    needs = {need.phase: need for need in model_needs([SplitParams(), EmbedParams(), CaptionParams()])}
    assert [(phase, need.model) for phase, need in needs.items()] == [
        ("split", "transnetv2"),
        ("embed", "efficientnet-lite0"),
        ("caption", "efficientnet-lite0"),
    ]
    for need in needs.values():
        assert need.is_here
        assert need.size_bytes == Path(need.place).stat().st_size > 1_000_000
        assert need.licence


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:4], lambda data: b"\xff" * 64]
)
def test_a_file_that_is_not_whole_is_told(files: Path, change: Any) -> None:
    path = files / "model.safetensors"
    assert list(tensors_of(path)) == ["weight"]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ParamsError, match="Get it again"):
        tensors_of(path)
