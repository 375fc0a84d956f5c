"""Sets up what `make` needs: a virtual environment with the pinned packages, and GraphiQL's files where npm is.

Runs on the bare interpreter, so it imports nothing but the standard library. Does nothing where all is in place;
of several that run at once, one does the work and the others wait for it.
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
    """Return what an installation is known by: the interpreter and everything that is pinned."""
    pins = LOCK.read_bytes() + GRAPHIQL.read_bytes()
    return f"{platform.python_implementation()} {platform.python_version()} {hashlib.sha256(pins).hexdigest()}"


def is_installed() -> bool:
    """Tell whether the environment holds what is wanted."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted()


def install() -> None:
    """Make the environment anew."""
    say("Installing the pinned packages into .venv (once, about half a minute) …")
    try:
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot make virtual environments: install its venv package (Debian: python3-venv).")
    run("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK))
    run("-m", "app.web.graphiql.fetch", "--optional")
    STAMP.write_text(wanted())


def run(*arguments: str) -> None:
    """Run the environment's interpreter; end where it fails, which it has said."""
    done = subprocess.run([PYTHON, *arguments], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit("The installation did not succeed, for the reason above. The same command tries again.")


def say(message: str) -> None:
    """Tell the user what takes its time."""
    sys.stderr.write(message + "\n")


def main() -> None:
    """Install what is missing."""
    if sys.version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        sys.exit(f"Python {oldest} or newer is needed, not {platform.python_version()}: PYTHON=… chooses it.")
    if is_installed():
        return  # also for a user who may not write here
    try:
        lock = (ROOT / ".install.lock").open("w")
    except OSError as failure:
        sys.exit(f"{failure.filename} cannot be written ({failure.strerror}): packages are installed into this folder.")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed():
            install()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command begins anew.")
