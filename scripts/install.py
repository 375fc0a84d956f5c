"""Install what `make` needs: a virtual environment with the pinned packages and, if npm is available, GraphiQL's files.

It runs on the bare interpreter, so it imports only the standard library. It does nothing if everything is installed. If
several run at once, one does the work and the others wait.
"""

import fcntl
import hashlib
import platform
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "installed"
LOCK = ROOT / "requirements-dev.lock"
GRAPHIQL = ROOT / "app" / "web" / "graphiql" / "packages.json"
OLDEST = (3, 11)


def wanted() -> str:
    """Return what identifies an installation: the interpreter and all pinned versions."""
    pins = LOCK.read_bytes() + GRAPHIQL.read_bytes()
    return f"{platform.python_implementation()} {platform.python_version()} {hashlib.sha256(pins).hexdigest()}"


def is_installed() -> bool:
    """Return whether the environment is complete and current."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted()


def install() -> None:
    """Create the environment from scratch."""
    say("Installing the pinned packages into .venv (once, about half a minute) …")
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python can't create virtual environments. Install its venv package (Debian: python3-venv).")
    run("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK))
    run("-m", "app.web.graphiql.fetch", "--optional")
    STAMP.write_text(wanted())


def run(*arguments: str) -> None:
    """Run the environment's interpreter. Exit if it fails; it has printed the reason."""
    done = subprocess.run([PYTHON, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit("The installation failed for the reason above. Run the same command to try again.")


def say(message: str) -> None:
    """Print a message to standard error."""
    sys.stderr.write(message + "\n")


def main() -> None:
    """Install what is missing."""
    if sys.version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        sys.exit(
            f"Python {oldest} or newer is required, not {platform.python_version()}. Set PYTHON to choose another one."
        )
    if is_installed():
        return  # also for users who can't write here
    try:
        lock = (ROOT / ".install.lock").open("w")
    except OSError as failure:
        sys.exit(f"{failure.filename} cannot be written ({failure.strerror}). Packages are installed into this folder.")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed():
            install()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the same command to start over.")
