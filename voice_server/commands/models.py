"""Engines and weights: who hears and speaks which language, which weights are here, and
fetching those that are not.

  voice-server models               what there is
  voice-server models pull NAME     fetch Whisper weights, smart-turn, or the voices of kokoro or
                                    piper (piper:de_DE-thorsten-medium: one voice of many)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import add_set_argument, parsed, read_config

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from engines.models import OnProgress, Pulling
    from engines.registry import Registry
    from voice_server.config import Config

HELP = "list engines and weights, pull weights"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "exit codes:\n  0  done\n  1  the weights could not be fetched\n  2  wrong use"
    parser.add_argument("action", nargs="?", choices=("list", "pull"), default="list")
    parser.add_argument("name", nargs="?", help="the weights to pull: base, smart-turn, kokoro")
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    config = read_config(parsed(options.settings))
    console = Console(highlight=False)
    if options.action == "list":
        return _list(config, console)
    if not options.name:
        print("voice-server models pull: say which, such as base", file=sys.stderr)
        return 2
    return _pull(config, options.name, console)


def _list(config: Config, console: Console) -> int:
    from engines.registry import Registry
    from voice_server.web.house import engine_options

    registry = Registry(engine_options(config))
    console.print(_languages(registry, config))
    console.print(_weights(config))
    console.print(_turns(config), soft_wrap=True)
    for line in _voices(config):
        console.print(line, soft_wrap=True)
    return 0


def _languages(registry: Registry, config: Config) -> Table:
    from rich.table import Table

    from engines.roster import DIALOGUE, LANGUAGES, SPEECH_TO_TEXT, TEXT_TO_SPEECH

    def asked(kind: str, language: str = "") -> str:
        names, _ = registry.order.candidates(kind, "", language)
        return ", ".join(names) or "–"

    table = Table(title="Languages")
    for title in ("language", "heard by", "spoken by", "answered by", "notice"):
        table.add_column(title)
    for language in LANGUAGES:
        _, notice = registry.order.hears(config.speech_to_text, language)
        heard = asked(SPEECH_TO_TEXT, language)
        table.add_row(language, heard, asked(TEXT_TO_SPEECH), asked(DIALOGUE), notice)
    return table


def _weights(config: Config) -> Table:
    from rich.table import Table

    from engines.models import KNOWN, directory_of, missing_from, present

    table = Table(title=f"Whisper weights in {config.models_dir}")
    for title in ("name", "languages", "MB", "state"):
        table.add_column(title)
    # A model of one's own may be a folder that has no known name.
    here = {*present(config.models_dir)}
    if not missing_from(directory_of(config.whisper_model, config.models_dir)):
        here.add(config.whisper_model)
    for name in dict.fromkeys([*KNOWN, *sorted(here)]):
        known = KNOWN.get(name)
        state = "here" if name in here else "not here"
        table.add_row(
            name,
            known.languages if known else "?",
            f"{known.megabytes:,}" if known else "?",
            state + (", configured" if name == config.whisper_model else ""),
        )
    return table


def _turns(config: Config) -> str:
    from engines.turn_weights import MEGABYTES, NAME, find

    path = find(config.models_dir)
    judged = "ends of turns (semantic_vad)"
    if path is None:
        return f"{NAME}: {judged}, {MEGABYTES} MB, not here"
    return f"{NAME}: {judged}, in {path}"


def _voices(config: Config) -> list[str]:
    from engines.neural.voice_weights import KOKORO, MEGABYTES, PIPER, missing_kokoro, missing_piper
    from engines.vendors import LocalVoiceOptions

    options = LocalVoiceOptions(models_dir=config.models_dir)
    states = {KOKORO: missing_kokoro(options), PIPER: missing_piper(options)}
    return [
        f"{name}: neural voices, {MEGABYTES[name]} MB, {missing or 'here'}"
        for name, missing in states.items()
    ]


def _pull(config: Config, name: str, console: Console) -> int:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from engines.speech import EngineError

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(name, total=None)

            def show(pulling: Pulling) -> None:
                progress.update(
                    task, description=f"{name}: {pulling.file}", total=pulling.bytes_total,
                    completed=pulling.bytes_done,
                )  # fmt: skip

            where, hint = _fetched(config, name, show)
    except EngineError as error:
        print(f"voice-server models pull: {error}", file=sys.stderr)
        return 1
    console.print(f"{name} is in {where}.")
    if hint:
        console.print(f"To use it: {hint}")
    return 0


def _fetched(config: Config, name: str, show: OnProgress) -> tuple[Path, str]:
    """Where the weights are now, and which setting uses them. Raises `EngineError`."""
    from engines import turn_weights
    from engines.models import pull
    from engines.neural import voice_weights

    if name == turn_weights.NAME:
        return turn_weights.pull(config.models_dir, show), ""
    if voice_weights.is_known(name):
        engine = name.partition(":")[0]
        hint = "" if engine in config.text_to_speech else f"VOICE_SERVER_TEXT_TO_SPEECH={engine}"
        return voice_weights.pull(name, config.models_dir, show), hint
    hint = "" if name == config.whisper_model else f"VOICE_SERVER_WHISPER_MODEL={name}"
    return pull(name, config.models_dir, show), hint
