"""Events beyond the protocol, sent only to a client that asked for them. Pure.

They tell what a page of ours wants to show: which engines work, how far a reply has been heard,
where the time went, that the call is about to end, and the bill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engines.speech import EngineSettings

from .. import events as ev
from .replies import Replies
from .server_events import Events, ServerEvent

Describe = Callable[[EngineSettings], Mapping[str, object]]
LATENCY_PARTS = (
    "endpointing_ms", "transcript_ms", "first_token_ms", "first_sentence_ms", "first_audio_ms",
    "first_packet_ms", "gap_ms",
)  # fmt: skip
BILL_FIELDS = (
    "duration_sec", "billed_minutes", "billed_amount", "currency", "paid_minutes",
    "paid_amount", "balance_minutes", "balance_amount",
)  # fmt: skip


class Extras:
    """`describe` says in public words which engines some settings mean."""

    def __init__(self, events: Events, replies: Replies, describe: Describe) -> None:
        self._events, self._replies, self._describe = events, replies, describe

    def tell(self, action: ev.Action) -> list[ServerEvent]:
        match action:
            case ev.ReplyHeard(turn, chars):
                return self._heard(turn, chars)
            case ev.Pause(turn):
                return self._of_reply("paused", turn)
            case ev.Resume(turn):
                return self._of_reply("resumed", turn)
            case ev.Latency(turn):
                told = {name: getattr(action, name) for name in LATENCY_PARTS}
                if action.answer_ms is not None:
                    told["answer_ms"] = action.answer_ms
                return self._of_reply("latency", turn, **told)
            case ev.EndingSoon(left_ms):
                return [self._make("ending_soon", left_ms=left_ms)]
        return []

    def engines(self, settings: EngineSettings) -> ServerEvent:
        return self._make("engines", **self._describe(settings))

    def bill(self, call_id: str, reason: str, bill: Mapping[str, object]) -> ServerEvent:
        """What the call cost; without figures when it was never billed."""
        figures = {name: bill[name] for name in BILL_FIELDS if bill.get(name) is not None}
        return self._make("bill", call_id=call_id, reason=reason, **figures)

    def _heard(self, turn: int, chars: int) -> list[ServerEvent]:
        reply = self._replies.of(turn)
        if reply is None or reply.item is None:
            return []
        return self._of_reply("reply_heard", turn, item_id=reply.item.id, chars=chars)

    def _of_reply(self, what: str, turn: int, **fields: object) -> list[ServerEvent]:
        reply = self._replies.of(turn)
        return [self._make(what, response_id=reply.id, **fields)] if reply else []

    def _make(self, what: str, **fields: object) -> ServerEvent:
        return self._events.make(f"voice_server.{what}", **fields)


def plainly(settings: EngineSettings) -> Mapping[str, object]:
    """The engines by the names they were asked for."""
    return {
        "speech_to_text": settings.speech_to_text, "dialogue": settings.dialogue,
        "text_to_speech": settings.text_to_speech, "voice": settings.voice,
        "language": settings.language, "notice": "",
    }  # fmt: skip
