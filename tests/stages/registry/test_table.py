import pytest

from stages import registry
from stages.errors import ParamsError
from stages.filter import Filter
from stages.split import Splitter, TransitionDetector


@pytest.mark.parametrize(("kind", "name"), list(registry.TABLE))
def test_every_registered_class_can_be_loaded(kind: str, name: str) -> None:
    loaded = registry.load(kind, name)
    bases = {"filter": Filter, "splitter": Splitter, "detector": TransitionDetector}
    assert issubclass(loaded, bases.get(kind, object))
    assert callable(getattr(loaded, {"embedder": "embed", "captioner": "caption"}.get(kind, "__init__")))


def test_only_plug_ins_are_registered() -> None:
    assert {kind for kind, _ in registry.TABLE} == {"splitter", "detector", "filter", "embedder", "captioner"}


def test_a_class_of_ones_own_needs_no_entry() -> None:
    assert registry.load("filter", "tests.stages.filter.custom_filter:WarmthFilter").__name__ == "WarmthFilter"


def test_load_rejects_an_unknown_name_and_tells_the_known_ones() -> None:
    with pytest.raises(
        ParamsError, match=r"splitter must be one of fixed_stride, shots, or a class .* 'shot'\. Did you mean shots\?"
    ):
        registry.load("splitter", "shot")
