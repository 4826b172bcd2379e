"""A call's history in the words of the Chat Completions API. Pure.

The API is strict about tools: what asks for one is followed at once by the answers, one for
each call, and by nothing else first. A live conversation is not: results come late, twice,
for calls nobody remembers, or never. So calls are gathered, answered in their order, and
whatever does not fit is told to the model in plain words where it stands.

Many servers that speak this API are stricter than its maker, so nothing is empty, users and
assistants take turns, ids are nine letters and digits, and arguments are always JSON objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from ..speech import EngineSettings, Entry, FunctionCall, FunctionResult, Note, Tool, Turn

Message = dict[str, object]

BROKEN_OFF = " —"
NO_RESULT = "(No result has come yet.)"
NOTHING = "(Nothing.)"
YOUR_TURN = "(The caller says nothing. It is your turn to speak.)"
_ABOUT_BREAKS = (
    "A message of yours that ends in a dash was interrupted there: the caller heard no more of it."
)
_SPOKEN = (
    "You are talking with somebody on a voice call, and what you write is spoken aloud. Answer in "
    "a few short sentences, as people speak. Use no markup, no lists, no emoji and no links. Write "
    "numbers and symbols the way they are said."
)
_WRITTEN = "You are talking with somebody who reads your answers. Be short and clear."
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_NAME_CHARS_MAX = 64


def messages_of(history: Sequence[Entry], settings: EngineSettings) -> list[Message]:
    """The messages that ask for the reply to the last entry of the history."""
    broken = any(isinstance(entry, Turn) and _is_broken(entry) for entry in history)
    talk = _Talk(instructions_of(settings, broken=broken))
    for entry in history:
        talk.add(entry)
    return talk.ended()


def instructions_of(settings: EngineSettings, *, broken: bool = False) -> str:
    """What a model is told about its part. `broken`: replies of its own were interrupted."""
    usual = f"{_SPOKEN if settings.speaks else _WRITTEN} {_language(settings.language)}"
    told = settings.instructions.strip() or usual
    return f"{told}\n\n{_ABOUT_BREAKS}" if broken else told


def _language(language: str) -> str:
    name = {"en": "English", "ru": "Russian"}.get(language, f"the language {language[:20]!r}")
    return f"Speak {name}, unless the caller clearly speaks or wants another language."


def _is_broken(turn: Turn) -> bool:
    return turn.interrupted and bool(turn.agent.strip())


class _Talk:
    """Messages as they come, and the calls that still wait for their answers."""

    def __init__(self, instructions: str) -> None:
        self._told: list[Message] = [{"role": "system", "content": instructions}]
        self._names: dict[str, str] = {}
        self._asking: list[FunctionCall] = []
        self._said = ""
        self._answers: dict[str, str] = {}
        self._later: list[Message] = []
        self._count = 0

    def add(self, entry: Entry) -> None:
        match entry:
            case Turn(user, agent, _, calls):
                if user.strip() or agent.strip() or calls:
                    self._close()
                if user.strip():
                    self._tell("user", user.strip())
                spoken = agent.strip() + BROKEN_OFF * _is_broken(entry)
                if calls:
                    self._said = spoken
                    self._ask(calls)
                elif spoken:
                    self._tell("assistant", spoken)
            case FunctionCall():
                if len(self._answers) == len(self._asking):
                    self._close()
                self._ask([entry])
            case FunctionResult(call_id, output):
                self._answer(call_id, output.strip() or NOTHING)
            case Note(role, text) if text.strip():
                known = role if role in ("system", "user", "assistant") else "user"
                self._tell(known, text.strip())

    def ended(self) -> list[Message]:
        self._close()
        speakers = [message["role"] for message in self._told if message["role"] != "system"]
        if not speakers or speakers[-1] == "assistant":
            self._tell("user", YOUR_TURN)
        return self._told

    def _ask(self, calls: Iterable[FunctionCall]) -> None:
        known = {call.call_id for call in self._asking}
        for call in calls:
            self._names[call.call_id] = safe_name(call.name)
            if call.call_id not in known:
                known.add(call.call_id)
                self._asking.append(call)

    def _answer(self, call_id: str, output: str) -> None:
        waits = any(call.call_id == call_id for call in self._asking)
        if waits and call_id not in self._answers:
            self._answers[call_id] = output
        else:
            name = self._names.get(call_id, "A tool")
            self._tell("user", f"({name} has answered: {output})")

    def _tell(self, role: str, text: str) -> None:
        """Say it now, or behind the calls that are open."""
        queue = self._later if self._asking else self._told
        before = queue[-1] if queue else None
        if before is not None and before["role"] == role and "tool_calls" not in before:
            before["content"] = f"{before['content']}\n{text}"
        else:
            queue.append({"role": role, "content": text})

    def _close(self) -> None:
        """Nothing more can answer the open calls in time."""
        if not self._asking:
            return
        ids = {call.call_id: self._new_id() for call in self._asking}
        made = [_call(call, ids[call.call_id]) for call in self._asking]
        asked: Message = {"role": "assistant", "tool_calls": made}
        # Some servers want the field to be there, and none minds that it is null.
        asked["content"] = self._said or None
        self._told.append(asked)
        for call_id, told_id in ids.items():
            answer = self._answers.get(call_id, NO_RESULT)
            self._told.append({"role": "tool", "tool_call_id": told_id, "content": answer})
        later = self._later
        self._asking, self._answers, self._said, self._later = [], {}, "", []
        for message in later:
            self._tell(str(message["role"]), str(message["content"]))

    def _new_id(self) -> str:
        """Ids of the model's own are too long for some servers and too short for others."""
        self._count += 1
        return f"call{self._count:05d}"


def _call(call: FunctionCall, told_id: str) -> Message:
    function = {"name": safe_name(call.name), "arguments": object_text(call.arguments)}
    return {"id": told_id, "type": "function", "function": function}


def safe_name(name: str) -> str:
    """The name in letters the API takes."""
    return _NOT_IN_NAMES.sub("_", name)[:_NAME_CHARS_MAX] or "_"


def object_text(arguments: str) -> str:
    """The JSON text if it is an object, else an empty one: some servers parse it."""
    return arguments if is_object(arguments) else "{}"


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def tool_fields(settings: EngineSettings) -> Message:
    """The fields of a request that are about tools; none where no tool may be called."""
    if not settings.tools or (settings.tool_choice == "none" and not settings.tool_named):
        return {}
    fields: Message = {"tools": [_function(tool) for tool in settings.tools]}
    if any(tool.name == settings.tool_named for tool in settings.tools):
        named = {"name": safe_name(settings.tool_named)}
        fields["tool_choice"] = {"type": "function", "function": named}
    elif settings.tool_choice == "required":
        fields["tool_choice"] = "required"
    if not settings.parallel_tools:
        fields["parallel_tool_calls"] = False
    return fields


def _function(tool: Tool) -> Message:
    function: Message = {"name": safe_name(tool.name), "parameters": _parameters(tool.parameters)}
    if tool.description:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _parameters(text: str) -> Mapping[str, object]:
    try:
        schema = json.loads(text) if text else None
    except (ValueError, RecursionError):
        schema = None
    return schema if isinstance(schema, dict) else {"type": "object", "properties": {}}
