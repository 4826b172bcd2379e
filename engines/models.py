"""Weights on this machine's disk: which are here, which can be had, and how they come.

A model is a folder of `models_dir` with the files faster-whisper needs, all of them whole.
Nothing here is called while a call is going on: weights are pulled by a person, with
`voice-server models pull`, and the recogniser only ever reads what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .speech import EngineError

if TYPE_CHECKING:
    from httpx2 import Client

# Without these the library would turn to the network, wait 23 seconds, and fail.
NEEDED = ("model.bin", "config.json", "tokenizer.json")
WANTED = (*NEEDED, "preprocessor_config.json", "vocabulary.json", "vocabulary.txt")
ATTEMPTS_MAX = 2
TIMEOUT_S = 30.0
PARTIAL_CONTENT = 206
HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class Weights:
    """A known model: where it lives on the hub, about how large it is, what it hears."""

    repository: str
    megabytes: int
    languages: str  # "en" or "any".


KNOWN: Mapping[str, Weights] = {
    "tiny.en": Weights("Systran/faster-whisper-tiny.en", 78, "en"),
    "tiny": Weights("Systran/faster-whisper-tiny", 78, "any"),
    "base.en": Weights("Systran/faster-whisper-base.en", 148, "en"),
    "base": Weights("Systran/faster-whisper-base", 148, "any"),
    "small.en": Weights("Systran/faster-whisper-small.en", 486, "en"),
    "small": Weights("Systran/faster-whisper-small", 486, "any"),
    "medium.en": Weights("Systran/faster-whisper-medium.en", 1_530, "en"),
    "medium": Weights("Systran/faster-whisper-medium", 1_530, "any"),
    "large-v3": Weights("Systran/faster-whisper-large-v3", 3_090, "any"),
    "large-v3-turbo": Weights("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1_620, "any"),
    "distil-large-v3": Weights("Systran/faster-distil-whisper-large-v3", 1_520, "en"),
}


@dataclass(frozen=True, slots=True)
class Pulling:
    """How far a pull is, over all files together."""

    file: str
    bytes_done: int
    bytes_total: int


OnProgress = Callable[[Pulling], None]


def directory_of(model: str, models_dir: Path) -> Path:
    """Where the weights of `model` are, or would be: a folder of `models_dir` for a name, and
    the folder itself when `model` is a path."""
    path = Path(model)
    if path.is_absolute() or len(path.parts) > 1 or (path / "model.bin").is_file():
        return path
    return models_dir / model


def missing_from(directory: Path) -> tuple[str, ...]:
    """The files that keep the weights in the directory from being used; empty when whole."""
    return tuple(name for name in NEEDED if not _holds(directory / name))


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def present(models_dir: Path) -> tuple[str, ...]:
    """The names of the models that are here and whole."""
    if not models_dir.is_dir():
        return ()
    return tuple(sorted(p.name for p in models_dir.iterdir() if p.is_dir() and not missing_from(p)))


def pull(
    name: str, directory: Path, on_progress: OnProgress | None = None, *, endpoint: str = HUB
) -> Path:
    """Fetch the weights called `name` into a folder of `directory`, and return that folder.

    What is already there is kept, and a download that broke off goes on where it stopped.
    Every file is compared with the size and, for the weights, the SHA-256 that the hub states.
    `on_progress` is called from this thread, often. Blocks; raises `EngineError`."""
    weights = KNOWN.get(name)
    if weights is None:
        known = ", ".join((*KNOWN, "smart-turn", "kokoro", "piper"))
        raise EngineError(f"No model is called {name!r}. Known are: {known}.")
    target = directory / name

    def place(file: str) -> Path | None:
        return target / file if file in WANTED else None

    fetch_from_hub(weights.repository, place, name, on_progress or unwatched, endpoint=endpoint)
    if missing := missing_from(target):
        raise EngineError(f"The weights of {name} came without {', '.join(missing)}.")
    return target


def fetch_from_hub(
    repository: str, place: Callable[[str], Path | None], name: str, on_progress: OnProgress, *,
    endpoint: str = HUB, known: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Bring those files of a repository here for which there is a `place`, for the weights
    called `name`. `known`: the SHA-256 that a file must have, by the name of its place, whatever
    the hub says. Blocks; raises `EngineError`."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        _fetch_all(repository, place, endpoint, on_progress, known or {})
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise EngineError(
            f"The weights of {name} could not be fetched from {endpoint}: is this machine "
            "online? What has arrived is kept; the same command goes on from there."
        ) from error
    except OSError as error:
        raise EngineError(f"The weights of {name} could not be stored: {error}.") from error


def unwatched(pulling: Pulling) -> None:
    """Progress that nobody looks at."""


def fetch(wanted: Wanted, on_progress: OnProgress) -> None:
    """Bring one file here. Raises `EngineError` when it comes damaged, httpx2's errors, and
    OSError."""
    import httpx2

    with httpx2.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
        for done in _arriving(client, wanted):
            on_progress(Pulling(wanted.path.name, done, wanted.size))


def _fetch_all(
    repository: str, place: Callable[[str], Path | None], endpoint: str, on_progress: OnProgress,
    known: Mapping[str, str],
) -> None:  # fmt: skip
    import httpx2
    from huggingface_hub import HfApi, hf_hub_url

    # Public files need no token, and this server has no business reading one.
    info = HfApi(endpoint=endpoint, token=False).model_info(repository, files_metadata=True)
    placed = [(file, place(file.rfilename)) for file in info.siblings or ()]
    files = [(file, path) for file, path in placed if path is not None]
    total = sum(file.size or 0 for file, _ in files)
    before = 0
    with httpx2.Client(follow_redirects=True, timeout=TIMEOUT_S) as client:
        for file, path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            url = hf_hub_url(repository, file.rfilename, revision=info.sha, endpoint=endpoint)
            sha256 = known.get(path.name) or (file.lfs.sha256 if file.lfs else "")
            wanted = Wanted(url, path, file.size or 0, sha256)
            for done in _arriving(client, wanted):
                on_progress(Pulling(file.rfilename, before + done, total))
            before += wanted.size


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file: where it is, where it goes, and what it must be. `sha256` may be empty."""

    url: str
    path: Path
    size: int
    sha256: str

    @property
    def part(self) -> Path:
        """Where it is kept until it is whole."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def is_whole(self) -> bool:
        return self._fits(self.path)

    def settle(self) -> bool:
        """Put what came into its place, or throw it away; whether it was what is wanted."""
        if self._fits(self.part):
            self.part.replace(self.path)
            return True
        self.part.unlink()
        return False

    def _fits(self, path: Path) -> bool:
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if not self.sha256:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def _arriving(client: Client, wanted: Wanted) -> Iterator[int]:
    """Bring one file here, saying now and then how many bytes of it have come.

    The hub's own library begins a broken download anew, which is no way to fetch three
    gigabytes over a student's line; so the bytes come into a file that is kept."""
    if wanted.is_whole:
        yield wanted.size
        return
    for _ in range(ATTEMPTS_MAX):
        yield from _stream(client, wanted)
        if wanted.settle():
            return
    raise EngineError(f"{wanted.path.name} arrived damaged twice; try again later.")


def _stream(client: Client, wanted: Wanted) -> Iterator[int]:
    done = wanted.part.stat().st_size if wanted.part.is_file() else 0
    if done >= wanted.size:
        return
    # As the bytes are on the disk there, or their number would say nothing.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with client.stream("GET", wanted.url, headers=headers) as response:
        response.raise_for_status()
        resumes = response.status_code == PARTIAL_CONTENT
        done = done if resumes else 0
        with wanted.part.open("ab" if resumes else "wb") as file:
            yield done
            for chunk in response.iter_raw():
                file.write(chunk)
                done += len(chunk)
                yield done
