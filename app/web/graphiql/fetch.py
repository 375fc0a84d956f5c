"""Installs the page's third-party files: `python -m app.web.graphiql.fetch`."""

import os
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from app.web.graphiql import Asset, assets

TIMEOUT_SECONDS = 120

cli = typer.Typer(add_completion=False)


class UnavailableError(Exception):
    """The packages cannot be downloaded."""


class TamperedError(Exception):
    """A package doesn't match packages.json."""


@cli.command()
def main(optional: Annotated[bool, typer.Option("--optional", help="Succeed without npm or network.")] = False) -> None:
    """Install the files of GraphiQL; it needs no network afterwards."""
    try:
        typer.echo("GraphiQL: installed." if install() else "GraphiQL: already installed.")
    except UnavailableError as reason:
        typer.echo(f"GraphiQL: {reason} The API works without it; `make graphiql` tries again.", err=True)
        raise typer.Exit(0 if optional else 1) from None
    except TamperedError as reason:
        typer.echo(f"GraphiQL: {reason} Nothing was installed.", err=True)
        raise typer.Exit(1) from None


def install() -> bool:
    """Install every file, or none if one doesn't match; return False if all are installed already."""
    if all(asset.location.is_file() and asset.holds(asset.location.read_bytes()) for asset in assets()):
        return False
    with TemporaryDirectory() as folder:
        _download({asset.spec for asset in assets()}, Path(folder))
        contents = {asset: _verified(asset, Path(folder)) for asset in assets()}
    for asset, content in contents.items():
        asset.location.parent.mkdir(parents=True, exist_ok=True)
        draft = asset.location.with_name(f".{asset.location.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(asset.location)  # so that no reader sees half of it
    return True


def _download(specs: Iterable[str], folder: Path) -> None:
    """Download the tarballs of the packages into `folder` with npm."""
    command = ["npm", "pack", "--ignore-scripts", "--silent", "--fetch-retries=1", *sorted(specs)]
    quiet = subprocess.DEVNULL  # npm's output names the registry, which may be private
    try:
        subprocess.run(
            command, cwd=folder, timeout=TIMEOUT_SECONDS, check=True, stdin=quiet, stdout=quiet, stderr=quiet
        )
    except OSError:
        raise UnavailableError("npm is not installed; it comes with Node.js.") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"npm did not finish within {TIMEOUT_SECONDS} seconds.") from None
    except subprocess.CalledProcessError:
        raise UnavailableError("npm could not download the packages; check the network.") from None


def _verified(asset: Asset, folder: Path) -> bytes:
    """Return the file's content from the package's tarball if it matches the pinned hash."""
    # So `npm pack` names it: a scope loses its `@` and slash.
    tarball = folder / f"{asset.package.removeprefix('@').replace('/', '-')}-{asset.version}.tgz"
    member = f"package/{asset.file}"
    try:
        with tarfile.open(tarball) as archive:
            file = archive.extractfile(member)
            content = file.read() if file else b""
    except (OSError, EOFError, KeyError, tarfile.TarError):
        raise TamperedError(f"{tarball.name} has no readable {member}.") from None
    if not asset.holds(content):
        raise TamperedError(f"{asset.path} does not match packages.json.")
    return content


if __name__ == "__main__":
    cli()
