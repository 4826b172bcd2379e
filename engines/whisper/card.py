"""A child that tries whether Whisper can work on the graphics card: it loads the weights there
and looks at half a minute of silence. Should a library be missing, only this process ends.

    python -m engines.whisper.card DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..silero import package_network
from .model import Listener, open_weights
from .trust import Trust


def main() -> None:
    model = open_weights(Path(sys.argv[1]), 1, "cuda")
    Listener(model, Trust(), package_network(), "cuda").took_s(1)


if __name__ == "__main__":
    main()
