"""The session fields that are checked, kept and told back: tools and the like. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from engines.speech import EngineSettings, Tool

from .checks import ID_CHARS_MAX, NAME_CHARS_MAX, Fields, wrong_type, wrong_value
from .server_events import JsonObject, without_empty

TOOLS_MAX = 128
VARIABLES_MAX = 64
TOOL_CHOICES = ("none", "auto", "required")
EFFORTS = ("minimal", "low", "medium", "high", "xhigh")
INCLUDES = ("item.input_audio_transcription.logprobs",)


def kept_fields(patch: Fields, current: Mapping[str, object]) -> Mapping[str, object]:
    """`current` with the client's changes; null turns a field off. Raises `Refusal`."""
    changed: JsonObject = dict(current)
    for name, read in _READERS.items():
        if patch.is_null(name):
            changed.pop(name, None)
        elif patch.has(name):
            changed[name] = read(patch, name)
    changed = {"tools": [], "tool_choice": "auto"} | changed
    if not _is_there(changed["tool_choice"], changed["tools"]):
        if patch.values.get("tool_choice") is not None:
            raise wrong_value(patch.at("tool_choice"), "there is no tool of that name")
        changed["tool_choice"] = "auto"  # The tool that had to be called was taken away.
    return changed


def _is_there(choice: object, tools: object) -> bool:
    """Whether the tool that must be called, if any, is one of these."""
    if not isinstance(choice, dict) or not isinstance(tools, list):
        return True
    return any(tool["name"] == choice["name"] for tool in tools)


def tools(patch: Fields, name: str) -> object:
    """Function tools, in the protocol's own shape."""
    return [_tool(tool) for tool in patch.objects(name, length_max=TOOLS_MAX)]


def _tool(tool: Fields) -> JsonObject:
    tool.choice("type", "function", ("function",))
    parameters = tool.child("parameters")
    name = tool.need_text("name", bytes_max=NAME_CHARS_MAX)
    if not name.strip():
        raise wrong_value(tool.at("name"), "a tool needs a name to be called by")
    return {
        "type": "function",
        "name": name,
        **without_empty({"description": tool.text("description", "")}),
        **({"parameters": dict(parameters.values)} if parameters else {}),
    }


def tool_choice(patch: Fields, name: str) -> object:
    if not isinstance(patch.values[name], dict):
        return patch.choice(name, "auto", TOOL_CHOICES)
    chosen = Fields(patch.values[name], patch.at(name))
    chosen.choice("type", "function", ("function",))
    return {"type": "function", "name": chosen.need_text("name", bytes_max=NAME_CHARS_MAX)}


def as_settings(kept: Mapping[str, object], settings: EngineSettings) -> EngineSettings:
    """What the engines are told of the tools; the other settings stay as they are."""
    chosen = kept.get("tool_choice", "auto")
    given = kept.get("tools")
    return replace(
        settings,
        tools=tuple(map(_as_tool, given)) if isinstance(given, list) else (),
        tool_choice=chosen if isinstance(chosen, str) else "required",
        tool_named=str(chosen["name"]) if isinstance(chosen, dict) else "",
        parallel_tools=kept.get("parallel_tool_calls") is not False,
    )


def _as_tool(told: JsonObject) -> Tool:
    parameters = told.get("parameters")
    return Tool(
        str(told["name"]), str(told.get("description", "")),
        orjson.dumps(parameters).decode() if parameters else "",
    )  # fmt: skip


def _flag(patch: Fields, name: str) -> object:
    return patch.flag(name, True)


def _include(patch: Fields, name: str) -> object:
    given = patch.texts(name, length_max=len(INCLUDES))
    if not set(given) <= set(INCLUDES):
        raise wrong_value(patch.at(name), f"supported values are: {', '.join(INCLUDES)}")
    return given


def _reasoning(patch: Fields, name: str) -> object:
    given = Fields(patch.values[name], patch.at(name))
    return without_empty({"effort": given.choice("effort", "", EFFORTS)})


def _tracing(patch: Fields, name: str) -> object:
    if patch.values[name] == "auto":
        return "auto"
    given = Fields(patch.values[name], patch.at(name))
    told = {key: given.text(key, "", bytes_max=NAME_CHARS_MAX) for key in _TRACE_NAMES}
    metadata = given.child("metadata")
    return without_empty(told) | ({"metadata": dict(metadata.values)} if metadata else {})


_TRACE_NAMES = ("workflow_name", "group_id")


def _truncation(patch: Fields, name: str) -> object:
    if not isinstance(patch.values[name], dict):
        return patch.choice(name, "auto", ("auto", "disabled"))
    given = Fields(patch.values[name], patch.at(name))
    given.choice("type", "retention_ratio", ("retention_ratio",))
    given.need("retention_ratio")
    told: JsonObject = {
        "type": "retention_ratio", "retention_ratio": given.number("retention_ratio", 1, 0, 1)
    }  # fmt: skip
    if (limits := given.child("token_limits")) and limits.has("post_instructions"):
        kept = limits.need_integer("post_instructions", 0, 10_000_000)
        told["token_limits"] = {"post_instructions": kept}
    return told


def _prompt(patch: Fields, name: str) -> object:
    given = Fields(patch.values[name], patch.at(name))
    told = {
        "id": given.need_text("id", bytes_max=ID_CHARS_MAX),
        "version": given.text("version", "", bytes_max=ID_CHARS_MAX),
    }
    variables = given.child("variables")
    if variables is None:
        return without_empty(told)
    if len(variables.values) > VARIABLES_MAX:
        raise wrong_value(variables.path, f"at most {VARIABLES_MAX} variables are kept")
    for key, value in variables.values.items():
        if not isinstance(value, str):
            raise wrong_type(variables.at(key), "a string", value)
    return without_empty(told) | {"variables": dict(variables.values)}


_READERS = {
    "tools": tools, "tool_choice": tool_choice, "parallel_tool_calls": _flag,
    "include": _include, "reasoning": _reasoning, "tracing": _tracing,
    "truncation": _truncation, "prompt": _prompt,
}  # fmt: skip
