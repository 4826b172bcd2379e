"""The weights of Smart Turn, which hears whether somebody has finished: where they are on this
machine, and how they come.

They are one file of 9 MB. It is looked for in `models_dir`, and then in an installed `pipecat-ai`,
whose wheel carries it; that package is never imported, and asks for so much else that we do not
ask for it either. `voice-server models pull smart-turn` takes the file out of the wheel, which
comes by pip and so from wherever this machine gets its packages, or else from the model hub.
Wherever it comes from, it is the file we know by its SHA-256.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .models import HUB, OnProgress, Pulling, Wanted, fetch, unwatched
from .speech import EngineError

NAME = "smart-turn"
MEGABYTES = 9
POLL_S = 0.2
PIP_TIMEOUT_S = "15"
# pip has its own display of progress for people, and before 24.1 none for programs; so it works
# in a folder of ours, where one can see the file grow.
_PIP_IN = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True, slots=True)
class TurnWeights:
    """A file of weights, and the two places that publish it. `wheel_size` is about how many
    bytes of wheel must come for it."""

    file: str
    size: int
    sha256: str
    package: str
    version: str
    wheel_size: int
    repository: str


SMART_TURN = TurnWeights(
    file="smart-turn-v3.2-cpu.onnx",
    size=8_679_182,
    sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    package="pipecat-ai",
    version="1.14.0",
    wheel_size=12_109_725,
    repository="pipecat-ai/smart-turn-v3",
)


def find(models_dir: Path, weights: TurnWeights = SMART_TURN) -> Path | None:
    """The file, in `models_dir` or in the package that carries it; None where neither has it."""
    path = path_in(models_dir, weights)
    return path if path.is_file() else _installed(weights)


def path_in(models_dir: Path, weights: TurnWeights = SMART_TURN) -> Path:
    """Where the file is pulled to."""
    return models_dir / NAME / weights.file


def _installed(weights: TurnWeights) -> Path | None:
    try:
        files = importlib.metadata.files(weights.package) or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())) for file in files if file.name == weights.file]
    return next((path for path in paths if path.is_file()), None)


def pull(
    models_dir: Path, on_progress: OnProgress | None = None, *,
    weights: TurnWeights = SMART_TURN, endpoint: str = HUB,
) -> Path:  # fmt: skip
    """Fetch the file into a folder of `models_dir`, and return its path; at once when it is
    there and whole. `on_progress` is called from this thread. Blocks; raises `EngineError`."""
    watch = on_progress or unwatched
    url = f"{endpoint}/{weights.repository}/resolve/main/{weights.file}"
    wanted = Wanted(url, path_in(models_dir, weights), weights.size, weights.sha256)
    if wanted.is_whole:
        return wanted.path
    try:
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        said = _take_from_wheel(weights, wanted, watch)
        if said:
            _take_from_hub(wanted, said, watch)
    except OSError as error:
        raise EngineError(f"The weights of {NAME} could not be stored: {error}.") from error
    return wanted.path


def _take_from_wheel(weights: TurnWeights, wanted: Wanted, watch: OnProgress) -> str:
    """Why the wheel gave nothing; empty when it gave the file."""
    with tempfile.TemporaryDirectory(prefix="smart-turn-") as name:
        folder = Path(name)
        said = _download(weights, folder, watch)
        wheels = list(folder.glob("*.whl"))
        if not wheels:
            return said or "pip brought no wheel"
        if not _unpack(wheels[0], weights, wanted.part) or not wanted.settle():
            return "the wheel does not carry the file we know"
    watch(Pulling(weights.file, weights.wheel_size, weights.wheel_size))
    return ""


def _unpack(path: Path, weights: TurnWeights, target: Path) -> bool:
    """Whether the wheel had such a file, of the right size; it is then the target."""
    try:
        with zipfile.ZipFile(path) as wheel:
            members = [m for m in wheel.infolist() if m.filename.endswith(f"/{weights.file}")]
            if not members or members[0].file_size != weights.size:
                return False
            with wheel.open(members[0]) as inside, target.open("wb") as outside:
                shutil.copyfileobj(inside, outside)
    except zipfile.BadZipFile:
        return False
    return True


def _download(weights: TurnWeights, folder: Path, watch: OnProgress) -> str:
    """Have pip bring the wheel into the folder; what pip said if it did not."""
    command = [
        sys.executable, "-c", _PIP_IN, str(folder), "download", "--no-deps",
        "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--no-input",
        "--retries=1", f"--timeout={PIP_TIMEOUT_S}", "--dest", str(folder),
        f"{weights.package}=={weights.version}",
    ]  # fmt: skip
    with (folder / "said").open("w+") as said:
        with subprocess.Popen(command, stdout=said, stderr=said) as pip:  # noqa: S603
            while pip.poll() is None:
                done = min(_arrived(folder), weights.wheel_size)
                watch(Pulling(f"{weights.package} wheel", done, weights.wheel_size))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    pip.wait(POLL_S)
        said.seek(0)
        lines = said.read().strip().splitlines()
    return (lines[-1] if lines else "pip failed") if pip.returncode else ""


def _arrived(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*.whl"))
    except FileNotFoundError:  # pip has just moved it.
        return 0


def _take_from_hub(wanted: Wanted, said: str, watch: OnProgress) -> None:
    import httpx2

    try:
        fetch(wanted, watch)
    except (httpx2.HTTPError, EngineError) as error:
        raise EngineError(
            f"The weights of {NAME} could not be fetched. From the wheel: {said}. "
            f"From {wanted.url}: {error}"
        ) from error
