"""Tasks keep all of their fields through pickle, also those that a class of a user's own adds."""

import copy
import pickle
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from ray import cloudpickle

from stages.tasks import Clip, Span, Video, VideoTask

CLIP = Clip("c", Span(3, 7, Fraction(1, 25)), 0, 4, columns={"a": 1}, scores={"b": None}, scored_by=frozenset("b"))
TASK = VideoTask("p/1", "v", data=Video("v", "s3://b/v.mp4", "p", clips=(CLIP,), error="cut off"))


@dataclass(frozen=True, slots=True)
class Labelled(VideoTask):
    """A task of a user's own."""

    label: str = "none"


@dataclass(frozen=True)
class Open(Clip):
    """A clip of a user's own, without slots."""

    note: str = "none"


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_a_task_is_equal_after_pickle(dumps: object) -> None:
    assert callable(dumps)
    for value in (TASK, CLIP, CLIP.span, Labelled("p/1", "v", data=TASK.data, label="mine")):
        again = pickle.loads(dumps(value))
        assert (type(again), again) == (type(value), value)
    assert copy.deepcopy(TASK) == TASK


def test_a_subclass_without_slots_keeps_its_own_fields() -> None:
    again = pickle.loads(pickle.dumps(Open("c", CLIP.span, 0, 4, note="mine")))
    assert (again.note, again.span, again.columns) == ("mine", CLIP.span, {})


def test_arrays_of_a_clip_are_those_that_it_had() -> None:
    vector = np.arange(4, dtype=np.float32)
    again = pickle.loads(pickle.dumps(Clip("c", CLIP.span, 0, 4, embeddings={"m": vector})))
    assert again.embeddings["m"].tolist() == vector.tolist()
