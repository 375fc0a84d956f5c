"""The Chromium of the machine, for tests of what is shown in one; without it they skip themselves visibly."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.node import node_package

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Run a browser of the caller's own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def barriers(page: "Page", *others: str) -> list[str]:
    """What axe finds on the page that keeps people from using it, except within these elements, which others made."""
    page.evaluate((node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8"))
    result = page.evaluate("others => axe.run({ exclude: others.map(other => [other]) })", others)
    return [f"{found['help']}: {node['html']}" for found in result["violations"] for node in found["nodes"]]


# Chromium logs it whatever the page makes of it, which refreshes the token.
_STALE_TOKEN = "status of 401"


def watch(page: "Page") -> list[str]:
    """What goes wrong on the page, from now on: a list that grows."""
    complaints: list[str] = []

    def check_host(url: str) -> None:
        if not re.match(r"(https?|wss?)://127\.0\.0\.1:|data:", url):
            complaints.append(f"request to another host: {url}")

    def check_console(message: "ConsoleMessage") -> None:
        if message.type == "error" and _STALE_TOKEN not in message.text:
            complaints.append(message.text)

    page.on("request", lambda request: check_host(request.url))
    page.on("websocket", lambda websocket: check_host(websocket.url))
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("console", check_console)
    return complaints
