"""The parts of the bench that measure engines: voices, recognisers, a whole turn, and what the
server puts around each packet."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .settings import parsed, read_config

if TYPE_CHECKING:
    from rich.console import Console

    from engines.roster import EngineOptions
    from voice_server.bench.engine_figures import Absent

F = TypeVar("F")
CLIPS_MAX, QUESTIONS_MAX = 1_000, 200


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--engines", default="", metavar="NAMES",
        help="the voices and recognisers to measure, with commas (default: all that are here, "
        "also those of vendors whose keys are set, which costs money)",
    )  # fmt: skip
    parser.add_argument(
        "--speech", type=Path, metavar="FOLDER",
        help="recordings of people with transcripts.tsv, for recognisers (default: eSpeak NG "
        "speaks)",
    )  # fmt: skip
    parser.add_argument("--language", default="en", help="that is spoken: en or ru (default: en)")
    parser.add_argument(
        "--clips", type=int, default=24,
        help="for each recogniser; a quarter of them is heard live (default: 24)",
    )  # fmt: skip
    parser.add_argument(
        "--questions", type=int, default=10, help="in the call of `turn` (default: 10)"
    )


def check(options: argparse.Namespace) -> None:
    """Raises `ValueError` for what cannot be measured, or would be endless."""
    from voice_server.bench.recognisers import known as recognisers
    from voice_server.bench.samples import sentences_of
    from voice_server.bench.voices import known as voices

    if not 1 <= options.clips <= CLIPS_MAX:
        raise ValueError(f"--clips must be from 1 to {CLIPS_MAX}")
    if not 1 <= options.questions <= QUESTIONS_MAX:
        raise ValueError(f"--questions must be from 1 to {QUESTIONS_MAX}")
    sentences_of(options.language)
    here = _options(options)
    unknown = set(_names(options)) - {*voices(here), *recognisers(here), "scripted"}
    if unknown:
        raise ValueError(f"there is no voice or recogniser {', '.join(sorted(unknown))}")


def measure(part: str, options: argparse.Namespace, folder: Path, console: Console) -> bool:
    """Measure a part, show it, and write it down; whether everything went as it should."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_PARTS[part](options, folder, console))


async def _voices(options: argparse.Namespace, _: Path, console: Console) -> bool:
    from voice_server.bench import engine_report as report
    from voice_server.bench.engine_picture import voices_svg
    from voice_server.bench.voices import known, measure_voices

    here = _options(options)
    names = [name for name in _names(options) if name in {*known(here), "scripted"}]
    if _names(options) and not names:
        return True
    with console.status("…") as status:
        found = measure_voices(
            here, names, options.language, lambda what: status.update(f"Measuring {what} …")
        )
        rows, absent = await _sorted(found)
    report.show_voices(console, rows, absent)
    _write(options.output, "voices", report.voices_json(rows, absent), voices_svg(rows), console)
    return all(row.is_sound for row in rows)


async def _recognisers(options: argparse.Namespace, _: Path, console: Console) -> bool:
    from voice_server.bench import engine_report as report
    from voice_server.bench.engine_picture import recognisers_svg
    from voice_server.bench.recognisers import known, measure_recognisers
    from voice_server.bench.run import SILENCE_MS
    from voice_server.bench.samples import samples

    here = _options(options)
    names = [name for name in _names(options) if name in {*known(here), "scripted"}]
    if _names(options) and not names:
        return True
    with console.status("Preparing speech …") as status:
        given = await samples(
            options.speech, options.language, options.clips, pause_ms=SILENCE_MS
        )
        found = measure_recognisers(
            here, names, given.samples, lambda what: status.update(f"Measuring {what} …")
        )
        rows, absent = await _sorted(found)
    report.show_recognisers(console, rows, absent, given.source)
    written = report.recognisers_json(rows, absent, given.source)
    _write(options.output, "recognisers", written, recognisers_svg(rows), console)
    return all(row.is_sound for row in rows)


async def _turn(options: argparse.Namespace, folder: Path, console: Console) -> bool:
    from voice_server.bench import engine_report as report
    from voice_server.bench.engine_picture import turn_svg
    from voice_server.bench.run import SILENCE_MS
    from voice_server.bench.speech import prepare
    from voice_server.bench.turn import measure_turn

    with console.status("Preparing speech …") as status:
        speech = await prepare([], folder, pause_ms=SILENCE_MS)
        found = await measure_turn(
            speech.turns, options.questions, folder,
            lambda what: status.update(f"Measuring {what} …"),
        )  # fmt: skip
    report.show_turn(console, found)
    _write(options.output, "turn", report.turn_json(found), turn_svg(found), console)
    return found.is_sound


async def _path(options: argparse.Namespace, _: Path, console: Console) -> bool:
    from voice_server.bench import engine_report as report
    from voice_server.bench.path import measure_path

    with console.status("Measuring what is put around each packet …"):
        roads = await measure_path()
    report.show_path(console, roads)
    _write(options.output, "path", report.path_json(roads), "", console)
    return True


_PARTS = {"voices": _voices, "recognisers": _recognisers, "turn": _turn, "path": _path}
PARTS = tuple(_PARTS)


async def _sorted(found: AsyncIterator[F | Absent]) -> tuple[list[F], list[Absent]]:
    """Those that were measured, and those that could not be."""
    from voice_server.bench.engine_figures import Absent

    rows: list[F] = []
    absent: list[Absent] = []
    async for each in found:
        if isinstance(each, Absent):
            absent.append(each)
        else:
            rows.append(each)
    return rows, absent


def _options(options: argparse.Namespace) -> EngineOptions:
    from voice_server.web.house import engine_options

    return engine_options(read_config(parsed(options.settings)))


def _names(options: argparse.Namespace) -> list[str]:
    return [name for name in map(str.strip, options.engines.split(",")) if name]


def _write(
    folder: Path, part: str, found: dict[str, object], picture: str, console: Console
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{part}.json"]
    paths[0].write_text(json.dumps(found, indent=2, ensure_ascii=False))
    if picture:
        paths.append(folder / f"{part}.svg")
        paths[1].write_text(picture)
    console.print(f"Written: {' and '.join(map(str, paths))}", style="dim")
