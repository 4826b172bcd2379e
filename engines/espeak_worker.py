"""The worker that speaks with eSpeak NG: one process, one voice at a time.

eSpeak NG is one global library under the GPL, and two threads in it abort the process, so it
lives here, apart from the server, and is spoken to over the pool's pipes. While the library
is still making sound, what is finished leaves as Opus packets, each after the places of the
words that begin in it.
"""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .audio import Resampler
from .opus import OpusEncoder
from .plain_text import plain
from .serving import Assignment, JobCancelled, Options, Work, serve
from .speech import EngineError
from .tempo import Tempo

OPUS_HZ = 24_000
CHUNK_MS = 40
BITRATE = 40_000
# Words a minute at speed 1: a clear tutor, not a newsreader.
WORDS_PER_MINUTE = {"en": 160, "ru": 150}
WORDS_PER_MINUTE_ELSE = 155
WARM_VOICES = ("en-us", "ru")
# Below this the library does not slow down any more; the rest is done by stretching.
WORDS_PER_MINUTE_MIN = 80
SPEECH_DB = -20.0
GAIN_DB_MAX = 8.0
# What is left of the pause after the text, so that sentences made one by one join naturally.
PAUSE_MS = 240
SILENCE_BELOW = 40

_SYNCHRONOUS = 2
_CHARACTERS = 1
_UTF8, _END_PAUSE = 0x1, 0x1000
_RATE = 1
_WORD, _END_OF_LIST = 1, 0
_GENDERS = {1: "male", 2: "female"}
# Spoken in every language, for measuring how loud a voice is.
_MEASURE = "1 2 3 4 5 6 7 8 9 10"
_WHOLE_WORD = re.compile(r"\w+(?:['’.\-]\w+)*")

Samples = npt.NDArray[np.int16]


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The library, set up once. Not to be used by two threads."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._library.espeak_Synth.argtypes = [
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        ]
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, CHUNK_MS, data, 0))
        if self.rate_hz <= 0:
            raise EngineError("eSpeak NG cannot be started")
        # The library keeps the pointer, so the object must live as long as we do.
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)
        self._sink: Speaking | None = None
        self._fault: BaseException | None = None
        self._identifiers = dict(self._list())
        self._gains: dict[str, float] = {}

    def voices(self) -> list[dict[str, Any]]:
        return [facts for _, facts in self._identifiers.values()]

    def _list(self) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
        """Our name of each voice (its language tag) to the library's, and what to tell of it."""
        voices = self._library.espeak_ListVoices(None)
        for number in itertools.count():
            if not voices[number]:
                return
            voice = voices[number].contents
            tag = ctypes.string_at(voice.languages + 1).decode()
            title = voice.name.decode()
            gender = _GENDERS.get(voice.gender, "")
            facts = {"name": tag, "title": title, "language": tag.split("-")[0], "gender": gender}
            yield tag, (voice.identifier.decode(), facts)

    def choose(self, voice: str) -> float:
        """Take this voice, such as "en-us" or "ru+f2"; its gain. Raises `EngineError`."""
        tag, _, variant = voice.partition("+")
        if tag not in self._identifiers:
            raise EngineError(f"eSpeak NG has no voice {voice[:40]!r}")
        name = self._identifiers[tag][0] + (f"+{variant}" if variant else "")
        # A name that is not found leaves the old voice in place: look at the answer.
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise EngineError(f"eSpeak NG has no voice {voice[:40]!r}")
        if voice not in self._gains:
            self._gains[voice] = self._measured_gain()
        return self._gains[voice]

    def _measured_gain(self) -> float:
        """What brings the voice just chosen to the level of speech. Takes milliseconds."""
        measured = Measuring()
        self.say(_MEASURE, 160, measured)
        gain_db = min(max(SPEECH_DB - measured.level_db(), -GAIN_DB_MAX), GAIN_DB_MAX)
        return float(10 ** (gain_db / 20))

    def say(self, text: str, words_per_minute: int, sink: Speaking) -> None:
        """Make the sound of plain text in the voice chosen; `sink` may stop it."""
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        encoded = text.encode()
        self._sink, self._fault = sink, None
        self._library.espeak_Synth(
            *(encoded, len(encoded) + 1, 0, _CHARACTERS, 0, _UTF8 | _END_PAUSE, None, None)
        )
        self._sink = None
        if self._fault is not None:
            raise self._fault

    def _take(
        self,
        wave: ctypes._Pointer[ctypes.c_short],
        count: int,
        events: ctypes._Pointer[_Event],
    ) -> int:
        """The library has made a chunk; 1 tells it to stop. Nothing may be raised through C."""
        if self._sink is None:
            return 1
        words = []
        for number in itertools.count():
            event = events[number]
            if event.type == _END_OF_LIST:
                break
            if event.type == _WORD:
                words.append((event.text_position - 1, event.length, event.audio_position))
        sound = ctypes.string_at(wave, count * 2) if wave and count > 0 else b""
        try:
            self._sink.take(np.frombuffer(sound, np.int16), words)
        except (JobCancelled, EngineError) as fault:
            self._fault = fault
            return 1
        return 0


