"""Installs the page's third-party files: `python -m app.web.graphiql.fetch`."""

import os
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from app.web.graphiql.manifest import Asset, assets

TIMEOUT_SECONDS = 120
NPM_PACK = ("npm", "pack", "--ignore-scripts", "--silent", "--fetch-retries=1")

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
    if all(map(_is_installed, assets())):
        return False
    with TemporaryDirectory() as folder:
        _download({asset.spec for asset in assets()}, Path(folder))
        contents = {asset: _verified(asset, Path(folder)) for asset in assets()}
    _write(contents)
    return True


def _is_installed(asset: Asset) -> bool:
    return asset.location.is_file() and asset.holds(asset.location.read_bytes())


def _download(specs: Iterable[str], folder: Path) -> None:
    """Download the tarballs of the packages into `folder` with npm."""
    try:
        subprocess.run(
            [*NPM_PACK, *sorted(specs)],
            cwd=folder,
            timeout=TIMEOUT_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
            # npm's output names the registry, which may be private.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        raise UnavailableError("npm is not installed; it comes with Node.js.") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"npm did not finish within {TIMEOUT_SECONDS} seconds.") from None
    except subprocess.CalledProcessError:
        raise UnavailableError("npm could not download the packages; check the network.") from None


def _verified(asset: Asset, folder: Path) -> bytes:
    """Return the file's content from the package's tarball if it matches the pinned hash."""
    content = _read_member(folder / _tarball(asset), f"package/{asset.file}")
    if not asset.holds(content):
        raise TamperedError(f"{asset.path} does not match packages.json.")
    return content


def _tarball(asset: Asset) -> str:
    """Return the file name that `npm pack` gives a package: a scope loses its `@` and slash."""
    return f"{asset.package.removeprefix('@').replace('/', '-')}-{asset.version}.tgz"


def _read_member(tarball: Path, member: str) -> bytes:
    """Read one file of the tarball without unpacking the rest."""
    try:
        with tarfile.open(tarball) as archive:
            file = archive.extractfile(member)
            return file.read() if file else b""
    except (OSError, EOFError, KeyError, tarfile.TarError):
        raise TamperedError(f"{tarball.name} has no readable {member}.") from None


def _write(contents: Mapping[Asset, bytes]) -> None:
    """Replace each file atomically, so that no reader sees half of it."""
    for asset, content in contents.items():
        asset.location.parent.mkdir(parents=True, exist_ok=True)
        draft = asset.location.with_name(f".{asset.location.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(asset.location)


if __name__ == "__main__":
    cli()
