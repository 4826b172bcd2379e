"""Several engines as one for files, whose owners wait and do not listen: whoever can does the work,
nobody is hurried, and what a file asks besides (which voices there are, which language this is) is
asked of the first."""

from __future__ import annotations

from typing import Any

from .speech import SpeechToText, TextToSpeech


class Led:
    """Engines of which one comes first."""

    def __init__(self, first: object) -> None:
        self.first = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self.first, name)


class FileEars(Led):
    """A `SpeechToText`. `standing` stands for all of them."""

    def __init__(self, first: SpeechToText, standing: SpeechToText) -> None:
        super().__init__(first)
        self.transcribe = standing.transcribe


class FileVoice(Led):
    """A `TextToSpeech`. `standing` stands for all of them."""

    def __init__(self, first: TextToSpeech, standing: TextToSpeech) -> None:
        super().__init__(first)
        self.synthesize = standing.synthesize
