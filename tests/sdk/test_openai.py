"""`openai`, the plain client: whatever the protocol has, one event at a time."""

from __future__ import annotations

import asyncio
import base64
import time

import av
import numpy as np
import pytest

from .conftest import COUNTED, HEARD, QUESTION, REPLY, WORD_MS, Sound
from .conversing import TRANSCRIBED, answered, counting, heard_in, refused, retrieved, words_in
from .script import Call, Player
from .tap import Event

# Longer than a microphone may be silent that is not held by a button.
THINKS_S = 2.5


def nothing_after_the_end(call: Call) -> None:
    """Once a response is done, nothing more is told of it."""
    over = set()
    for event in call.events:
        assert event.get("response_id") not in over, event
        if event["type"] == "response.done":
            over.add(event["response"]["id"])


async def test_a_text_turn(player: Player) -> None:
    call = await player.call()
    call.update(output_modalities=["text"])
    updated = await call.until("session.updated")
    assert updated["session"]["output_modalities"] == ["text"]
    call.say(HEARD, id="item_of_mine")
    assert (await call.until("conversation.item.added"))["item"]["id"] == "item_of_mine"
    call.send("response.create", response={"metadata": {"topic": "verbs"}})
    created = await call.until("response.created")
    assert created["response"]["metadata"] == {"topic": "verbs"}
    done = await answered(call)
    assert done["metadata"] == {"topic": "verbs"}
    written = "".join(event["delta"] for event in call.of("response.output_text.delta"))
    assert written.split() == words_in(done) == REPLY.split()
    assert not call.of("response.output_audio.delta")
    nothing_after_the_end(call)


async def test_a_spoken_turn(player: Player, sound: Sound) -> None:
    call = await player.call()
    call.speak(sound(QUESTION))
    item_id = (await call.until("input_audio_buffer.speech_started"))["item_id"]
    for kind in ("speech_stopped", "committed"):
        assert (await call.until(f"input_audio_buffer.{kind}"))["item_id"] == item_id
    done = await answered(call)
    heard = [(event["item_id"], event["transcript"]) for event in call.of(TRANSCRIBED)]
    assert heard == [(item_id, HEARD)]
    assert words_in(done) == REPLY.split()
    sound_ms = sum(len(pcm) for pcm in spoken(call)) / 48
    assert sound_ms == pytest.approx(len(REPLY.split()) * WORD_MS, abs=WORD_MS)
    nothing_after_the_end(call)


def spoken(call: Call) -> list[bytes]:
    deltas = call.of("response.output_audio.delta")
    return [base64.b64decode(event["delta"]) for event in deltas]


async def test_a_spoken_turn_with_the_engines_the_server_comes_with(
    tutor_player: Player, sound: Sound
) -> None:
    call = await tutor_player.call()
    call.speak(sound(QUESTION))
    done = await answered(call)
    assert call.of(TRANSCRIBED)[0]["transcript"].split()
    assert len(words_in(done)) > 5
    samples = np.frombuffer(b"".join(spoken(call)), np.int16).astype(float)
    assert np.sqrt(np.mean(samples**2)) > 300, "nothing can be heard"


async def test_speech_over_a_reply_ends_it(player: Player, sound: Sound) -> None:
    call = await player.call()
    response_id = await counting(call)
    call.speak(sound(QUESTION, late=True))
    await call.until("input_audio_buffer.speech_started")
    cut = (await call.until("response.done"))["response"]
    assert cut["id"] == response_id
    assert heard_in(cut, "turn_detected")

    # The client knows better still what it has played.
    item_id = cut["output"][0]["id"]
    played_ms = 2 * WORD_MS
    call.send(
        "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=played_ms
    )
    assert (await call.until("conversation.item.truncated"))["audio_end_ms"] == played_ms
    assert len(await retrieved(call, item_id)) <= 2

    assert words_in(await answered(call)) == REPLY.split()
    assert [event["transcript"] for event in call.of(TRANSCRIBED)] == [HEARD]
    nothing_after_the_end(call)


