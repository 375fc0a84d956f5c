"use strict";

// Keeps the part of the page that changes as it is now, while somebody looks at it.
(() => {
  const EVERY = 3000;
  let shown = "";
  let timer;

  async function refresh() {
    let text = null;
    try {
      const response = await fetch("/welcome/shop", { cache: "no-cache" });
      if (response.ok || response.status === 503) text = await response.text();
    } catch {
      // No server, no network: what is shown is told to be old.
    }
    const shop = document.getElementById("shop");
    shop.classList.toggle("stale", text === null);
    shop.querySelector(".state").textContent = text === null ? "a while ago" : "now";
    if (text !== null && text !== shown) replace(shop, text);
    shown = text ?? "";
    plan();
  }

  /** Show the new state, and for a moment what is different in it. */
  function replace(shop, text) {
    const next = new DOMParser().parseFromString(text, "text/html").getElementById("shop");
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
