import { kept } from "./kept";

/** The quantity of each product, and the Idempotency-Key to order them with. */
const basket = kept("basket", { key: crypto.randomUUID() as string, quantities: {} as Record<string, number> });

export const useBasket = basket.use;

export function put(productId: string, quantity: number) {
  renewKey({ ...basket.get().quantities, [productId]: quantity });
}

export function add(productId: string) {
  put(productId, (basket.get().quantities[productId] ?? 0) + 1);
}

export function remove(productId: string) {
  const { [productId]: _, ...others } = basket.get().quantities;
  renewKey(others);
}

/** Uses a new key when the basket changes, or after a response. A retry without a response keeps its key. */
export function renewKey(quantities = basket.get().quantities) {
  basket.set({ key: crypto.randomUUID(), quantities });
}
