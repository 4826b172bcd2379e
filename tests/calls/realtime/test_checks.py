"""Untrusted JSON is read by its type, or refused with the name of the field."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice_server.calls.realtime.checks import EVENT_BYTES_MAX, EVENT_DEPTH_MAX, Fields, Refusal
from voice_server.calls.realtime.dialect import AUDIO_BYTES_MAX, EVENT_CHARS_MAX

from .listener import Listener


class TestAppending:
    def append(self, listener: Listener, audio: object) -> bytes | None:
        event = {"type": "input_audio_buffer.append", "event_id": "a", "audio": audio}
        return listener.send(event).audio

    def test_sound_comes_through_unchanged_and_unanswered(self) -> None:
        listener = Listener()
        listener.forget()
        assert self.append(listener, base64.b64encode(b"\x01\x02\x03\x04").decode()) == b"\1\2\3\4"
        assert self.append(listener, "") is None
        assert listener.told == []

    @pytest.mark.parametrize(
        "audio", ["AAA", "AAAA\n", "A*==", "é" * 4, "====", 5, None, [], {}, ["AAAA"]]
    )
    def test_what_is_no_sound(self, audio: object) -> None:
        listener = Listener()
        assert self.append(listener, audio) is None
        assert listener.error()["param"] == "audio"
        assert listener.error()["event_id"] == "a"

    def test_half_a_sample(self) -> None:
        listener = Listener()
        assert self.append(listener, base64.b64encode(b"abc").decode()) is None
        assert listener.kinds[-1] == "error"
        listener.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
        assert self.append(listener, base64.b64encode(b"abc").decode()) == b"abc"

    def test_as_much_as_the_protocol_allows_and_no_more(self) -> None:
        listener = Listener()
        most = base64.b64encode(bytes(AUDIO_BYTES_MAX)).decode()
        assert len(self.append(listener, most) or b"") == AUDIO_BYTES_MAX
        assert self.append(listener, most + "AAAA") is None
        assert listener.error()["param"] == "audio"


class TestEvents:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("", "invalid_json"), ("{", "invalid_json"), (b"\xff", "invalid_json"),
            ("NaN", "invalid_json"), ("[" * 100_000, "invalid_json"),
            ("[]", "invalid_type"), ("null", "invalid_type"), ('"x"', "invalid_type"),
            ("{}", "missing_required_parameter"), ('{"type":null}', "missing_required_parameter"),
            ('{"type":"x"}', "invalid_value"), ('{"type":["x"]}', "invalid_value"),
            ('{"type":"response.done"}', "invalid_value"),
            (" " * (EVENT_CHARS_MAX + 1), "event_too_large"),
        ],
    )  # fmt: skip
    def test_that_are_none(self, text: str | bytes, code: str) -> None:
        listener = Listener()
        assert listener.send(text).inputs == ()
        assert listener.error()["code"] == code

    def test_long_ones_must_be_sound(self) -> None:
        listener = Listener()
        listener.update(event="x" * EVENT_BYTES_MAX)
        assert listener.error()["code"] == "event_too_large"

    def test_deep_ones_are_refused_before_anybody_reads_them(self) -> None:
        listener = Listener()
        deep: object = 1
        for _ in range(EVENT_DEPTH_MAX):
            deep = {"a": deep}
        listener.update(future=deep)
        assert listener.error()["code"] == "event_too_deep"

    def test_an_event_id_of_another_type_is_not_given_back(self) -> None:
        listener = Listener()
        listener.send({"type": "x", "event_id": 5})
        assert "event_id" not in listener.error()
        listener.send({"type": "x", "event_id": "e" * 1_000})
        assert listener.error()["event_id"] == "e" * 512


class TestFields:
    def test_paths_are_whole(self) -> None:
        outer = Fields({"a": {"b": [{"c": 5}]}})
        inner = outer.child("a")
        assert inner is not None
        (first,) = inner.objects("b", length_max=1)
        with pytest.raises(Refusal) as refused:
            first.text("c", "")
        assert refused.value.param == "a.b[0].c"

    @given(value=st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just([]))
    def test_numbers_are_numbers(self, value: object) -> None:
        fields = Fields({"x": value})
        try:
            number = fields.number("x", 0.5, 0, 1)
        except Refusal as refused:
            assert refused.param == "x"
        else:
            assert 0 <= number <= 1
            assert isinstance(value, int | float | None) and not isinstance(value, bool)

    @given(value=st.text(max_size=60), most=st.integers(1, 100))
    def test_texts_are_measured_in_bytes(self, value: str, most: int) -> None:
        fields = Fields({"x": value})
        fits = len(value.encode()) <= most and "\0" not in value
        try:
            assert fields.text("x", "", bytes_max=most) == value
            assert fits
        except Refusal:
            assert not fits
