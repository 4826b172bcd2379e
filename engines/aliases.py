"""What other houses call their models: which kind of engine a client means by such a name.

Clients are written for one house and name its models. Such a name is as good as none: it means
the engine that is configured for its kind, or the one that the configuration names for it. Pure.
"""

from __future__ import annotations

import re

SPEECH_TO_TEXT, DIALOGUE, TEXT_TO_SPEECH = "speech_to_text", "dialogue", "text_to_speech"

# The names that clients send today, for the list; `kind_of` knows their later versions too.
KNOWN: dict[str, str] = {
    "gpt-realtime-2.1": DIALOGUE,
    "gpt-realtime-2.1-mini": DIALOGUE,
    "gpt-realtime-2": DIALOGUE,
    "gpt-realtime-1.5": DIALOGUE,
    "gpt-realtime": DIALOGUE,
    "gpt-realtime-mini": DIALOGUE,
    "gpt-4o-realtime-preview": DIALOGUE,
    "gpt-4o-mini-realtime-preview": DIALOGUE,
    "gpt-live-transcribe": SPEECH_TO_TEXT,
    "gpt-transcribe": SPEECH_TO_TEXT,
    "gpt-realtime-whisper": SPEECH_TO_TEXT,
    "gpt-4o-transcribe": SPEECH_TO_TEXT,
    "gpt-4o-mini-transcribe": SPEECH_TO_TEXT,
    "whisper-1": SPEECH_TO_TEXT,
    "gpt-4o-mini-tts": TEXT_TO_SPEECH,
    "tts-1": TEXT_TO_SPEECH,
    "tts-1-hd": TEXT_TO_SPEECH,
}
_FAMILY = re.compile(r"(?:chatgpt|gpt|tts|whisper|o\d)-[\w.:-]+", re.ASCII)


def kind_of(name: str) -> str | None:
    """The kind of engine a foreign model's name stands for; None when it is no such name."""
    if name in KNOWN:
        return KNOWN[name]
    if len(name) > 80 or not _FAMILY.fullmatch(name):
        return None
    if "tts" in name.split("-"):
        return TEXT_TO_SPEECH
    if "whisper" in name.split("-") or "transcribe" in name:
        return SPEECH_TO_TEXT
    return DIALOGUE
