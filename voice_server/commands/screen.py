"""The transcript of a call as it grows: partials give way to finals, the agent's words light
up as they are heard, and under each answer stands where its latency went.

On a terminal the unfinished part is redrawn in place; into a pipe only finished lines go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from voice_server.client.dialog import Dialog, Line

from .words import bill_text, engines_text, failure_texts, latency_text

_NAMES = {"you": ("You   ", "bold cyan"), "agent": ("Agent ", "bold green")}


class Screen:
    """Shows one call; `quiet` shows nothing."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(quiet=quiet, highlight=False)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._printed: set[int] = set()
        self._notices = 0
        self._engines_shown = False

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, dialog: Dialog) -> None:
        """Draw what has changed."""
        self._show_engines(dialog)
        for notice in dialog.notices[self._notices :]:
            self.console.print(Text(f"        {notice}", style="yellow"))
        self._notices = len(dialog.notices)
        last = dialog.lines[-1:]
        open_lines = [line for line in dialog.lines if not self._settle(line, last=[line] != last)]
        if self.console.is_terminal:
            self._live.update(Group(*map(_drawn, open_lines)), refresh=True)

    def end(
        self, dialog: Dialog, bill: Mapping[str, object] | None, *, saved: Path | None,
        turns: Sequence[Mapping[str, object]] = (),
    ) -> None:  # fmt: skip
        """The lines that never became final, the file that was written, which engines answered
        and which failed, and the bill."""
        for line in dialog.lines:
            line.final = True
            self._settle(line, last=True)
        if saved:
            self.console.print(Text(f"\nThe agent's voice is in {saved}", style="dim"))
        if answered := engines_text(turns):
            self.console.print(Text("\n" + answered, style="dim"), soft_wrap=True)
        for failure in failure_texts(turns):
            self.console.print(Text(failure, style="yellow"), soft_wrap=True)
        if bill is not None:
            self.console.print(Text("\n" + bill_text(bill), style="bold"), soft_wrap=True)

    def _settle(self, line: Line, *, last: bool) -> bool:
        """Print a line once it is final; an answer waits until it has been heard, or until
        something else is said (`last`: nothing more will be known of it)."""
        if id(line) in self._printed:
            return True
        if not line.final or not (last or line.over or line.who == "you"):
            return False
        self._printed.add(id(line))
        if line.text:
            self.console.print(_drawn(line, finished=True))
        if line.parts:
            self.console.print(Text(f"        {latency_text(line.parts)}", style="dim"))
        return True

    def _show_engines(self, dialog: Dialog) -> None:
        if dialog.engines and not self._engines_shown:
            self._engines_shown = True
            names = ("speech_to_text", "dialogue", "text_to_speech", "voice", "language")
            found = [str(dialog.engines[name]) for name in names if dialog.engines.get(name)]
            self.console.print(Text(f"        {' · '.join(found)}", style="dim"))


def _drawn(line: Line, *, finished: bool = False) -> Text:
    name, style = _NAMES[line.who]
    drawn = Text.assemble((name, style), "  ")
    if line.who == "you" or (finished and line.status in {"", "completed"}):
        drawn.append(line.text, style="" if line.final else "dim italic")
    else:
        heard = len(line.text) if line.heard_chars is None else line.heard_chars
        drawn.append(line.text[:heard]).append(line.text[heard:], style="dim")
    if finished and line.status not in {"", "completed"}:
        drawn.append(f"  ({line.status})", style="yellow")
    return drawn
