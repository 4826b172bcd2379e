"""What a vendor's speech-to-speech session tells, and what is to be done about it. Pure.

The events are those of OpenAI's Realtime API. They come from outside: what is not as it should
be is passed over, and what a reply cannot go on after fails that reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..speech import EngineError, EngineUse, ReplyDone, Transcribed, Transcript
from .realtime_answer import Answer, Sound, Told, sound_in, text_in
from .realtime_items import ASSISTANT, CALL, RESULT, SYSTEM, USER, Item
from .realtime_lines import ENGINE, Close, Lines, Used
from .realtime_reply import RATE_HZ
from .realtime_requests import amounts_of
from .realtime_utterances import Utterance

_KINDS = {"function_call": CALL, "function_call_output": RESULT}
_TRANSCRIPTION = "conversation.item.input_audio_transcription."
# After these a session says nothing more, and may take its time to close.
_LAST = {
    "session_expired": "the speech model's session has ended",
    "invalid_api_key": "the speech model does not accept our key",
}
# Why an answer was withheld.
_FILTER = "content_filter"


def receive(lines: Lines, event: Told) -> None:
    """The next event of the current link."""
    kind = text_in(event, "type")
    if obey := _OBEY.get(kind):
        obey(lines, event)
    elif kind.startswith("response."):
        _reply(lines, kind, event)


# The conversation.


def _committed(lines: Lines, event: Told) -> None:
    utterance = lines.commits.pop(0) if lines.commits else None
    item_id, before = text_in(event, "item_id"), text_in(event, "previous_item_id")
    item = Item(item_id, USER, turn=utterance.turn if utterance else None)
    lines.mirror.put(item, before)
    if utterance is None:
        lines.send(lines.mirror.delete(item))
        return
    utterance.item_id = item_id
    item.text = utterance.words or ""


def _added(lines: Lines, event: Told) -> None:
    item = event.get("item")
    item_id, before = text_in(item, "id"), text_in(event, "previous_item_id")
    if not item_id or lines.mirror.find(item_id) or text_in(item, "role") == USER:
        return  # Ours, or an utterance, of which we are told otherwise.
    kind = _KINDS.get(text_in(item, "type"), ASSISTANT)
    if text_in(item, "role") != SYSTEM:
        lines.mirror.put(Item(item_id, kind), before)


def _partial(lines: Lines, event: Told) -> None:
    item_id, spoken = text_in(event, "item_id"), lines.utterances.open
    if spoken is not None and not spoken.item_id and not lines.mirror.find(item_id):
        spoken.item_id = item_id  # Some models write while there is speech.
    utterance = lines.utterances.of_item(item_id)
    if utterance is not None and not utterance.aside:
        utterance.partial += text_in(event, "delta")
        words = " ".join(utterance.partial.split())
        if item := lines.mirror.find(item_id):
            item.text = words
        lines.tell(Transcribed(utterance.turn, Transcript(words, final=False)))


def _transcribed(lines: Lines, event: Told) -> None:
    utterance = lines.utterances.of_item(text_in(event, "item_id"))
    if utterance is not None:
        _report_words(lines, utterance, event.get("usage"))
        lines.leave_aside(utterance)
        lines.settle(utterance, text_in(event, "transcript"))


def _not_transcribed(lines: Lines, event: Told) -> None:
    utterance = lines.utterances.of_item(text_in(event, "item_id"))
    if utterance is not None:
        _report_words(lines, utterance, None, _reason(event.get("error")))
        lines.hear_aside(utterance)


def _report_words(lines: Lines, utterance: Utterance, usage: object, error: str = "") -> None:
    took_ms = lines.now_ms - (utterance.ended_ms or lines.now_ms)
    amounts = (("audio_ms", utterance.sound_ms), *amounts_of(usage))
    use = EngineUse(
        "speech_to_text", ENGINE, lines.terms.transcription_model,
        "failed" if error else "done", took_ms, None if error else took_ms, error,
        () if error else amounts,
    )  # fmt: skip
    lines.do(Used(utterance.turn, use))


# Replies.


def _created(lines: Lines, event: Told) -> None:
    answer = _answer_of(lines, event)
    if answer is None:
        return
    answer.response_id, answer.news_ms = text_in(event.get("response"), "id"), lines.now_ms
    if answer.over:
        lines.send({"type": "response.cancel", "response_id": answer.response_id})


def _answer_of(lines: Lines, event: Told) -> Answer | None:
    """By the name that we gave it; a server that does not give names back makes one at a time."""
    response = event.get("response")
    if not isinstance(response, Mapping):
        return None
    metadata = response.get("metadata")
    active = lines.link.active if lines.link else ""
    return lines.making.get(text_in(metadata, "ask") or active)


def _reply(lines: Lines, kind: str, event: Told) -> None:
    response_id = text_in(event, "response_id")
    found = (a for a in lines.making.values() if response_id and a.response_id == response_id)
    answer = next(found, None)
    if answer is None:
        return
    answer.news_ms = lines.now_ms
    try:
        _mirror(lines, answer, kind, event)
        if not answer.over:
            _tell(lines, answer, kind, event)
    except EngineError as error:
        lines.fail(answer, str(error))
        lines.send({"type": "response.cancel", "response_id": response_id})


def _tell(lines: Lines, answer: Answer, kind: str, event: Told) -> None:
    for made in answer.receive(kind, event, lines.now_ms):
        if isinstance(made, Sound):
            lines.do(made)
        else:
            lines.tell(made)


def _mirror(lines: Lines, answer: Answer, kind: str, event: Told) -> None:
    """What the vendor now keeps of this reply."""
    if answer.apart:
        return
    if kind == "response.output_item.added":
        _mirror_item(lines, answer, event.get("item"))
        return
    item = lines.item_of(answer, text_in(event, "item_id"))
    if item is None:
        return
    match kind:
        case "response.output_audio_transcript.delta" | "response.output_text.delta":
            item.text += text_in(event, "delta")
        case "response.output_audio.delta":
            item.sound_ms += len(sound_in(event)) * 1_000 // (RATE_HZ * 2)
            if lines.link is not None:
                lines.link.voiced = True
        case "response.function_call_arguments.done":
            item.text = text_in(event, "arguments")


def _mirror_item(lines: Lines, answer: Answer, told: object) -> None:
    kind = _KINDS.get(text_in(told, "type"), ASSISTANT)
    item = lines.mirror.find(text_in(told, "id"))
    if item is None:
        item = Item(text_in(told, "id"), kind)
        lines.mirror.put(item, None)
    item.kind, item.turn, item.read = kind, answer.turn, not answer.settings.speaks
    item.name, item.call_id = text_in(told, "name"), text_in(told, "call_id")


def _done(lines: Lines, event: Told) -> None:
    answer = _answer_of(lines, event)
    if answer is None:
        return
    del lines.making[answer.ask]
    if lines.link is not None and lines.link.active == answer.ask:
        lines.link.active = ""
    response = event["response"]
    assert isinstance(response, Mapping), "it has the name that we gave it"
    status, details = text_in(response, "status"), response.get("status_details")
    _finish(lines, answer, status, details if isinstance(details, Mapping) else {}, response)
    lines.ask_next()
    lines.exchange_if_idle()


def _finish(lines: Lines, answer: Answer, status: str, details: Told, response: Told) -> None:
    usage, reason = response.get("usage"), text_in(details, "reason")
    if answer.over:
        lines.report(answer, "left", usage=usage)
        lines.drop_calls(answer.turn)
        lines.trim(answer.turn, answer.heard_ms, making=False)
    elif status == "completed" or (status == "incomplete" and (answer.begun or reason != _FILTER)):
        lines.report(answer, "done", usage=usage)
        lines.losses = 0
        _complete(lines, answer, cut=status == "incomplete")
    else:
        _break_off(lines, answer, _reason(details.get("error")), usage)


def _complete(lines: Lines, answer: Answer, *, cut: bool) -> None:
    for made in answer.end(lines.now_ms):
        if isinstance(made, Sound):
            lines.do(made)
        else:
            lines.tell(made)
    _mark(lines, answer)
    if cut:
        lines.drop_calls(answer.turn)
    lines.answers.pop(answer.turn, None)
    lines.tell(ReplyDone(answer.turn, cut=cut))


def _mark(lines: Lines, answer: Answer) -> None:
    for item in lines.mirror.of_turn(answer.turn, ASSISTANT):
        item.marks = answer.step.marks


def _break_off(lines: Lines, answer: Answer, reason: str, usage: object = None) -> None:
    """It failed: before anything of it was told the cascade can give it, and after that nobody."""
    lines.report(answer, "failed", reason, usage)
    answer.unsend()
    _mark(lines, answer)
    lines.drop_calls(answer.turn)
    if answer.begun:
        lines.fail(answer, reason)
    else:
        lines.ask_aside(answer)


# Errors.


def _error(lines: Lines, event: Told) -> None:
    """Most are about something that we asked for, and name it."""
    error = event.get("error")
    asked, _, name = text_in(error, "event_id").partition(":")
    if lines.link is not None and text_in(error, "code") in _LAST:
        lines.do(Close(lines.link.number))
        lines.lose(_LAST[text_in(error, "code")])
        return
    answer = lines.making.get(name)
    if asked == "respond" and answer is not None:
        del lines.making[name]
        if lines.link is not None and lines.link.active == name:
            lines.link.active = ""
        if not answer.over:
            _break_off(lines, answer, _reason(error))
        lines.ask_next()
    elif asked == "create":
        lines.mirror.drop(name)
    elif asked == "commit" and lines.commits:
        utterance = lines.commits.pop(0)
        if utterance is not None:
            lines.hear_aside(utterance)


def _reason(error: object) -> str:
    """What a caller may be told: a vendor's own words may hold anything."""
    code = text_in(error, "code") or text_in(error, "type")
    return _REASONS.get(code, "the speech model could not answer")


_REASONS = {
    "rate_limit_exceeded": "the speech model is too busy",
    "rate_limit_error": "the speech model is too busy",
    "insufficient_quota": "the speech model's account is used up",
    "server_error": "the speech model has a fault",
}

_OBEY: Mapping[str, Callable[[Lines, Told], None]] = {
    "input_audio_buffer.committed": _committed,
    "conversation.item.added": _added,
    f"{_TRANSCRIPTION}delta": _partial,
    f"{_TRANSCRIPTION}completed": _transcribed,
    f"{_TRANSCRIPTION}failed": _not_transcribed,
    "response.created": _created,
    "response.done": _done,
    "error": _error,
}
