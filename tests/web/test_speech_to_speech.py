"""Whole calls on a vendor's speech-to-speech sessions: real speech in over WebSocket, through the
switchboard, and back; with the vendor's own conversation held against the call's memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection

from engines.cascade import Cascade
from engines.openai.realtime import OpenAIRealtime
from engines.scripted import REPLY
from engines.speech import EngineSettings, SpeechToSpeech
from engines.vendors import OpenAIOptions
from tests.calls.exchange import PATIENCE_S, connect, eventually, nothing_left
from tests.human_speech import HumanSpeech
from tests.vendors.openai_conversation import Conversation, ConversationServer
from tests.vendors.trouble import Trouble
from voice_server.calls.phases import Phase
from voice_server.calls.session import Session
from voice_server.calls.switchboard import MakeEngine

from .served import Served, scripted, served
from .test_realtime import Event, id_of, speak

LONG = " ".join(f"Sentence number {number} is not the last one." for number in range(1, 40))
WORDS = "conversation.item.input_audio_transcription.completed"


@dataclass
class Caller:
    """A client of the protocol, and all that it was told."""

    server: Served
    socket: ClientConnection
    speech: HumanSpeech
    told: list[Event] = field(default_factory=list)

    async def speaks(self) -> None:
        await speak(self.socket, self.speech("en_brooklyn.wav"))

    async def sends(self, kind: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str, count: int = 1) -> Event:
        """Until this was told so often, from the beginning of the call."""
        async with asyncio.timeout(PATIENCE_S):
            while sum(event["type"] == kind for event in self.told) < count:
                self.told.append(json.loads(await self.socket.recv()))
        return [event for event in self.told if event["type"] == kind][count - 1]

    @property
    def call_id(self) -> str:
        assert self.socket.response is not None
        return id_of(self.socket.response.headers["location"])

    @property
    def session(self) -> Session:
        session = self.server.house.switchboard.calls[self.call_id].session
        assert session is not None
        return session

    async def heard_out(self) -> None:
        """Until nothing is being said any more."""
        await eventually(lambda: self.session._conversation.phase is Phase.LISTENING)

    @property
    def errors(self) -> list[Event]:
        return [event for event in self.told if event["type"] == "error"]

    def loudness(self) -> int:
        """The loudest that was heard."""
        deltas = [e["delta"] for e in self.told if e["type"] == "response.output_audio.delta"]
        sound = b"".join(map(base64.b64decode, deltas))
        return int(np.abs(np.frombuffer(sound, np.int16)).max(initial=0))


def replied(done: Event) -> str:
    """The words of a response."""
    (item,) = done["response"]["output"]
    return str(item["content"][0]["transcript"])


def on_sessions(server: Served, realtime: OpenAIRealtime) -> None:
    """From now on calls are on the vendor's sessions, with the server's engines behind them."""
    house = server.house

    def engine(settings: EngineSettings, report: object) -> SpeechToSpeech:
        cascade = Cascade(house.engines.for_call(), settings, report)  # type: ignore[arg-type]
        return realtime.speech(settings, cascade, report)  # type: ignore[arg-type]

    make: MakeEngine = engine
    house.switchboard._engine = make
    object.__setattr__(house, "rules", replace(house.rules, answers_sound=True))


@contextlib.asynccontextmanager
async def calling(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech, **options: float
) -> AsyncIterator[Caller]:
    usual = {"patience_s": 20.0, "connect_s": 20.0}
    asked = replace(
        OpenAIOptions(api_key=vendor.key, base_url=vendor.base_url),
        **(usual | options),  # type: ignore[arg-type]
    )
    realtime = OpenAIRealtime(asked)
    async with nothing_left(), served(scripted(tmp_path)) as server:
        on_sessions(server, realtime)
        async with connect(server.websocket_url) as socket:
            caller = Caller(server, socket, speech)
            await caller.until("session.created")
            yield caller
        call = await server.closed(caller.call_id)
        bill = call["bill"]
        assert isinstance(bill, dict)
        assert bill["billed_minutes"] >= 1
        await realtime.close()


@pytest.fixture
async def vendor() -> AsyncIterator[ConversationServer]:
    async with ConversationServer(hears="hello there") as server:
        yield server


def session(vendor: ConversationServer) -> Conversation:
    return vendor.sessions[-1]


async def test_speech_is_answered_by_the_vendor_and_both_sides_are_written_down(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech) as caller:
        await caller.speaks()
        done = await caller.until("response.done")
        words = await caller.until(WORDS)
        assert replied(done) == "You said: hello there."
        assert words["transcript"] == "hello there"
        assert caller.loudness() > 2_000
        assert not caller.errors
        kinds = [event["type"] for event in caller.told]
        assert kinds.index("input_audio_buffer.committed") < kinds.index("response.created")
        # The words belong to the item that was committed.
        (committed,) = [e for e in caller.told if e["type"] == "input_audio_buffer.committed"]
        assert words["item_id"] == committed["item_id"]
        # What the vendor heard was speech, and all of it.
        assert session(vendor).items[0].sound_ms > 1_000


async def test_the_next_turn_knows_the_one_before(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech) as caller:
        for turn in (1, 2):
            await caller.speaks()
            await caller.until("response.done", turn)
            await caller.until(WORDS, turn)
            await caller.heard_out()
        said = [("user", "hello there"), ("assistant", "You said: hello there.")]
        assert session(vendor).told[:2] == said
        assert session(vendor).told[-1][0] == "assistant"
        assert len(session(vendor).told) == 4
        assert all(item.sound for item in session(vendor).items)


async def test_speaking_over_a_reply_cuts_it_where_it_was_heard_in_both_memories(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    vendor.answers = lambda said: [LONG] if len(said) == 1 else ["I stop."]
    async with calling(tmp_path, vendor, speech) as caller:
        await caller.speaks()
        await caller.until("response.output_audio.delta")
        await asyncio.sleep(2.0)  # Somebody listens for a while.
        await caller.speaks()
        done = await caller.until("response.done", 2)
        assert replied(done) == "I stop."
        history = caller.session._conversation.history
        assert history[0].interrupted
        cut = session(vendor).items[1]
        assert cut.cut_ms is not None and 500 < cut.cut_ms < 60_000
        role, heard = cut.told
        assert role == "assistant"
        # Within a sentence of what was really said, word by word the same.
        assert LONG.startswith(history[0].agent)
        assert abs(len(history[0].agent) - len(heard)) < 50
        assert [role for role, _ in session(vendor).told] == [
            "user", "assistant", "user", "assistant",
        ]  # fmt: skip


async def test_a_session_is_exchanged_in_a_call_and_nobody_notices(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech, realtime_minutes_max=0.05) as caller:
        for turn in (1, 2, 3):
            await caller.speaks()
            await caller.until("response.done", turn)
            await caller.until(WORDS, turn)
            await caller.heard_out()
            count = len(vendor.sessions)
            await vendor.until(lambda count=count: len(vendor.sessions) > count)  # type: ignore[misc]
        assert not caller.errors
        statuses = [e["response"]["status"] for e in caller.told if e["type"] == "response.done"]
        assert statuses == ["completed"] * 3
        users = [text for turn in vendor.sessions for role, text in turn.told if role == "user"]
        assert len(vendor.sessions) >= 4 and users


async def test_a_vendor_that_is_gone_is_replaced_by_the_servers_own_engines(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    vendor.mood.trouble = Trouble.BROKEN
    async with calling(tmp_path, vendor, speech) as caller:
        await caller.speaks()
        done = await caller.until("response.done")
        words = await caller.until(WORDS)
        assert replied(done) == REPLY
        assert words["transcript"]
        assert not caller.errors


async def test_a_vendor_that_breaks_off_is_apologised_for(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech) as caller:
        await vendor.until(lambda: vendor.sessions and session(vendor).session.get("audio"))
        vendor.mood.trouble, vendor.mood.after, vendor.mood.times = Trouble.DROPPED, 6, 1
        await caller.speaks()
        done = await caller.until("response.done")
        assert done["response"]["status"] == "failed"
        sorry = await caller.until("response.done", 2)
        assert "Sorry" in replied(sorry)
        await caller.speaks()
        done = await caller.until("response.done", 3)
        assert "hello there" in replied(done)


async def test_push_to_talk_is_answered_when_it_is_asked_for(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech) as caller:
        manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        await caller.sends("session.update", session=manual)
        await caller.until("session.updated")
        await caller.speaks()
        await caller.sends("input_audio_buffer.commit")
        await caller.sends("response.create")
        done = await caller.until("response.done")
        assert replied(done) == "You said: hello there."
        await caller.until(WORDS)
        assert not caller.errors


async def test_a_tool_of_the_clients_is_called_and_its_result_answered(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    vendor.answers = lambda said: (
        [f"It is {said[-1][1]}."] if said[-1][0] == "result" else [("look_up", '{"word": "go"}')]
    )
    tool = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}
    async with calling(tmp_path, vendor, speech) as caller:
        await caller.sends("session.update", session={"type": "realtime", "tools": [tool]})
        await caller.until("session.updated")
        await caller.speaks()
        done = await caller.until("response.done")
        (call,) = done["response"]["output"]
        assert (call["name"], call["arguments"]) == ("look_up", '{"word": "go"}')
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "a verb"}
        await caller.sends("conversation.item.create", item=result)
        await caller.sends("response.create")
        done = await caller.until("response.done", 2)
        assert replied(done) == "It is a verb."


async def test_what_the_vendor_charges_stands_in_the_calls_record(
    tmp_path: Path, vendor: ConversationServer, speech: HumanSpeech
) -> None:
    async with calling(tmp_path, vendor, speech) as caller:
        await caller.speaks()
        await caller.until("response.done")
        await caller.until(WORDS)
        server, call_id = caller.server, caller.call_id
        await caller.socket.close()
        await server.closed(call_id)
        told = (await server.client.get(f"/v1/calls/{call_id}/turns")).json()
        (turn,) = told["data"]
        assert turn["engines"]["speech_to_speech"] == f"openai:{OpenAIOptions().realtime_model}"
        uses = {use["role"]: use for use in turn["uses"]}
        # By the public price: 2 tokens in and 4 out of text, and 28 out of sound.
        assert uses["speech_to_speech"]["cost"] == {"currency": "USD", "micros": 1_896}
        assert uses["speech_to_text"]["amounts"]["audio_ms"] > 1_000
