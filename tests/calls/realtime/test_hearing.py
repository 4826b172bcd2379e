"""What a client is told of the user's speech and its words."""

from __future__ import annotations

from engines.speech import OpusFrame
from voice_server.calls import events as ev

from .listener import Listener

HEARD = "conversation.item.input_audio_transcription"
FRAME = OpusFrame(b"x")


def deltas(listener: Listener, item_id: object = None) -> str:
    return "".join(
        str(event["delta"])
        for event in listener.told
        if event["type"] == f"{HEARD}.delta" and item_id in (None, event["item_id"])
    )


def transcripts(listener: Listener) -> list[object]:
    return [e["transcript"] for e in listener.told if e["type"] == f"{HEARD}.completed"]


class TestWords:
    def test_only_what_is_new_is_sent(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0))
        listener.forget()
        for words in ("What", "What is", "What is", "What is a"):
            listener.act(ev.PartialText(1, words))
        assert [event["delta"] for event in listener.told] == ["What", " is", " a"]

    def test_rewritten_words_are_not_sent_until_they_fit_again(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0))
        for words in ("I won", "I want to", "I won the", "I wonder if"):
            listener.act(ev.PartialText(1, words))
        assert deltas(listener) == "I won the"
        listener.act(ev.SpeechStopped(1, 900), ev.FinalText(1, "I won the cup.", "I won the cup."))
        assert deltas(listener) == "I won the cup."

    def test_a_final_that_differs_is_told_whole_and_not_added(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.PartialText(1, "I want"))
        listener.act(ev.SpeechStopped(1, 900), ev.FinalText(1, "I won't.", "I won't."))
        assert deltas(listener) == "I want"
        assert transcripts(listener) == ["I won't."]

    def test_duration_is_that_of_the_utterance(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 250), ev.SpeechStopped(1, 1_500))
        listener.act(ev.FinalText(1, "Hi", "Hi"))
        assert listener.last(f"{HEARD}.completed")["usage"] == {
            "type": "duration", "seconds": 1.25,
        }  # fmt: skip

    def test_the_item_learns_its_words(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        item_id = listener.last("input_audio_buffer.committed")["item_id"]
        retrieve = {"type": "conversation.item.retrieve", "item_id": item_id}
        listener.send(retrieve)
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        assert item["content"] == [{"type": "input_audio", "transcript": None}]
        listener.act(ev.FinalText(1, "Hi", "Hi"))
        listener.send(retrieve)
        item = listener.told[-1]["item"]
        assert isinstance(item, dict)
        assert item["content"] == [{"type": "input_audio", "transcript": "Hi"}]

    def test_none_are_told_when_transcripts_are_off(self) -> None:
        listener = Listener()
        listener.update(audio={"input": {"transcription": None}})
        listener.act(ev.SpeechStarted(1, 0), ev.PartialText(1, "Hi"), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "Hi", "Hi"))
        assert not [kind for kind in listener.kinds if kind.startswith(HEARD)]


class TestNoise:
    def test_an_utterance_without_words_has_an_empty_transcript(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 200), ev.FinalText(1, "", ""))
        assert transcripts(listener) == [""]

    def test_discarded_before_its_end_speech_is_over(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 500))
        listener.forget()
        listener.act(ev.SpeechDiscarded(1))
        assert listener.kinds == ["input_audio_buffer.speech_stopped"]
        assert listener.told[0]["audio_end_ms"] == 500

    def test_discarded_after_its_end_no_words_are_awaited(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 200), ev.SpeechDiscarded(1))
        assert transcripts(listener) == [""]
        assert listener.act(ev.FinalText(1, "Late", "Late")) == []


class TestSeveralUtterances:
    def test_in_one_turn_words_come_in_order(self) -> None:
        listener = Listener()
        for start_ms in (0, 2_000):
            listener.act(ev.SpeechStarted(1, start_ms), ev.SpeechStopped(1, start_ms + 900))
        listener.act(ev.FinalText(1, "My name is", "My name is"))
        listener.act(ev.FinalText(1, "My name is John.", "John."))
        completed = [e for e in listener.told if e["type"] == f"{HEARD}.completed"]
        committed = [e for e in listener.told if e["type"] == "input_audio_buffer.committed"]
        assert [e["item_id"] for e in completed] == [e["item_id"] for e in committed]
        assert [e["transcript"] for e in completed] == ["My name is", "John."]
        assert committed[1]["previous_item_id"] == committed[0]["item_id"]

    def test_words_that_could_be_of_either_are_not_told(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900), ev.SpeechStarted(1, 2_000))
        assert listener.act(ev.PartialText(1, "My name")) == []

    def test_the_second_is_told_only_its_own_words(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "My name is", "My name is"), ev.SpeechStarted(1, 2_000))
        listener.forget()
        listener.act(ev.PartialText(1, "My name is Jo"), ev.SpeechStopped(1, 2_500))
        listener.act(ev.FinalText(1, "My name is John.", "John."))
        assert deltas(listener) == "John."

    def test_a_challenger_of_the_reply_has_its_own_item(self) -> None:
        listener = Listener(webrtc=True)
        listener.act(ev.ReplyStarted(1), ev.ReplySaid(1, "Well."), ev.Play(1, FRAME))
        listener.act(ev.SpeechStarted(2, 500), ev.Pause(1), ev.SpeechStopped(2, 700))
        listener.act(ev.FinalText(2, "", ""), ev.Resume(1), ev.Play(1, FRAME), ev.ReplyMade(1))
        assert transcripts(listener) == [""]
        assert listener.kinds[-1] == "response.done"


class TestInheritedWords:
    """Words that go on in the next turn are not told a second time."""

    def test_spoken_on_before_the_reply_sounded(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "My name is", "My name is"), ev.ReplyStarted(1))
        listener.act(
            ev.SpeechStarted(2, 2_000), ev.ReplyFinished(1, "cancelled", "turn_detected", "", 0)
        )
        listener.forget()
        listener.act(ev.PartialText(2, "My name is John"), ev.SpeechStopped(2, 2_500))
        listener.act(ev.FinalText(2, "My name is John.", "John."))
        assert deltas(listener) == "John."

    def test_typed_words_are_not_among_the_spoken_ones(self) -> None:
        listener = Listener()
        listener.say("Listen:")
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "my name is", "my name is"), ev.ReplyStarted(1))
        listener.act(
            ev.SpeechStarted(2, 2_000), ev.ReplyFinished(1, "cancelled", "turn_detected", "", 0)
        )
        listener.forget()
        listener.act(ev.PartialText(2, "my name is John"))
        assert deltas(listener) == "John"

    def test_not_when_the_reply_was_heard(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "Hello", "Hello"), ev.ReplyStarted(1), ev.Play(1, FRAME))
        listener.act(
            ev.SpeechStarted(2, 2_000), ev.ReplyFinished(1, "cancelled", "turn_detected", "", 20)
        )
        listener.forget()
        listener.act(ev.PartialText(2, "Hello again"))
        assert deltas(listener) == "Hello again"

    def test_not_when_the_client_stopped_it(self) -> None:
        listener = Listener()
        listener.act(ev.SpeechStarted(1, 0), ev.SpeechStopped(1, 900))
        listener.act(ev.FinalText(1, "Hello", "Hello"), ev.ReplyStarted(1))
        listener.act(ev.ReplyFinished(1, "cancelled", "client_cancelled", "", 0))
        listener.forget()
        listener.act(ev.SpeechStarted(2, 2_000), ev.PartialText(2, "Hello again"))
        assert deltas(listener) == "Hello again"
