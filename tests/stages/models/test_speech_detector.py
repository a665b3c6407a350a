"""The probabilities of speech, against the published streaming network asked block by block."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stages.errors import ParamsError
from stages.media import MonoSound
from stages.models import SpeechDetector, load_speech_network, speech_weights

pytest.importorskip("silero_vad")
onnxruntime = pytest.importorskip("onnxruntime")

RATE_HZ, BLOCK = 16_000, 512


@pytest.fixture(scope="module")
def spoken(shared_media: Path) -> NDArray[np.float32]:
    """Ten seconds of a talk, and a rest that fills no block."""
    sound, pieces = MonoSound(RATE_HZ), []
    with av.open(str(shared_media / "slides_122s_1080p.mp4")) as container:
        for frame in container.decode(audio=0):
            pieces += [piece.samples for piece in sound.push(frame)]
            if sum(map(len, pieces)) > 10 * RATE_HZ:
                break
    return np.concatenate(pieces)[: 10 * RATE_HZ + 100]


def by_streaming(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the package's own wrapper computes: a call for each block, with the end of the one before and the state."""
    session = onnxruntime.InferenceSession(str(speech_weights().with_name("silero_vad.onnx")))
    samples = np.pad(samples, (0, -len(samples) % BLOCK))
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    found = []
    for start in range(0, len(samples), BLOCK):
        given = np.concatenate([context, samples[None, start : start + BLOCK]], axis=1)
        probability, state = session.run(None, {"input": given, "state": state, "sr": np.array(RATE_HZ)})
        context = given[:, -64:]
        found.append(float(probability[0, 0]))
    return np.array(found, np.float32)


def heard(samples: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    detector = SpeechDetector(load_speech_network(speech_weights(), 1))
    found = [detector.push(samples[start : start + step]) for start in range(0, len(samples), step)]
    return np.concatenate([*found, detector.finish()])


@pytest.mark.parametrize("step", [1024, 7777, 1_000_000])
def test_probabilities_are_those_of_the_streaming_network(spoken: NDArray[np.float32], step: int) -> None:
    found = heard(spoken, step)
    assert np.abs(found - by_streaming(spoken)).max() < 1e-4
    assert (found > 0.5).mean() > 0.5, "somebody talks"


def test_a_sound_does_not_depend_on_the_one_before(spoken: NDArray[np.float32]) -> None:
    detector = SpeechDetector(load_speech_network(speech_weights(), 1))
    first = np.concatenate([detector.push(spoken), detector.finish()])
    again = np.concatenate([detector.push(spoken), detector.finish()])
    assert np.array_equal(first, again)
    assert len(detector.finish()) == 0


def test_load_speech_network_rejects_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(speech_weights().read_bytes()[:100_000])
    with pytest.raises(ParamsError, match="requires a whole network"):
        load_speech_network(path, 1)