async def test_a_cancelled_reply(player: Player) -> None:
    call = await player.call()
    response_id = await counting(call)
    call.send("response.cancel")
    cut = (await call.until("response.done"))["response"]
    assert cut["id"] == response_id
    heard_in(cut, "client_cancelled")
    call.send("response.cancel", event_id="event_too_late")
    assert await refused(call, "event_too_late") == "response_cancel_not_active"
    call.send("response.create", response={"output_modalities": ["text"]})
    assert words_in(await answered(call)) == COUNTED
    nothing_after_the_end(call)


async def test_the_tutor_remembers_a_truncated_reply_as_far_as_it_was_heard(
    tutor_player: Player,
) -> None:
    call = await tutor_player.call()
    call.say("Hello.")
    call.send("response.create")
    greeting = await answered(call)
    item_id = greeting["output"][0]["id"]
    call.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1_000)
    await call.until("conversation.item.truncated")
    heard = await retrieved(call, item_id)
    assert 0 < len(heard) < len(words_in(greeting)) / 2
    call.say("Go on.")
    call.send("response.create")
    resumed = " ".join(words_in(await answered(call)))
    question = " ".join(words_in(greeting)).rpartition(". ")[2]
    assert question in resumed, "what was not heard is said again"


async def test_push_to_talk(player: Player, sound: Sound) -> None:
    call = await player.call()
    call.update(audio={"input": {"turn_detection": None}})
    updated = await call.until("session.updated")
    assert updated["session"]["audio"]["input"]["turn_detection"] is None
    call.send("input_audio_buffer.commit", event_id="event_of_nothing")
    assert await refused(call, "event_of_nothing") == "input_audio_buffer_commit_empty"
    call.send("input_audio_buffer.clear")
    await call.until("input_audio_buffer.cleared")
    call.speak(sound(QUESTION), at_once=True)
    await player.noted(call.name, "spoken")
    await asyncio.sleep(THINKS_S)
    call.send("input_audio_buffer.commit")
    item_id = (await call.until("input_audio_buffer.committed"))["item_id"]
    heard = await call.until(TRANSCRIBED)
    assert (heard["item_id"], heard["transcript"]) == (item_id, HEARD)
    assert not call.of("response.created", "input_audio_buffer.speech_started")
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()
    assert len(call.of("input_audio_buffer.committed")) == 1


async def test_calls_beside_each_other(player: Player, sound: Sound) -> None:
    counts, speaks, writes = [await player.call(name) for name in ("counts", "speaks", "writes")]
    response_id = await counting(counts)
    speaks.speak(sound(QUESTION))
    writes.say(HEARD)
    writes.send("response.create")
    assert words_in(await answered(writes)) == REPLY.split()
    assert words_in(await answered(speaks)) == REPLY.split()
    counts.send("response.cancel")
    cut = (await counts.until("response.done"))["response"]
    assert (cut["id"], cut["status"]) == (response_id, "cancelled")
    ids = [
        {event["response"]["id"] for event in call.of("response.done")}
        for call in (counts, speaks, writes)
    ]
    assert [len(each) for each in ids] == [1, 1, 1]
    assert len(set.union(*ids)) == 3
    assert not counts.of(TRANSCRIBED) and not writes.of(TRANSCRIBED)


@pytest.mark.parametrize(
    ("kind", "codec"), [("audio/pcmu", "pcm_mulaw"), ("audio/pcma", "pcm_alaw")]
)
async def test_a_spoken_turn_over_the_telephone(
    player: Player, sound: Sound, kind: str, codec: str
) -> None:
    call = await player.call()
    formats = {"format": {"type": kind}}
    call.update(audio={"input": formats, "output": formats})
    told = (await call.until("session.updated"))["session"]["audio"]
    assert told["input"]["format"]["type"] == told["output"]["format"]["type"] == kind
    call.speak(sound(QUESTION, codec, 8_000), bytes_per_ms=8)
    assert words_in(await answered(call)) == REPLY.split()
    assert [event["transcript"] for event in call.of(TRANSCRIBED)] == [HEARD]
    samples = decoded(b"".join(spoken(call)), codec)
    assert len(samples) / 8 == pytest.approx(len(REPLY.split()) * WORD_MS, abs=WORD_MS)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * 8_000 / len(samples) == pytest.approx(440, abs=10), "another tone"


def decoded(encoded: bytes, codec: str) -> np.ndarray:
    """Samples of G.711 sound, by FFmpeg."""
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    frames = decoder.decode(av.Packet(encoded))
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(float)


