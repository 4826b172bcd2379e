"""Speech for the tests to listen to.

`SPEECH_DATA` names a folder of human recordings with their words in `transcripts.tsv`
(file, language, category, seconds, reference). Where there is none, the tests speak to
themselves: eSpeak NG says a sentence of the right language, in a process of its own because
the library is global. Every clip is a 16 kHz mono WAV file.
"""

from __future__ import annotations

import csv
import ctypes
import subprocess
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

RATE_HZ = 16_000

# What the most used recordings say, so that a test reads the same without them.
SPOKEN = {
    "en_jfk.wav": "And so my fellow Americans, ask not what your country can do for you, "
    "ask what you can do for your country.",
    "en_brooklyn.wav": "How old is the Brooklyn Bridge?",
    "ru_pisets_nn.wav": "нейронные сети это хорошо",
    "ru_ruslan_01.wav": "Это было в октябре тысяча девятьсот сорок пятого года.",
}
SPOKEN_BY_LANGUAGE = {
    "en": "Printing is the only sense with which we are at present concerned.",
    "ru": "Это было в октябре, и погода была хорошая.",
}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording and its words; `human` is False for what eSpeak NG said."""

    path: Path
    language: str
    category: str
    text: str
    human: bool


class HumanSpeech:
    """Clips by file name: `speech("en_jfk.wav")` is a path, `speech.clip(...)` all of it."""

    def __init__(self, recordings: Path | None, workshop: Path) -> None:
        self.recordings, self.workshop = recordings, workshop
        self._clips: dict[str, Clip] = {}
        if recordings is not None:
            self._clips = {clip.path.name: clip for clip in _recorded(recordings)}

    @property
    def human(self) -> bool:
        return self.recordings is not None

    def __call__(self, name: str) -> Path:
        return self.clip(name).path

    def text(self, name: str) -> str:
        return self.clip(name).text

    def clip(self, name: str) -> Clip:
        if name not in self._clips:
            assert not self.human, f"SPEECH_DATA holds no {name}"
            self._clips[name] = self._spoken(name)
        return self._clips[name]

    def clips(self, language: str, category: str = "speech") -> list[Clip]:
        """Every human clip of that kind; what eSpeak NG can say in their place if none."""
        if not self.human:
            return [self.clip(f"{language}_spoken.wav")]
        kinds = {(language, category)}
        return [clip for clip in self._clips.values() if (clip.language, clip.category) in kinds]

    def _spoken(self, name: str) -> Clip:
        language = name.split("_")[0]
        text = SPOKEN.get(name) or SPOKEN_BY_LANGUAGE[language]
        path = self.workshop / name
        subprocess.run(
            [sys.executable, "-m", "tests.human_speech", language, text, str(path)],
            check=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        return Clip(path, language, "speech", text, human=False)


def _recorded(folder: Path) -> list[Clip]:
    with (folder / "transcripts.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [
        Clip(folder / row["file"], row["language"], row["category"], row["reference"], human=True)
        for row in rows
    ]


def speak(language: str, text: str, path: Path) -> None:
    """Write what eSpeak NG says as a 16 kHz mono WAV file, with half a second of silence
    around it as a recording has."""
    import av
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate_hz = library.espeak_Initialize(2, 60, str(espeakng_loader.get_data_path()).encode(), 0)
    assert rate_hz > 0, "eSpeak NG cannot start"
    sound = bytearray()

    def collect(samples: ctypes._Pointer[ctypes.c_short], count: int, _events: object) -> int:
        if count > 0:
            sound.extend(ctypes.string_at(samples, count * 2))
        return 0

    signature = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )
    kept = signature(collect)  # The library keeps the pointer, so Python must keep the object.
    library.espeak_SetSynthCallback(kept)
    assert library.espeak_SetVoiceByName(language.encode()) == 0, f"no voice for {language}"
    said, utf8 = text.encode(), 1
    library.espeak_Synth(said, ctypes.c_size_t(len(said) + 1), 0, 1, 0, utf8, None, None)
    library.espeak_Synchronize()

    frame = av.AudioFrame(format="s16", layout="mono", samples=len(sound) // 2)
    frame.sample_rate = rate_hz
    frame.planes[0].update(bytes(sound))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    silence = b"\0\0" * (RATE_HZ // 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        spoken = b"".join(bytes(piece.planes[0])[: piece.samples * 2] for piece in pieces)
        file.writeframes(silence + spoken + silence)


if __name__ == "__main__":
    speak(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
