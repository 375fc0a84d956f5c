"""`python -m app`: the command line, or why it cannot run."""

import sys

from app import OLDEST_PYTHON

INTERRUPTED = 130


def run() -> None:
    """Run the command line if this interpreter can."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Python 3.11 or newer is required; this is {sys.version.split()[0]}. Set PYTHON=… to choose another.")
    try:
        from app.cli.commands import main
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("app"):
            raise
        sys.exit(
            f"{sys.executable} has no package {missing.name!r}. `make run` installs everything into .venv; "
            "then use .venv/bin/python."
        )
    main()


if __name__ == "__main__":
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