async def test_updates_merge(player: Player) -> None:
    call = await player.call()

    async def updated(**session: object) -> Event:
        call.update(**session)
        return dict((await call.until("session.updated"))["session"])

    patient = {"type": "server_vad", "silence_duration_ms": 900}
    await updated(instructions="Be brief.", audio={"input": {"turn_detection": patient}})
    await updated(tracing="auto")
    session = await updated(audio={"input": {"turn_detection": {"threshold": 0.7}}})
    detection = session["audio"]["input"]["turn_detection"]
    assert (detection["type"], detection["silence_duration_ms"]) == ("server_vad", 900)
    assert detection["threshold"] == pytest.approx(0.7)
    assert session["instructions"] == "Be brief."
    assert session["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24_000}


async def test_items_are_kept_where_they_were_put(player: Player) -> None:
    call = await player.call()
    for number in (1, 2):
        call.say(f"Message {number}.", id=f"item_{number}")
    content = [{"type": "input_text", "text": "Be kind."}]
    first = {"type": "message", "role": "system", "id": "item_0", "content": content}
    call.send("conversation.item.create", previous_item_id="root", item=first)
    added = [await call.until("conversation.item.added") for _ in range(3)]
    assert [(event["item"]["id"], event["previous_item_id"]) for event in added] == [
        ("item_1", None), ("item_2", "item_1"), ("item_0", None),
    ]  # fmt: skip
    assert await retrieved(call, "item_0") == ["Be", "kind."]
    call.send("conversation.item.delete", item_id="item_1")
    assert (await call.until("conversation.item.deleted"))["item_id"] == "item_1"
    call.send("conversation.item.retrieve", item_id="item_1", event_id="event_gone")
    assert await refused(call, "event_gone") == "item_retrieve_invalid_item_id"


async def test_nonsense_is_answered_and_the_call_goes_on(player: Player) -> None:
    call = await player.call()
    call.send("input_audio_buffer.devour", event_id="event_nonsense")
    await refused(call, "event_nonsense")
    call.send("session.update", session={"type": "realtime", "audio": 5}, event_id="event_bad")
    await refused(call, "event_bad")
    call.say(HEARD)
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()


async def test_a_session_that_only_transcribes(player: Player, sound: Sound) -> None:
    call = await player.call(query={"intent": "transcription"})
    assert call.events[0]["session"]["type"] == "transcription"
    transcription = {"model": "whisper-1", "language": "en"}
    wanted = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
    call.send("session.update", session=wanted)
    told = (await call.until("session.updated"))["session"]
    assert told["audio"]["input"]["transcription"]["language"] == "en"
    call.speak(sound(QUESTION))
    item_id = (await call.until("input_audio_buffer.committed"))["item_id"]
    heard = await call.until(TRANSCRIBED)
    assert (heard["item_id"], heard["transcript"]) == (item_id, HEARD)
    call.send("response.create", event_id="event_unwanted")
    await refused(call, "event_unwanted")
    assert not call.of("response.created")


async def test_a_client_secret_opens_the_session_it_was_made_for(player: Player) -> None:
    session = {
        "type": "realtime", "instructions": "Be brief.", "output_modalities": ["text"],
        "audio": {"output": {"voice": "marin"}},
    }  # fmt: skip
    life = {"anchor": "created_at", "seconds": 120}
    made = (await player.secret(session=session, expires_after=life))["secret"]
    assert made["value"].startswith("ek_")
    assert made["session"]["instructions"] == "Be brief."
    assert 0 < made["expires_at"] - time.time() < 180
    call = await player.call(key=made["value"])
    told = call.events[0]["session"]
    assert (told["instructions"], told["output_modalities"]) == ("Be brief.", ["text"])
    assert told["audio"]["output"]["voice"] == "marin"
    call.say(HEARD)
    call.send("response.create")
    assert words_in(await answered(call)) == REPLY.split()
    assert await player.refused(made["value"] + "x") == 401
    assert await player.secret(key="sk-wrong") == {"refused": 401}


async def test_a_wrong_key_is_refused_before_the_upgrade(player: Player) -> None:
    assert await player.refused("sk-wrong") == 401
    await player.call()
