"""The house rules, kept by a test and not by memory."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
ROOMS = ("engines", "billing", "admin", "voice_server")

# Who may import whom. A room or chamber may always import itself.
MAY_IMPORT: dict[str, set[str]] = {
    "engines": set(),
    "billing": set(),
    "admin": {"billing"},
    "voice_server.calls": {"engines", "billing"},
    "voice_server.client": {"engines"},
    "voice_server.bench": {"engines", "voice_server.client"},
    "voice_server.web": {"engines", "billing", "admin", "voice_server", "voice_server.calls"},
    # The root of the house: configuration and the command line.
    "voice_server": {
        "engines", "billing", "admin", "voice_server.calls", "voice_server.web",
        "voice_server.client", "voice_server.bench",
    },
}
# The doors may read the configuration, and nothing else of the root.
ROOT_FOR_DOORS = {"voice_server.config"}

# Modules that decide. They know no loop, socket, clock, database or vendor.
PURE = {
    "engines.speech", "engines.sentences", "engines.tutor.tutor", "engines.tutor.lessons",
    "engines.agreement", "engines.stretches", "engines.languages", "engines.aliases",
    "voice_server.web.transcripts", "engines.tutor.lesson_en", "engines.tutor.lesson_ru",
    "engines.tutor.matching", "engines.openai.chat_messages", "engines.openai.chat_stream",
    "engines.tutor.offline_tools", "engines.openai.hearing", "engines.tutor.tool_arguments",
    "engines.tutor.tool_results", "engines.tutor.spoken_values", "engines.tutor.utterance",
    "engines.tutor.json_schema", "engines.failover.health", "engines.failover.continuing",
    "engines.yandex.cutting", "engines.yandex.results", "engines.elevenlabs.alignment",
    "engines.failover.resuming", "engines.openai.realtime_answer", "engines.openai.realtime_call",
    "engines.openai.realtime_events", "engines.openai.realtime_fillers",
    "engines.openai.realtime_items", "engines.openai.realtime_lines",
    "engines.openai.realtime_reply", "engines.openai.realtime_requests",
    "engines.openai.realtime_utterances", "engines.word_times", "engines.normalising",
    "engines.normalising.agreement", "engines.normalising.english",
    "engines.normalising.english_words", "engines.normalising.figures",
    "engines.normalising.marks", "engines.normalising.normalise", "engines.normalising.nouns",
    "engines.normalising.numerals", "engines.normalising.roman", "engines.normalising.russian",
    "engines.normalising.russian_words", "engines.normalising.spans", "engines.normalising.tongue",
    "engines.neural.phoneme_times", "engines.plain_text", "engines.whisper.trust",
    "engines.whisper.order", "engines.openai.word_for_word", "billing.pricing", "billing.postings",
    "billing.engine_prices", "billing.turn_facts", "voice_server.bench.figures",
    "voice_server.bench.interruptions", "voice_server.bench.words",
    "voice_server.bench.engine_figures", "voice_server.bench.drawing",
    "voice_server.bench.engine_picture", "voice_server.calls.events", "voice_server.calls.rules",
    "voice_server.calls.endpointing", "voice_server.calls.reply",
    "voice_server.calls.conversation", "voice_server.calls.playout", "voice_server.calls.arrivals",
    "voice_server.calls.floor", "voice_server.calls.allowance", "voice_server.calls.words",
    "voice_server.calls.patience", "voice_server.calls.memory", "voice_server.calls.asides",
    "voice_server.calls.late_words", "voice_server.calls.recordings", "voice_server.calls.wishes",
    "voice_server.calls.turn_log", "voice_server.calls.replies", "voice_server.calls.phases",
    "voice_server.calls.waterfall", "voice_server.calls.fillers", "voice_server.calls.preparing",
    "voice_server.calls.realtime.dialect", "voice_server.calls.realtime.checks",
    "voice_server.calls.realtime.server_events", "voice_server.calls.realtime.extras",
    "voice_server.calls.realtime.hearing", "voice_server.calls.realtime.items",
    "voice_server.calls.realtime.replies", "voice_server.calls.realtime.session",
    "voice_server.calls.realtime.tools", "voice_server.calls.realtime.responses",
}  # fmt: skip
# Pure modules may also use these: they compute and touch nothing.
PURE_PACKAGES = {"openai", "pydantic", "orjson", "num2words"}
IMPURE_STDLIB = {
    "asyncio", "socket", "time", "threading", "os", "random", "logging", "subprocess", "secrets",
    "multiprocessing", "pathlib", "tempfile",
}  # fmt: skip
VENDORS = {
    "torch", "faster_whisper", "ctranslate2", "silero_vad", "onnxruntime", "pocketsphinx",
    "espeakng_loader", "grpc", "yandex", "speechkit", "kokoro_onnx", "piper", "onnx",
}  # fmt: skip
# Places that own the tasks of strangers, and so may catch whatever these raise.
CATCH_ALL = {
    "voice_server.calls.switchboard", "engines.workers", "engines.serving", "engines.failover.work",
    "engines.shelf",
}  # fmt: skip
LINES_MAX, FUNCTION_LINES_MAX = 500, 60

MODULES = sorted(p for room in ROOMS for p in (HOUSE / room).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")


def place_of(module: str) -> str:
    chamber = ".".join(module.split(".")[:2])
    return chamber if chamber in MAY_IMPORT else module.split(".")[0]


def imports_of(path: Path, tree: ast.Module) -> set[str]:
    package = path.relative_to(HOUSE).parent.parts
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            names = {f"{source}.{alias.name}" for alias in node.names}
            modules = {name_of(path) for path in MODULES}
            found |= (names & modules) or {source}
    return found


@pytest.fixture(params=MODULES, ids=name_of)
def path(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_arrows(path: Path) -> None:
    module, tree = name_of(path), ast.parse(path.read_text())
    place = place_of(module)
    for found in {i for i in imports_of(path, tree) if i.split(".")[0] in ROOMS} - {module}:
        target = place_of(found)
        allowed = target == place or target in MAY_IMPORT[place]
        assert allowed, f"{module} must not import {found}"
        if place == "voice_server.web" and target == "voice_server":
            assert found in ROOT_FOR_DOORS, f"{module} must not import {found}"


def test_vendors_stay_in_engines(path: Path) -> None:
    tree, place = ast.parse(path.read_text()), place_of(name_of(path))
    outside = {i.split(".")[0] for i in imports_of(path, tree)}
    if place != "engines":
        assert not outside & VENDORS, "only engines know vendors"


def test_pure_modules_decide_and_touch_nothing(path: Path) -> None:
    module, tree = name_of(path), ast.parse(path.read_text())
    if module not in PURE:
        return
    imports = imports_of(path, tree)
    ours = {i for i in imports if i.split(".")[0] in ROOMS}
    outside = {i.split(".")[0] for i in imports} - set(ROOMS)
    allowed = sys.stdlib_module_names - IMPURE_STDLIB | PURE_PACKAGES
    assert outside <= allowed, f"{module} decides; it may not import {outside - allowed}"
    assert ours <= PURE, f"{module} is pure and imports {ours - PURE}"
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [n for n in ast.walk(tree) if isinstance(n, waits)], f"{module} waits"


def test_manners(path: Path) -> None:
    module, source = name_of(path), path.read_text()
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module begins by saying what it is for"
    if module != "voice_server.config":
        assert not _reads_environment(tree), "only config reads the environment"
    assert source.count("\n") <= LINES_MAX, "too long for one file"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} is {lines} lines"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "a bare except"
            caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
            last = node.body[-1]
            cleans_up = isinstance(last, ast.Raise) and last.exc is None
            catches_all = caught & {"Exception", "BaseException"} and not cleans_up
            assert not catches_all or module in CATCH_ALL, "only an owner of tasks may catch all"


def _reads_environment(tree: ast.Module) -> bool:
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return bool(names & {"environ", "getenv"})


def test_importing_the_server_is_cheap() -> None:
    heavy = "torch", "onnxruntime", "faster_whisper", "pocketsphinx", "transformers", "grpc"
    code = f"import sys, voice_server.web.app; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
