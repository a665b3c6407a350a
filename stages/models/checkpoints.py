"""Checkpoints that a parameter names: a folder, or a name on the hub with a revision. Does not import torch.

A name on the hub is resolved to a commit before any work: by the local cache, else by the hub. The commit stands in
every row and key, and every node loads this one.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stages import lazy
from stages.errors import ParamsError
from stages.models.trust import PICKLE_PREFIX, TRUST_VARIABLE, may_read_pickles_of, may_run_code_of
from stages.models.weights import file_hash
from stages.storage import digest

COMMIT_PATTERN = re.compile("[0-9a-f]{40}")
_SHA256 = re.compile("[0-9a-f]{64}")
OFFLINE_VARIABLE = "HF_HUB_OFFLINE"
CONFIG = "config.json"
_SAFETENSORS, _PICKLES = "*.safetensors", "pytorch_model*.bin"
CONFIGS = "*config.json"
TEXTS = ("*.json", "*.jinja", "*.txt", "*.model")
"""Configuration, tokenizer and chat template of a checkpoint."""
_MAX_HEADER_BYTES = 100_000_000
"""Largest header of a safetensors file; the format's own bound."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint, here or not.

    Attributes:
        model: as the parameter names it.
        commit: 40 hex digits; empty for a folder of the user's own.
        folder: where it lies, or will lie.
        param: name of the parameter, for messages: ``embed.model``.
    """

    model: str
    commit: str
    folder: Path
    param: str

    @property
    def name(self) -> str:
        """Name as it stands in rows: that of the hub, or of the folder."""
        return self.model if self.commit else self.folder.resolve().name

    @property
    def is_here(self) -> bool:
        """Whether its configuration and weights lie on this machine."""
        return (self.folder / CONFIG).is_file() and bool(self.weight_files())

    @property
    def may_run_code(self) -> bool:
        """Whether the deployment trusts code that lies in it."""
        return may_run_code_of(self.model, self.commit)

    @property
    def is_pickled(self) -> bool:
        """Whether its weights are read from pickles: it holds no safetensors, and the deployment trusts it so far."""
        return bool(self.weight_files()) and not any(self.folder.glob(_SAFETENSORS))

    def weight_files(self) -> list[Path]:
        """The files that its weights are read from; none where they are not here, or may not be read."""
        allows_pickles = may_read_pickles_of(self.model, self.commit)
        return sorted(self.folder.glob(_SAFETENSORS)) or (sorted(self.folder.glob(_PICKLES)) if allows_pickles else [])

    def weights_hash(self, patterns: Sequence[str] = (CONFIGS,)) -> str:
        """The commit; of a folder a hash of its weights and of the files that patterns name.

        Raises:
            ParamsError: the folder holds no weights that may be read, or damaged ones.
        """
        if self.commit:
            return self.commit
        files = [*self._checked_weights(), *sorted({path for each in patterns for path in self.folder.glob(each)})]
        return digest(*(f"{path.name} {file_hash(path)}" for path in files), length=16)

    def config(self) -> Mapping[str, Any]:
        """Its ``config.json``, fetched from the hub where it is not here.

        Raises:
            ParamsError: it is neither here nor reachable, or no JSON object.
        """
        if self.commit and not (self.folder / CONFIG).is_file():
            self._download([CONFIG])
        return read_json(self.folder / CONFIG, self.param)

    def fetch(self) -> Path:
        """Bring what is missing from the hub, and check that weights are whole; returns the folder.

        Raises:
            ParamsError: it is neither here nor reachable, or damaged.
        """
        if self.commit and not (self.is_whole() and self._has_code()):
            code = ["*.py"] if self.may_run_code else []
            self._download([*TEXTS, _SAFETENSORS, "README.md", *code])
            if not self.weight_files() and may_read_pickles_of(self.model, self.commit):
                self._download([_PICKLES])
        self._checked_weights()
        return self.folder

    def note_branch(self, revision: str) -> None:
        """Note in the local cache that a branch or tag is at this commit, as the hub's client does."""
        if self.commit and not COMMIT_PATTERN.fullmatch(revision):
            path = hub_cache_folder(self.model) / "refs" / revision
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.commit)

    def is_whole(self) -> bool:
        """Whether all files of its weights are here, by the index where there are several."""
        if not self.is_here:
            return False
        index = self.folder / ("pytorch_model.bin.index.json" if self.is_pickled else "model.safetensors.index.json")
        if not index.is_file():
            return True
        names = set(read_json(index, self.param).get("weight_map", {}).values())
        return all((self.folder / name).is_file() for name in names)

    def _has_code(self) -> bool:
        """Whether code that it has, and that may run, is here: it may have been fetched before it was trusted."""
        has_own = self.may_run_code and "auto_map" in read_json(self.folder / CONFIG, self.param)
        return not has_own or any(self.folder.glob("*.py"))

    def _download(self, patterns: list[str]) -> None:
        if is_offline():
            raise self._not_here(f"{OFFLINE_VARIABLE} is set")
        download = lazy.load("stages.models.hub:download", wanted_by=f"{self.param}={self.model}")
        try:
            download(self.model, self.commit, patterns)
        except OSError as error:  # all errors of the hub's client are
            raise self._not_here(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
        self._check_hashes()

    def _check_hashes(self) -> None:
        """Check weights by the SHA-256 that the hub names them by, where it does, as it does for large files.

        Raises:
            ParamsError: a file has other bytes.
        """
        for path in self.weight_files():
            name = path.resolve().name
            if _SHA256.fullmatch(name) and not name.startswith(file_hash(path)):
                raise ParamsError(
                    f"{self.param}: {path} must have the SHA-256 {name}, got {file_hash(path)}... Remove it, "
                    "and get it again.",
                    self.param,
                )

    def _checked_weights(self) -> list[Path]:
        """Its weights.

        Raises:
            ParamsError: there are none that may be read, or a file of safetensors is not whole.
        """
        return self.weight_files() if self.is_pickled else weights_of(self.folder, self.param)

    def _not_here(self, cause: str) -> ParamsError:
        return ParamsError(
            f"{self.param}: {self.model!r} must lie on this machine or be reachable on the hub, and {self.folder} "
            f"holds no whole checkpoint ({cause}). Where the hub can be reached, run: curator models fetch, or hf "
            f"download {self.model} --revision {self.commit}; then copy {hub_cache_folder(self.model)} to the same "
            f"place here, or name a folder as {self.param}.",
            self.param,
        )


def resolve(model: str, revision: str, param: str = "embed.model", *, asks_hub_first: bool = False) -> Checkpoint:
    """The checkpoint of a folder or a name on the hub; see `commit_of`.

    Raises:
        ParamsError: nobody knows the revision's commit.
    """
    folder = Path(model)
    if folder.is_dir():
        return Checkpoint(model, "", folder, param)
    commit = commit_of(model, revision, param, asks_hub_first=asks_hub_first)
    return Checkpoint(model, commit, hub_cache_folder(model) / "snapshots" / commit, param)


def commit_of(model: str, revision: str, param: str = "embed.model", *, asks_hub_first: bool = False) -> str:
    """The commit, 40 hex digits, of a branch or tag: by the local cache, else by the hub.

    Raises:
        ParamsError: neither knows it.
    """
    if COMMIT_PATTERN.fullmatch(revision):
        return revision
    path = hub_cache_folder(model) / "refs" / revision
    commit = path.read_text().strip() if path.is_file() else ""
    is_cached = bool(COMMIT_PATTERN.fullmatch(commit))
    if is_cached and not asks_hub_first:
        return commit
    cause = f"{OFFLINE_VARIABLE} is set" if is_offline() else ""
    if not cause:
        try:
            return _hub_commit(model, revision, param)
        except OSError as error:
            cause = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    if is_cached:
        return commit
    place = param.replace(".model", ".revision")
    raise ParamsError(
        f"{place} must be a commit of {model!r}, or a name whose commit is in the local cache or on the hub, got "
        f"{revision!r}, no commit in {path}, and none from the hub ({cause}). Give 40 hex digits, or a folder as "
        f"{param}, or run where the hub can be reached: hf download {model} --revision {revision}",
        place,
    )


@cache
def _hub_commit(model: str, revision: str, param: str) -> str:
    """Asked once a process, so that a branch that moves meanwhile is one commit for the whole run."""
    return lazy.load("stages.models.hub:commit_of", wanted_by=f"{param}={model}")(model, revision)


def is_offline() -> bool:
    """Whether the hub must not be asked."""
    return os.environ.get(OFFLINE_VARIABLE, "").strip().upper() in ("1", "ON", "YES", "TRUE")


def hub_cache_folder(model: str) -> Path:
    """Cache folder of a hub checkpoint: ``refs/{revision}`` holds a commit, ``snapshots/{commit}`` its files."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    hub = os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"
    return Path(hub).expanduser() / f"models--{model.replace('/', '--')}"


def weights_of(folder: Path, param: str = "embed.model") -> list[Path]:
    """The safetensors of a folder.

    Raises:
        ParamsError: there is none, or one is not whole.
    """
    weights = sorted(folder.glob(_SAFETENSORS))
    if not weights:
        raise ParamsError(
            f"{param} must be a folder with {_SAFETENSORS}, got {folder}. Pickled weights can run code when they are "
            "loaded and are not read: save the checkpoint with safe_serialization=True. Where that cannot be done, the "
            f"deployment can have {_PICKLES} read, without code: it adds {PICKLE_PREFIX + str(folder)!r}, or the name "
            f"on the hub, to {TRUST_VARIABLE} or to `trust` in the component's YAML.",
            param,
        )
    for path in weights:
        tensors_of(path, param)
    return weights


def tensors_of(path: Path, param: str = "embed.model") -> Mapping[str, Any]:
    """The header of a safetensors file: by tensor, its dtype, shape and place.

    Raises:
        ParamsError: the file is no safetensors, or shorter or longer than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if 0 < length <= min(size, _MAX_HEADER_BYTES) else b""
    try:
        tensors = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
        expected = 8 + length + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise ParamsError(
            f"{param}: {path} must be a safetensors file, and its header is none. Get it again."
        ) from error
    if size != expected:
        raise ParamsError(f"{param}: {path} must have {expected} bytes by its header, got {size}. Get it again.", param)
    return tensors


def read_json(path: Path, param: str) -> Mapping[str, Any]:
    """A configuration file.

    Raises:
        ParamsError: it is missing, or no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ParamsError(
            f"{param}: {path} must be a JSON file, got {type(error).__name__}: {error}.", param
        ) from error
    if not isinstance(values, dict):
        raise ParamsError(f"{param}: {path} must hold a JSON object, got {type(values).__name__}.", param)
    return values
