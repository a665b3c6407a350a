"""How well the share of speech is told: synthesised speech at known times, alone, in noise, and over music.

PYTHONPATH=. python benchmarks/speech.py --clips 40           # needs espeak-ng and flite, and the extra speech
PYTHONPATH=. python benchmarks/speech.py --videos VIDEO...    # what it says of real videos, and what it costs
"""

import argparse
import io
import subprocess
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from stages.media import MonoSound
from stages.models import SPEECH_BLOCK_S, SPEECH_RATE_HZ, SpeechDetector, load_speech_network, speech_weights

Wave = NDArray[np.float32]
CLIP_S = 10
THRESHOLD = 0.5
"""The network's authors' own; nothing was chosen on what is made here."""
QUIET = 0.01
"""Of the peak: an utterance begins and ends where it is louder."""
SENTENCES = (
    "The river runs slowly past the old mill",
    "She carried two baskets of apples to the market",
    "We will meet again at the station tomorrow morning",
    "Turn the handle to the left until it stops",
    "Nobody knew where the children had gone",
    "Heat the oil and add the onions first",
)
VOICES = {
    "espeak-ng": [("espeak-ng", "-v", voice) for voice in ("en-us", "en-gb+f3", "en-us+m5", "en-gb+f4")],
    "flite": [("flite", "-voice", voice) for voice in ("kal16", "awb", "rms", "slt")],
}
BACKGROUNDS = ("silence", "white noise, 20 dB", "pink noise, 10 dB", "tones, 10 dB", "music, 10 dB", "music, 0 dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40, help="of each synthesiser and background")
    parser.add_argument("--videos", nargs="*", type=Path, default=[])
    chosen = parser.parse_args()
    network = load_speech_network(speech_weights(), 1)
    for video in chosen.videos:
        print(of_video(video, network))
    if not chosen.videos:
        print("| voices | background | clips | mean error | largest | without speech: mean share | largest |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for synthesiser, voices in VOICES.items():
            spoken = [utterance(voice, sentence) for voice in voices for sentence in SENTENCES]
            for background in BACKGROUNDS:
                print(f"| {synthesiser} | {background} | {errors(spoken, background, chosen.clips, network)} |")


def errors(spoken: list[Wave], background: str, num_clips: int, network: object) -> str:
    """Of clips with speech in a random part, every fourth with none."""
    random = np.random.default_rng(1)
    off: list[float] = []
    empty: list[float] = []
    for number in range(num_clips):
        speech, is_on = placed(spoken, random, 0 if number % 4 == 3 else int(random.integers(1, 4)))
        heard = share(mixed(speech, background, random), network)
        (off if is_on.any() else empty).append(abs(heard - float(is_on.mean())) if is_on.any() else heard)
    return f"{num_clips} | {np.mean(off):.3f} | {max(off):.3f} | {np.mean(empty):.3f} | {max(empty):.3f}"


def placed(spoken: list[Wave], random: np.random.Generator, count: int) -> tuple[Wave, NDArray[np.bool_]]:
    """So many utterances one after another with pauses between them, and where they are."""
    sound, is_on = np.zeros(CLIP_S * SPEECH_RATE_HZ, np.float32), np.zeros(CLIP_S * SPEECH_RATE_HZ, np.bool_)
    position = int(random.integers(0, SPEECH_RATE_HZ))
    for each in random.choice(len(spoken), count):
        end = min(len(sound), position + len(spoken[each]))
        sound[position:end], is_on[position:end] = spoken[each][: end - position], True
        position = min(len(sound), end + int(random.integers(SPEECH_RATE_HZ // 2, 2 * SPEECH_RATE_HZ)))
    return sound, is_on


def mixed(speech: Wave, background: str, random: np.random.Generator) -> Wave:
    """The speech over a background, so many dB below an utterance of a level of 0.1."""
    kind, _, level = background.partition(", ")
    if kind == "silence":
        return speech
    made = {"white noise": white, "pink noise": pink, "tones": tones, "music": music}[kind](len(speech), random)
    level_db = float(level.removesuffix(" dB"))
    scale = 0.1 * 10 ** (-level_db / 20) / float(np.sqrt(np.mean(np.square(made))))
    return (speech + scale * made).astype(np.float32)


def white(length: int, random: np.random.Generator) -> Wave:
    return random.standard_normal(length, np.float32)


def pink(length: int, random: np.random.Generator) -> Wave:
    spectrum = np.fft.rfft(random.standard_normal(length))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), length).astype(np.float32)


def tones(length: int, random: np.random.Generator) -> Wave:
    times = np.arange(length) / SPEECH_RATE_HZ
    parts = [np.sin(2 * np.pi * hertz * times) for hertz in random.uniform(150, 2000, 3)]
    return np.sum(parts, axis=0).astype(np.float32)


def music(length: int, random: np.random.Generator) -> Wave:
    """Notes of a scale with overtones that die away, four a second, and a drum."""
    sound = np.zeros(length, np.float32)
    step = SPEECH_RATE_HZ // 4
    times = np.arange(4 * step) / SPEECH_RATE_HZ
    for start in range(0, length, step):
        hertz = 220 * 2 ** (int(random.choice([0, 2, 4, 5, 7, 9, 11, 12])) / 12)
        note = np.sum([np.sin(2 * np.pi * hertz * part * times) / part for part in range(1, 6)], axis=0)
        drum = random.standard_normal(len(times)) * np.exp(-40 * times) * ((start // step) % 2 == 0)
        made = (note * np.exp(-3 * times) + drum).astype(np.float32)
        end = min(length, start + len(made))
        sound[start:end] += made[: end - start]
    return sound


def utterance(voice: tuple[str, ...], sentence: str) -> Wave:
    """A sentence of 16 kHz at a level of 0.1, from its first sound to its last."""
    if voice[0] == "flite":
        done = subprocess.run([*voice, "-t", sentence, "-o", "/dev/stdout"], capture_output=True, check=True)
    else:
        done = subprocess.run([*voice, "--stdout", sentence], capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(1 << 30), np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None].copy(), format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler("flt", "mono", SPEECH_RATE_HZ)
    sound = np.concatenate([each.to_ndarray()[0] for part in (frame, None) for each in resampler.resample(part)])
    loud = np.flatnonzero(np.abs(sound) > QUIET * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    return (0.1 * sound / np.sqrt(np.mean(np.square(sound)))).astype(np.float32)


def share(sound: Wave, network: object) -> float:
    detector = SpeechDetector(network)  # pyrefly: ignore[bad-argument-type] - what load_speech_network gave
    probabilities = np.concatenate([detector.push(sound), detector.finish()])
    return float((probabilities >= THRESHOLD).mean())


def of_video(path: Path, network: object) -> str:
    """A line: length, share, longest stretch, and the cost of a second of sound."""
    pieces = list(samples_of(path))
    if not pieces:
        return f"| {path.name} | no sound | | | |"
    sound = np.concatenate(pieces)
    detector = SpeechDetector(network)  # pyrefly: ignore[bad-argument-type] - what load_speech_network gave
    began = time.process_time()
    probabilities = np.concatenate([detector.push(sound), detector.finish()])
    cost_ms = 1000 * (time.process_time() - began) / (len(sound) / SPEECH_RATE_HZ)
    began = time.process_time()
    for _ in samples_of(path):
        pass
    decode_ms = 1000 * (time.process_time() - began) / (len(sound) / SPEECH_RATE_HZ)
    is_speech = np.concatenate([[False], probabilities >= THRESHOLD, [False]])
    edges = np.flatnonzero(np.diff(is_speech.astype(int)))
    longest = max(np.diff(edges)[::2], default=0) * SPEECH_BLOCK_S
    length = len(sound) / SPEECH_RATE_HZ
    return (
        f"| {path.name} | {length:.1f} s | {is_speech.sum() * SPEECH_BLOCK_S / length:.2f} | {longest:.1f} s | "
        f"network {cost_ms:.2f} ms, decode and resample {decode_ms:.2f} ms a second |"
    )


def samples_of(path: Path) -> Iterator[Wave]:
    sound = MonoSound(SPEECH_RATE_HZ)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0) if container.streams.audio else ():
            yield from (piece.samples for piece in sound.push(frame))
    yield from (piece.samples for piece in sound.finish())


if __name__ == "__main__":
    main()
