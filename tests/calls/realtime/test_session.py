"""What a client may set, how it merges, and what it means for the call and its engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engines.speech import EngineSettings
from voice_server.calls import events as ev
from voice_server.calls.rules import Endpointing, Interruption, Rules, notices_in

from .listener import Listener


def session(listener: Listener) -> dict[str, Any]:
    told = listener.told[-1]["session"]
    assert isinstance(told, dict)
    return told


def vad(listener: Listener, **turn_detection: object) -> Endpointing:
    listener.update(audio={"input": {"turn_detection": turn_detection}})
    return listener.dialect.rules.endpointing


def format_of(side: str, **form: object) -> dict[str, object]:
    return {"audio": {side: {"format": form}}}


class TestMerging:
    def test_only_what_is_named_changes(self) -> None:
        listener = Listener(settings=EngineSettings(voice="anna", instructions="Be kind."))
        before = listener.told[0]["session"]
        listener.update(audio={"output": {"speed": 1.5}})
        after = session(listener)
        assert after["audio"]["output"].pop("speed") == 1.5
        assert isinstance(before, dict)
        assert before["audio"]["output"].pop("speed") == 1.0
        assert before == after

    def test_a_partial_turn_detection_keeps_its_type(self) -> None:
        listener = Listener()
        vad(listener, type="semantic_vad", eagerness="low")
        vad(listener, interrupt_response=False)
        assert session(listener)["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad", "eagerness": "low", "create_response": True,
            "interrupt_response": False,
        }  # fmt: skip

    def test_a_new_type_starts_from_its_defaults(self) -> None:
        listener = Listener()
        vad(listener, type="semantic_vad", eagerness="low")
        vad(listener, type="server_vad")
        detection = session(listener)["audio"]["input"]["turn_detection"]
        assert detection["type"] == "server_vad"
        assert detection["silence_duration_ms"] == Rules().endpointing.pause_ms

    def test_after_push_to_talk_a_partial_one_is_server_vad(self) -> None:
        listener = Listener()
        listener.update(audio={"input": {"turn_detection": None}})
        assert session(listener)["audio"]["input"]["turn_detection"] is None
        assert not vad(listener, threshold=0.7).manual

    def test_unknown_fields_and_tracing_are_tolerated(self) -> None:
        listener = Listener()
        listener.update(tracing="auto", temperature=0.8, audio={"future": 1, "input": {"x": 2}})
        told = session(listener)
        assert told["tracing"] == "auto"
        assert "temperature" not in told

    def test_null_means_off_where_something_can_be_off(self) -> None:
        listener = Listener()
        listener.update(
            tracing="auto", prompt={"id": "p"},
            audio={"input": {"noise_reduction": {"type": "far_field"}}},
        )  # fmt: skip
        listener.update(
            tracing=None, prompt=None,
            audio={"input": {"noise_reduction": None, "transcription": None}},
        )  # fmt: skip
        told = session(listener)
        assert "tracing" not in told and "prompt" not in told
        assert told["audio"]["input"]["noise_reduction"] is None
        assert told["audio"]["input"]["transcription"] is None

    def test_null_elsewhere_changes_nothing(self) -> None:
        listener = Listener(settings=EngineSettings(voice="anna", speed=1.2))
        before = listener.told[0]["session"]
        output = {"voice": None, "speed": None, "format": None}
        listener.update(
            model=None, instructions=None, max_output_tokens=None, tools=None, audio={
                "input": {"format": None, "turn_detection": {"threshold": None}},
                "output": output,
            },
        )  # fmt: skip
        assert session(listener) == before

    def test_the_type_may_be_left_out(self) -> None:
        listener = Listener()
        listener.send({"type": "session.update", "session": {"instructions": "Hi"}})
        assert session(listener)["instructions"] == "Hi"

    def test_fields_are_cleared_by_empty_values(self) -> None:
        listener = Listener()
        listener.update(instructions="Hi", tools=[{"type": "function", "name": "f"}])
        listener.update(instructions="", tools=[])
        assert session(listener)["instructions"] == ""
        assert session(listener)["tools"] == []

    def test_everything_a_client_can_set_is_told_back(self) -> None:
        listener = Listener()
        tool = {"type": "function", "name": "f", "description": "d", "parameters": {"a": None}}
        given: dict[str, Any] = {
            "type": "realtime", "model": "m", "instructions": "i",
            "output_modalities": ["text"], "max_output_tokens": 77, "tools": [tool],
            "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False,
            "include": ["item.input_audio_transcription.logprobs"],
            "reasoning": {"effort": "low"}, "truncation": "disabled",
            "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {"k": 1}},
            "prompt": {"id": "p", "version": "2", "variables": {"a": "b"}},
            "audio": {
                "input": {
                    "format": {"type": "audio/pcma"},
                    "transcription": {
                        "model": "whisper-1", "language": "ru", "prompt": "names",
                        "delay": "low", "keywords": ["x"], "languages": ["ru", "en"],
                    },
                    "noise_reduction": {"type": "far_field", "strength": 2.0},
                    "turn_detection": {
                        "type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 200,
                        "silence_duration_ms": 700, "create_response": False,
                        "interrupt_response": False, "idle_timeout_ms": 6000,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "v", "speed": 0.9},
            },
        }  # fmt: skip
        listener.update(**given)
        told = session(listener)
        for name, value in given.items():
            assert told[name] == value, name


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "param"),
        [
            ({"audio": {"output": {"speed": 1.6}}}, "session.audio.output.speed"),
            ({"audio": {"output": {"speed": 0.2}}}, "session.audio.output.speed"),
            ({"audio": {"output": {"speed": "1"}}}, "session.audio.output.speed"),
            ({"audio": {"output": {"speed": True}}}, "session.audio.output.speed"),
            ({"audio": {"output": {"voice": 7}}}, "session.audio.output.voice"),
            ({"audio": {"output": {"voice": {}}}}, "session.audio.output.voice.id"),
            ({"audio": {"output": []}}, "session.audio.output"),
            ({"audio": "loud"}, "session.audio"),
            ({"audio": {"input": {"format": {"type": "mp3"}}}}, "session.audio.input.format.type"),
            (
                {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 44100}}}},
                "session.audio.input.format.rate",
            ),
            (
                {"audio": {"input": {"transcription": {"language": "English!"}}}},
                "session.audio.input.transcription.language",
            ),
            (
                {"audio": {"input": {"turn_detection": {"type": "magic"}}}},
                "session.audio.input.turn_detection.type",
            ),
            (
                {"audio": {"input": {"turn_detection": {"threshold": 1.1}}}},
                "session.audio.input.turn_detection.threshold",
            ),
            (
                {"audio": {"input": {"turn_detection": {"silence_duration_ms": 0}}}},
                "session.audio.input.turn_detection.silence_duration_ms",
            ),
            (
                {"audio": {"input": {"turn_detection": {"silence_duration_ms": 10.5}}}},
                "session.audio.input.turn_detection.silence_duration_ms",
            ),
            (
                {"audio": {"input": {"turn_detection": {"prefix_padding_ms": -1}}}},
                "session.audio.input.turn_detection.prefix_padding_ms",
            ),
            (
                {"audio": {"input": {"turn_detection": {"idle_timeout_ms": 100}}}},
                "session.audio.input.turn_detection.idle_timeout_ms",
            ),
            (
                {"audio": {"input": {"turn_detection": {"create_response": "yes"}}}},
                "session.audio.input.turn_detection.create_response",
            ),
            ({"output_modalities": ["smell"]}, "session.output_modalities"),
            ({"output_modalities": "audio"}, "session.output_modalities"),
            ({"instructions": "x" * 65_537}, "session.instructions"),
            ({"instructions": "é" * 40_000}, "session.instructions"),
            ({"instructions": "a\0b"}, "session.instructions"),
            ({"max_output_tokens": 4097}, "session.max_output_tokens"),
            ({"tools": [{"type": "function"}]}, "session.tools[0].name"),
            ({"tools": [{}] * 129}, "session.tools"),
            ({"tool_choice": "maybe"}, "session.tool_choice"),
            ({"include": ["everything"]}, "session.include"),
            ({"truncation": {"retention_ratio": 2}}, "session.truncation.retention_ratio"),
            ({"prompt": {}}, "session.prompt.id"),
            ({"prompt": {"id": "p", "variables": {"a": 1}}}, "session.prompt.variables.a"),
            ({"reasoning": {"effort": "huge"}}, "session.reasoning.effort"),
            ({"tracing": 5}, "session.tracing"),
            ({"voice_server": {"interruption": "never"}}, "session.voice_server.interruption"),
            ({"type": "other"}, "session.type"),
        ],
    )
    def test_names_the_field_and_changes_nothing(
        self, changes: Mapping[str, object], param: str
    ) -> None:
        listener = Listener()
        listener.update()
        before = session(listener)
        received = listener.update(**{"model": "other", **changes})
        assert received.inputs == ()
        assert listener.error()["param"] == param
        listener.update()
        assert session(listener) == before

    def test_a_session_is_needed(self) -> None:
        listener = Listener()
        listener.send({"type": "session.update"})
        assert listener.error()["code"] == "missing_required_parameter"
        assert listener.error()["param"] == "session"


class TestTurnTaking:
    def test_untouched_it_is_what_the_house_says(self) -> None:
        rules = Rules(interruption=Interruption.CANCELS)
        listener = Listener(rules=rules)
        assert listener.update().inputs == ()
        assert listener.dialect.rules == rules

    def test_server_vad_reaches_the_endpointer(self) -> None:
        ends = vad(
            Listener(), type="server_vad", threshold=0.8, prefix_padding_ms=200,
            silence_duration_ms=450,
        )  # fmt: skip
        assert ends.speech_above == 0.8
        assert 0.5 < ends.silence_below < 0.6
        assert ends.pre_roll_ms == 200
        assert ends.pause_ms == 450

    def test_a_silence_that_was_named_is_kept_exactly(self) -> None:
        assert vad(Listener(), silence_duration_ms=450).pause_unfinished_ms == 450

    def test_without_one_an_unfinished_sentence_is_given_time(self) -> None:
        assert vad(Listener(), threshold=0.6).pause_unfinished_ms == 1_200

    @pytest.mark.parametrize("threshold", [0, 0.001, 1])
    def test_extreme_thresholds_are_still_rules(self, threshold: float) -> None:
        ends = vad(Listener(), threshold=threshold)
        assert ends.silence_below < ends.speech_above

    def test_whole_numbers_may_be_written_as_fractions(self) -> None:
        assert vad(Listener(), silence_duration_ms=450.0).pause_ms == 450

    def test_eagerness_is_patience(self) -> None:
        waits = {
            each: vad(Listener(), type="semantic_vad", eagerness=each).pause_unfinished_ms
            for each in ("low", "medium", "auto", "high")
        }
        assert waits["low"] > waits["medium"] == waits["auto"] > waits["high"]

    @pytest.mark.parametrize(
        ("eagerness", "patience_ms"), [("low", 8_000), ("medium", 4_000), ("auto", 4_000),
                                       ("high", 2_000)],
    )  # fmt: skip
    def test_eagerness_bounds_the_pause_as_the_protocol_says(
        self, eagerness: str, patience_ms: int
    ) -> None:
        judging = vad(Listener(), type="semantic_vad", eagerness=eagerness).judging
        assert judging is not None and judging.patience_ms == patience_ms

    def test_who_is_eager_needs_to_be_less_sure(self) -> None:
        sure = [
            judging.ended_above
            for each in ("low", "medium", "high")
            if (judging := vad(Listener(), type="semantic_vad", eagerness=each).judging)
        ]
        assert len(sure) == 3 and sure == sorted(sure, reverse=True) and len({*sure}) == 3

    def test_only_semantic_vad_is_judged(self) -> None:
        listener = Listener()
        assert listener.dialect.rules.endpointing.judging is None
        vad(listener, type="semantic_vad")
        ends = vad(listener, type="server_vad", silence_duration_ms=450)
        assert ends.judging is None and ends.pause_ms == ends.pause_unfinished_ms == 450
        vad(listener, type="semantic_vad")
        listener.update(audio={"input": {"turn_detection": None}})
        assert listener.dialect.rules.endpointing.judging is None

    def test_push_to_talk_marks_and_asks_itself(self) -> None:
        listener = Listener()
        (changed,) = listener.update(audio={"input": {"turn_detection": None}}).inputs
        assert isinstance(changed, ev.RulesChanged)
        assert changed.rules.endpointing.manual
        assert not changed.rules.answers

    def test_create_response(self) -> None:
        listener = Listener()
        vad(listener, create_response=False)
        assert not listener.dialect.rules.answers
        vad(listener, create_response=True)
        assert listener.dialect.rules.answers

    def test_interrupt_response(self) -> None:
        listener = Listener(rules=Rules(interruption=Interruption.CANCELS))
        ways = []
        for interrupt in (False, True):
            vad(listener, interrupt_response=interrupt)
            ways.append(listener.dialect.rules.interruption)
        assert ways == [Interruption.WAITS, Interruption.CANCELS]

    def test_the_same_again_is_no_change(self) -> None:
        listener = Listener()
        assert listener.update(audio={"input": {"turn_detection": {"threshold": 0.6}}}).inputs
        assert listener.update(audio={"input": {"turn_detection": {"threshold": 0.6}}}).inputs == ()

    def test_the_limits_of_the_call_are_not_the_clients(self) -> None:
        rules = Rules(call_ms_max=123_000, idle_ms_max=77_000)
        listener = Listener(rules=rules)
        vad(listener, type="server_vad", idle_timeout_ms=6_000)
        assert listener.dialect.rules.call_ms_max == 123_000
        assert listener.dialect.rules.idle_ms_max == 77_000


class TestEngines:
    def test_settings_follow_the_session(self) -> None:
        listener = Listener()
        (changed,) = listener.update(
            model="gpt-realtime", instructions="Teach.", audio={
                "input": {"transcription": {"model": "whisper", "language": "DE-at"}},
                "output": {"voice": {"id": "anna"}, "speed": 0.8},
            },
        ).inputs  # fmt: skip
        assert changed == ev.SettingsChanged(
            EngineSettings(
                speech_to_text="whisper", dialogue="gpt-realtime", voice="anna",
                language="de", speed=0.8, instructions="Teach.",
            )
        )  # fmt: skip
        assert listener.dialect.settings == changed.settings

    def test_the_model_of_the_door_is_not_the_dialogue_engine(self) -> None:
        listener = Listener(settings=EngineSettings(dialogue="scripted"))
        listener.update(instructions="Hi")
        assert listener.dialect.settings.dialogue == "scripted"

    def test_the_default_voice_has_a_name_for_clients_only(self) -> None:
        listener = Listener()
        assert listener.told[0]["session"]["audio"]["output"]["voice"] == "default"  # type: ignore[index]
        listener.update(audio={"output": {"voice": "anna"}})
        listener.update(audio={"output": {"voice": "default"}})
        assert listener.dialect.settings.voice == ""

    def test_turning_transcripts_off_leaves_the_recogniser_alone(self) -> None:
        listener = Listener(settings=EngineSettings(speech_to_text="sphinx", language="de"))
        assert listener.update(audio={"input": {"transcription": None}}).inputs == ()
        assert listener.dialect.settings.language == "de"

    def test_the_call_speaks_its_notices_in_the_language(self) -> None:
        listener = Listener()
        listener.update(audio={"input": {"transcription": {"language": "ru"}}})
        assert listener.dialect.rules.notices == notices_in("ru")


class TestFormats:
    def test_defaults(self) -> None:
        dialect = Listener().dialect
        assert (dialect.input_format.type, dialect.input_format.rate_hz) == ("audio/pcm", 24_000)
        assert not dialect.binary_output

    @pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
    def test_telephone(self, kind: str) -> None:
        listener = Listener()
        listener.update(
            audio={"input": {"format": {"type": kind}}, "output": {"format": {"type": kind}}}
        )
        assert listener.dialect.input_format.rate_hz == 8_000
        assert listener.dialect.output_format.type == kind
        assert listener.dialect.output_format.duration_ms(160) == 20

    def test_binary_output_is_asked_for_or_opus(self) -> None:
        listener = Listener()
        listener.update(voice_server={"binary": True})
        assert listener.dialect.binary_output
        other = Listener().dialect
        # The published types know no Opus, so nobody holds this answer against them.
        assert not other.preset(format_of("output", type="audio/opus")).events
        assert other.binary_output
        assert other.output_format.rate_hz == 48_000

    def test_pcm_at_the_recognisers_rate(self) -> None:
        dialect = Listener().dialect
        assert not dialect.preset(format_of("input", type="audio/pcm", rate=16_000)).events
        assert dialect.input_format.rate_hz == 16_000
