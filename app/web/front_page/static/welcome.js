"use strict";

// Refreshes the shop while the page is visible.
(() => {
  const EVERY = 3000;
  let shown = "";
  let timer;

  async function refresh() {
    const text = await fetched();
    const next = text === null ? null : shopIn(text);
    const shop = document.getElementById("shop");
    shop.classList.toggle("stale", next === null);
    shop.querySelector(".state").textContent = next === null ? "a while ago" : "now";
    if (next !== null && text !== shown) replace(shop, next);
    shown = next === null ? "" : text;
    schedule();
  }

  /** The server's response; null if it doesn't answer. */
  async function fetched() {
    try {
      return await (await fetch("/welcome/shop", { cache: "no-cache" })).text();
    } catch {
      return null;
    }
  }

  /** The shop in a response; null if another server sent it, such as a proxy without a backend. */
  function shopIn(text) {
    return new DOMParser().parseFromString(text, "text/html").getElementById("shop");
  }

  /** Show the new state, and highlight what changed. */
  function replace(shop, next) {
    const before = figures(shop);
    shop.replaceWith(next);
    for (const [key, element] of figures(next)) {
      const was = before.get(key)?.textContent;
      element.classList.toggle("changed", was !== undefined && was !== element.textContent);
    }
  }

  function figures(shop) {
    return new Map([...shop.querySelectorAll("[data-key]")].map((element) => [element.dataset.key, element]));
  }

  function schedule() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, EVERY);
  }

  // Only the browser knows the public address; with it, the example can be copied as it is.
  for (const here of document.querySelectorAll(".here")) here.replaceWith(location.origin);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  schedule();
})();