class Speaking(Protocol):
    """Where the library's sound goes, chunk by chunk."""

    def take(self, sound: Samples, words: list[tuple[int, int, int]]) -> None:
        """A chunk, and the words (character, length, ms) that begin in it."""
        ...


class Measuring(Speaking):
    """Only listens how loud it is."""

    def __init__(self) -> None:
        self._sound: list[Samples] = []

    def take(self, sound: Samples, words: list[tuple[int, int, int]]) -> None:
        self._sound.append(sound)

    def level_db(self) -> float:
        """The level of what is spoken, without the pauses, in dB below full scale."""
        sound = np.concatenate([np.zeros(441, np.int16), *self._sound]).astype(np.float64)
        power = (sound[: len(sound) // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1)
        spoken = power[power > power.max() / 1_000]
        return 10 * float(np.log10(spoken.mean() / 32_768**2)) if len(spoken) else SPEECH_DB


class Sending(Speaking):
    """Turns chunks into packets and words into places in the text, and sends both."""

    def __init__(
        self, assignment: Assignment, text: str, rate_hz: int, gain: float, tempo: float
    ) -> None:
        self._assignment, self._text = assignment, text
        self._rate_hz, self._gain, self._tempo = rate_hz, gain, tempo
        self._stretch = Tempo(rate_hz, tempo) if tempo != 1.0 else None
        self._resampler = Resampler(rate_hz, OPUS_HZ)
        self._encoder = OpusEncoder(OPUS_HZ, bitrate=BITRATE)
        self._silence = np.zeros(0, np.int16)
        self._marked = 0
        self._heard = False

    def take(self, sound: Samples, words: list[tuple[int, int, int]]) -> None:
        if self._assignment.cancelled:
            raise JobCancelled
        places = [place for word in words if (place := self._place(*word)) is not None]
        # A silence is only sent once sound follows it: the last one is to be cut.
        loud = np.nonzero(np.abs(sound.astype(np.int32)) > SILENCE_BELOW)[0]
        end = int(loud[-1]) + 1 if len(loud) else 0
        self._heard = self._heard or end > 0
        ready = np.concatenate((self._silence, sound[:end])) if end else sound[:0]
        self._silence = sound[end:] if end else np.concatenate((self._silence, sound))
        self._send(ready, places)

    def finish(self) -> None:
        """The pause after the text, when there was anything before it."""
        if not self._heard:
            return
        samples = PAUSE_MS * self._rate_hz // 1_000
        self._send(self._silence[:samples], [], last=True)

    def _place(self, start: int, length: int, at_ms: int) -> list[int] | None:
        """Where the word stands in the text, whole; None when it was already marked.

        The library reads a number or a sign as many words, all at nearly the same place.
        """
        found = _WHOLE_WORD.match(self._text, start)
        end = min(max(start + length, found.end() if found else 0), len(self._text))
        if start < self._marked or not self._text[start:end].strip():
            return None
        end = start + len(self._text[start:end].rstrip())
        self._marked = end
        return [start, end, round(at_ms / self._tempo)]

    def _send(self, sound: Samples, words: list[list[int]], *, last: bool = False) -> None:
        louder = np.clip(sound * np.float32(self._gain), -32_768, 32_767).astype(np.int16)
        pcm = louder.tobytes()
        if self._stretch is not None:
            pcm = self._stretch.feed(pcm) + (self._stretch.flush() if last else b"")
        pcm = self._resampler.feed(pcm) + (self._resampler.flush() if last else b"")
        frames = self._encoder.encode(pcm) + (self._encoder.flush() if last else [])
        if words or frames:
            packets = [frame.packet for frame in frames]
            told = {"words": words, "sizes": [len(packet) for packet in packets]}
            self._assignment.send(told, b"".join(packets))


def prepare(options: Options) -> Work:
    espeak = Espeak()
    # The first call should not wait for what every call needs.
    for voice in WARM_VOICES:
        espeak.choose(voice)

    def work(assignment: Assignment) -> None:
        request = assignment.request
        if "text" not in request:
            assignment.send({"voices": espeak.voices()})
            return
        gain = espeak.choose(request["voice"])
        language = request["voice"].split("-")[0].split("+")[0]
        wanted = WORDS_PER_MINUTE.get(language, WORDS_PER_MINUTE_ELSE) * request["speed"]
        made = max(round(wanted), WORDS_PER_MINUTE_MIN)
        tempo = min(wanted / WORDS_PER_MINUTE_MIN, 1.0)
        text = plain(request["text"])
        sending = Sending(assignment, text, espeak.rate_hz, gain, max(tempo, 0.5))
        espeak.say(text, made, sending)
        sending.finish()

    return work


if __name__ == "__main__":
    serve(prepare)
