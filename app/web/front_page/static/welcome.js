"use strict";

// Keeps the part of the page that changes as it is now, while somebody looks at it.
(() => {
  const EVERY = 3000;
  let shown = "";
  let timer;

  async function refresh() {
    const text = await told();
    const next = text === null ? null : shopIn(text);
    const shop = document.getElementById("shop");
    shop.classList.toggle("stale", next === null);
    shop.querySelector(".state").textContent = next === null ? "a while ago" : "now";
    if (next !== null && text !== shown) replace(shop, next);
    shown = next === null ? "" : text;
    plan();
  }

  /** What the server answers; null where there is none, and what is shown is old. */
  async function told() {
    try {
      return await (await fetch("/welcome/shop", { cache: "no-cache" })).text();
    } catch {
      return null;
    }
  }

  /** The shop in an answer; null where it is another's, such as of a proxy whose server is gone. */
  function shopIn(text) {
    return new DOMParser().parseFromString(text, "text/html").getElementById("shop");
  }

  /** Show the new state, and for a moment what is different in it. */
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

  function plan() {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(refresh, EVERY);
  }

  // Only the browser knows under which name it came here; what is shown can be copied as it is.
  for (const here of document.querySelectorAll(".here")) here.replaceWith(location.origin);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  plan();
})();
