"""`python -m app`: the command line, or why there is none."""

import sys

OLDEST = (3, 11)
INTERRUPTED = 130


def run() -> None:
    """Run the command line, if this interpreter can."""
    if sys.version_info < OLDEST:
        sys.exit(f"Python 3.11 or newer is needed, not {sys.version.split()[0]}: PYTHON=… chooses one.")
    try:
        from app.cli.commands import main
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("app"):
            raise
        sys.exit(
            f"{sys.executable} has no package {missing.name!r}: `make run` installs all that is needed into .venv, "
            "and .venv/bin/python has it."
        )
    main()


if __name__ == "__main__":
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
