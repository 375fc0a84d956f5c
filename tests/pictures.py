"""Makes the pictures that the README shows, of the real thing: python -m tests.pictures"""

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from app.settings import ROOT
from tests.browser import chromium
from tests.databases import create_database, drop_database
from tests.examples.storefront import Shop, demo_shop, require_packages
from tools.postgres import embedded_postgres

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = ROOT / "docs" / "pictures"
QUERY = """query Torches {
  products(filter: { search: "creme" }) {
    totalCount
    nodes {
      name
      price { amount currency }
      stock
      store { name city }
    }
  }
}
"""


def main() -> None:
    """Take each picture anew."""
    require_packages()
    PICTURES.mkdir(exist_ok=True)
    with _shop() as shop, chromium() as browser:
        _graphiql(browser, shop)
        _storefront(browser, shop)


@contextmanager
def _shop() -> Iterator[Shop]:
    url = os.environ.get("DATABASE_URL")
    with nullcontext(url) if url else embedded_postgres(ROOT / ".data" / "test-postgres") as server_url:
        database_url = create_database(server_url, f"orders_pictures_{os.getpid()}")
        with demo_shop(database_url) as shop:
            yield shop
        drop_database(database_url)


def _open(browser: "Browser", url: str, width: int, height: int) -> "Page":
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.goto(url)
    return page


def _graphiql(browser: "Browser", shop: Shop) -> None:
    page = _open(browser, f"{shop.api}/graphql?{urlencode({'query': QUERY})}", 1200, 528)
    page.get_by_role("button", name="Hide editor tools").click()
    page.get_by_role("button", name="Execute query").click()
    page.locator(".graphiql-response").filter(has_text='"totalCount"').wait_for()
    page.wait_for_timeout(500)  # until nothing moves
    page.screenshot(path=PICTURES / "graphiql.png")


def _storefront(browser: "Browser", shop: Shop) -> None:
    """The catalogue, and before it an order of which a part has been fulfilled, on a phone."""
    catalogue = _open(browser, shop.url, 1200, 760)
    catalogue.get_by_text("Madeleine tin").wait_for()
    phone = _open(browser, f"{shop.url}/orders", 364, 600)
    phone.get_by_role("button", name="Cosmo, a customer").click()
    phone.get_by_role("listitem").filter(has_text="Partly fulfilled").get_by_role("link").first.click()
    phone.get_by_text("This order is").wait_for()
    phone.wait_for_timeout(1000)  # until nothing moves
    catalogue.evaluate(
        """picture => {
          const image = document.createElement("img");
          image.src = `data:image/png;base64,${picture}`;
          image.style = "position: fixed; right: 2rem; bottom: 1.5rem; border-radius: 1.5rem;"
            + "border: 8px solid #1c211e; box-shadow: 0 0.5rem 2rem #0004";
          document.body.append(image);
          return image.decode();
        }""",
        b64encode(phone.screenshot()).decode(),
    )
    catalogue.screenshot(path=PICTURES / "storefront.png")


if __name__ == "__main__":
    main()
