"""Engines by name: what a name means, who hears a language, and nothing loaded in vain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from engines.models import NEEDED
from engines.opus import OpusEncoder
from engines.order import NoSuchModel
from engines.registry import Registry
from engines.roster import TABLES, VOICES, EngineOptions, Listing
from engines.scripted import ScriptedDialogue
from engines.speech import EngineError, EngineSettings, OpusFrame, PcmFrame, WordTime
from engines.turn_weights import path_in
from engines.turns import SmartTurn
from engines.tutor.tutor import Tutor
from engines.vendors import OpenAIOptions

SCRIPTED = EngineOptions("scripted", "scripted", "scripted")


def put_weights(models_dir: Path, name: str = "base") -> None:
    (models_dir / name).mkdir(parents=True)
    for file in NEEDED:
        (models_dir / name / file).write_bytes(b"x")


@pytest.fixture
async def scripted() -> AsyncIterator[Registry]:
    registry = Registry(SCRIPTED)
    await registry.start()
    yield registry
    await registry.close()


def asked(registry: Registry, kind: str, name: str) -> list[str]:
    return registry.order.candidates(kind, name, "en")[0]


async def test_names_find_their_engines(scripted: Registry) -> None:
    assert isinstance(scripted.mind("scripted"), ScriptedDialogue)
    assert isinstance(scripted.mind("tutor"), Tutor)
    assert asked(scripted, "speech_to_text", "sphinx") == ["sphinx", "scripted"]


async def test_names_of_other_servers_mean_the_configured_engines(scripted: Registry) -> None:
    assert asked(scripted, "speech_to_text", "whisper-1") == ["scripted"]
    assert asked(scripted, "dialogue", "gpt-realtime") == ["scripted"]
    assert asked(scripted, "text_to_speech", "alloy") == ["scripted"]


async def test_an_engine_is_made_once(scripted: Registry) -> None:
    assert scripted.mind("tutor") is scripted.mind("tutor")


def test_auto_prefers_whisper_where_its_weights_are(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path))
    assert registry.order.hears("auto", "en")[0] == "sphinx"
    put_weights(tmp_path)
    assert registry.order.hears("auto", "en")[0] == "whisper"
    assert registry.order.hears("auto", "ru")[0] == "whisper"


def test_weights_without_a_tokenizer_do_not_count(tmp_path: Path) -> None:
    put_weights(tmp_path)
    (tmp_path / "base" / "tokenizer.json").unlink()
    assert Registry(EngineOptions(models_dir=tmp_path)).order.hears("auto", "en")[0] == "sphinx"


def test_a_language_nobody_hears_says_what_to_do(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path))
    found, notice = registry.order.hears("auto", "ru")
    assert found == ""
    assert "voice-server models pull" in notice
    with pytest.raises(EngineError, match="voice-server models pull"):
        registry.ears("auto", "ru")
    assert registry.order.hears("whisper", "en")[0] == ""


async def test_settings_are_described_honestly(scripted: Registry) -> None:
    described = scripted.describe(EngineSettings("auto", "gpt-realtime", "alloy", "", "en"))
    assert described["speech_to_text"] == "scripted"
    assert described["dialogue"] == "scripted"
    assert described["text_to_speech"] == "scripted"
    assert "same whatever" in str(described["notice"])


async def test_who_hears_the_end_of_a_turn(
    smart_turn: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    without = Registry(EngineOptions("scripted", "scripted", "scripted", models_dir=tmp_path))
    await without.start()
    assert without.end_of_turn() is None
    assert without.describe(EngineSettings())["end_of_turn"] == "pauses"
    assert "models pull smart-turn" in caplog.text
    # Weights that come while the server runs count from the next call on.
    path_in(tmp_path).parent.mkdir()
    path_in(tmp_path).symlink_to(smart_turn)
    ear = without.end_of_turn()
    assert isinstance(ear, SmartTurn) and without.end_of_turn() is ear
    assert without.describe(EngineSettings())["end_of_turn"] == "smart-turn"
    await without.close()
    with pytest.raises(EngineError, match="closed"):
        await ear.probability(b"")


async def test_the_catalogue_offers_what_is_here(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path))
    await registry.start()
    offered = {model["id"] for model in registry.offers.catalogue()["data"]}  # type: ignore[attr-defined]
    assert {"sphinx", "tutor", "espeak"} <= offered
    assert not offered & {"whisper", "scripted"}
    voices = registry.offers.voices("espeak") or []
    assert {"en", "ru"} == {voice["language"] for voice in voices}
    assert voices[0]["id"] == "en-us"
    assert registry.offers.voices("nobody") is None
    await registry.close()


async def test_closing_ends_what_was_started(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path))
    await registry.start()
    ears = registry.ears("sphinx", "en")
    await registry.close()
    with pytest.raises(EngineError):
        async for _ in ears.transcribe(_nothing(), language="en"):
            pass


async def _nothing() -> AsyncIterator[PcmFrame]:
    return
    yield PcmFrame(b"")


def test_every_name_can_be_imported() -> None:
    import importlib

    for table in TABLES.values():
        for line in table.values():
            module, _, cls = line.path.partition(":")
            getattr(importlib.import_module(module), cls)(**line.arguments(EngineOptions()))


def test_the_roster_knows_the_languages_of_the_vendors() -> None:
    from engines.roster import YANDEX_HEARS, YANDEX_SPEAKS
    from engines.yandex import recognition as yandex_recognition
    from engines.yandex import speaking as yandex_speech

    assert set(YANDEX_HEARS) == set(yandex_recognition.LANGUAGES)
    assert set(YANDEX_SPEAKS) == set(yandex_speech.LANGUAGES)


def test_making_all_engines_loads_nothing_heavy() -> None:
    code = (
        "import sys, engines.roster as r\n"
        "from engines.shelf import named\n"
        "o = r.EngineOptions()\n"
        "lines = [line for table in r.TABLES.values() for line in table.values()]\n"
        "made = [named(x.path)(**x.arguments(o)) for x in lines if x.owner == r.OURS]\n"
        "heavy = 'torch', 'onnxruntime', 'faster_whisper', 'ctranslate2', 'pocketsphinx'\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Files: what a client's name of a model means.


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        ("speech_to_text", "whisper-1", "auto"), ("speech_to_text", "", "auto"),
        ("speech_to_text", "sphinx", "sphinx"), ("speech_to_text", "gpt-4o-transcribe", "auto"),
        ("speech_to_text", "somebody/else's", "auto"), ("speech_to_text", "auto", "auto"),
        ("text_to_speech", "tts-1", "espeak"), ("text_to_speech", "espeak", "espeak"),
        ("text_to_speech", "my-voice", "scripted"),
    ],
)  # fmt: skip
def test_a_models_name_means_an_engine(kind: str, name: str, meant: str, tmp_path: Path) -> None:
    options = EngineOptions(models_dir=tmp_path, audio_models={"my-voice": "scripted"})
    if meant == "scripted":  # It must be what the server runs on.
        options = EngineOptions("auto", "tutor", "scripted", audio_models={"my-voice": "scripted"})
    assert Registry(options).order.named(kind, name) == meant


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("speech_to_text", "scripted"), ("speech_to_text", "espeak"), ("speech_to_text", "tutor"),
        ("text_to_speech", "sphinx"), ("text_to_speech", "scripted"),
    ],
)  # fmt: skip
def test_a_name_of_ours_must_be_of_the_kind_and_here(kind: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(NoSuchModel):
        Registry(EngineOptions(models_dir=tmp_path)).order.named(kind, name)


def test_whisper_without_weights_says_how_to_fetch_them(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path))
    with pytest.raises(EngineError, match="voice-server models pull"):
        registry.ears(registry.order.named("speech_to_text", "whisper"), "en")


def test_names_of_other_houses_are_listed_with_what_they_mean(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path, audio_models={"my-ears": "sphinx"}))
    data = registry.offers.catalogue()["data"]
    assert isinstance(data, list)
    means = {each["id"]: each["means"] for each in data if each["kind"] == "alias"}
    assert means["gpt-realtime"] == "tutor"
    assert means["tts-1"] == "espeak"
    assert means["whisper-1"] == "auto"
    assert means["my-ears"] == "sphinx"
    assert len({each["id"] for each in data}) == len(data)
    assert registry.offers.alias("gpt-realtime-2025-08-28") is not None
    assert registry.offers.alias("nope") is None


async def test_an_engine_is_waited_for_before_its_first_work(tmp_path: Path) -> None:
    registry = Registry(EngineOptions(models_dir=tmp_path, background=True))
    voice = registry.voice("espeak")
    await registry.ready(voice)
    sounds = [each async for each in voice.synthesize("Hello.", voice="", language="en")]
    assert len(sounds) > 10
    await registry.close()


# Several engines for a role.


class OwnVoice:
    """A voice of the operator's own, in a file of the operator's own."""

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        encoder = OpusEncoder(16_000)
        yield WordTime(0, len(text), 0)
        for frame in encoder.encode(bytes(3_200)):
            yield frame


async def test_one_line_of_configuration_swaps_an_engine() -> None:
    own = f"{__name__}:OwnVoice"
    registry = Registry(EngineOptions("scripted", "scripted", f"{own},espeak"))
    assert asked(registry, "text_to_speech", "") == [own, "espeak"]
    voice = registry.for_call().text_to_speech("")
    sounds = [each async for each in voice.synthesize("Hello.", voice="", language="en")]
    assert len([each for each in sounds if isinstance(each, OpusFrame)]) == 5
    offered = {model["id"] for model in registry.offers.catalogue()["data"]}  # type: ignore[attr-defined]
    assert own in offered
    await registry.close()


@pytest.mark.parametrize("kind", ["speech_to_text", "dialogue", "text_to_speech"])
def test_the_configured_order_holds_for_engines_of_ones_own(kind: str) -> None:
    # What is configured is also what a call's settings begin with.
    names = f"{__name__}:Own,scripted"
    order = Registry(replace(SCRIPTED, **{kind: names})).order  # type: ignore[arg-type]
    assert order.candidates(kind, names)[0] == names.split(",")


async def test_a_new_engine_is_a_file_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VOICES, "own", Listing(f"{__name__}:OwnVoice"))
    registry = Registry(EngineOptions("scripted", "scripted", "scripted"))
    voice = registry.voice("own")
    assert len([each async for each in voice.synthesize("Hi.", voice="", language="en")]) == 6
    await registry.close()


def test_no_client_loads_code_by_a_name() -> None:
    registry = Registry(SCRIPTED)
    names, _ = registry.order.candidates("text_to_speech", f"{__name__}:OwnVoice")
    assert names == ["scripted"]


def test_engines_are_asked_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    openai = OpenAIOptions(api_key="sk-test")
    options = EngineOptions(
        "openai,auto", "tutor", "openai", models_dir=tmp_path, openai=openai
    )  # fmt: skip
    order = Registry(options).order
    assert order.candidates("speech_to_text", "", "en")[0] == ["openai", "sphinx"]
    # Who does not understand the language does not stand by.
    assert order.candidates("speech_to_text", "", "ru")[0] == ["openai"]
    # A client's wish comes first, and the others stand behind it.
    assert order.candidates("speech_to_text", "sphinx", "en")[0] == ["sphinx", "openai"]
    # There is always a voice to say that something went wrong.
    assert order.candidates("text_to_speech", "")[0] == ["openai", "espeak"]


def test_what_cannot_be_used_here_is_passed_over_and_said(tmp_path: Path) -> None:
    options = EngineOptions("openai,sphinx", "tutor", "yandex", models_dir=tmp_path)
    order = Registry(options).order
    assert order.candidates("speech_to_text", "", "en")[0] == ["sphinx"]
    found, trouble = order.candidates("speech_to_text", "", "ru")
    assert not found and "OPENAI_API_KEY" in trouble
    assert order.candidates("text_to_speech", "")[0] == ["espeak"]


def test_no_client_hears_or_speaks_with_the_owners_key_by_a_name(tmp_path: Path) -> None:
    options = EngineOptions(models_dir=tmp_path, openai=OpenAIOptions(api_key="sk-test"))
    order = Registry(options).order
    assert "openai" not in order.candidates("speech_to_text", "openai", "en")[0]
    assert "openai" not in order.candidates("text_to_speech", "openai")[0]


async def test_a_server_starts_when_one_of_a_role_is_well(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry(EngineOptions("scripted", "scripted", f"{__name__}:Broken,espeak"))
    await registry.start()
    assert "Broken is not ready" in caplog.text
    await registry.close()


async def test_the_catalogue_says_how_the_engines_are() -> None:
    registry = Registry(EngineOptions("scripted", "scripted", f"{__name__}:Broken,espeak"))
    call = registry.for_call()
    for _ in range(3):
        voice = call.text_to_speech("")
        assert [each async for each in voice.synthesize("One.", voice="", language="en")]
    data = {model["id"]: model for model in registry.offers.catalogue()["data"]}  # type: ignore[attr-defined]
    broken = data[f"{__name__}:Broken"]["roles"]["text_to_speech"]
    assert (broken["standing"], data["espeak"]["roles"]["text_to_speech"]["standing"]) == (0, 1)
    assert "no sound today" in broken["health"]["last_error"]
    assert data["espeak"]["roles"]["text_to_speech"]["health"]["state"] == "well"
    await registry.close()


class Broken:
    """A voice that never works."""

    async def start(self) -> None:
        raise EngineError("no sound today")

    async def synthesize(
        self, text: str, *, voice: str, language: str, speed: float = 1.0
    ) -> AsyncGenerator[OpusFrame | WordTime, None]:
        raise EngineError("no sound today")
        yield
