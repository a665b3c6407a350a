"""Silero VAD: what it hears, where its network lies, and its hash. Does not import onnxruntime."""

from pathlib import Path

from stages.models.extras import extra_file
from stages.models.weights import file_hash

WANTED_BY = "'speech' in split.signals"
DISTRIBUTION = "silero-vad"
SPEECH_RATE_HZ = 16_000
"""Of the sound that it hears."""
BLOCK_SAMPLES = 512
SPEECH_BLOCK_S = BLOCK_SAMPLES / SPEECH_RATE_HZ
"""Length of a block, which has one probability."""


def speech_weights() -> Path:
    """The network in the package silero-vad, which is never imported: that sets torch's number of threads.

    Raises:
        ParamsError: the extra is not installed.
    """
    return extra_file("speech", "silero_vad", "data/silero_vad_16k_sequence.onnx", WANTED_BY)


def speech_identity() -> dict[str, str]:
    """Name of the network and hash of its file.

    Raises:
        ParamsError: the extra is not installed.
    """
    return {"speech_model": DISTRIBUTION, "speech_weights_hash": file_hash(speech_weights())}
