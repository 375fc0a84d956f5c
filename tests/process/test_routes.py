"""Probes, pages and files answer GET and HEAD, and nothing else."""

import httpx2
import pytest

from app.web.front_page.page import FILES
from tests.api import Api


@pytest.fixture
def paths() -> list[str]:
    files = [f"/welcome/assets/{file.path}" for file in FILES]
    return ["/livez", "/readyz", "/", "/welcome/shop", "/metrics", *files]


async def test_get_and_head_are_answered_alike_and_other_methods_are_not_allowed(api: Api, paths: list[str]) -> None:
    for path in paths:
        answers: dict[str, httpx2.Response] = {
            method: await api.client.request(method, path) for method in ("GET", "HEAD", "POST", "DELETE")
        }
        codes = {method: answer.status_code for method, answer in answers.items()}
        assert codes == {"GET": 200, "HEAD": 200, "POST": 405, "DELETE": 405}, path
        assert answers["GET"].headers["content-type"] == answers["HEAD"].headers["content-type"]


async def test_probes_are_plain_text(api: Api) -> None:
    for path, text in (("/livez", "alive"), ("/readyz", "ready")):
        answer = await api.client.get(path)
        assert answer.text.split(",")[0] == text
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
