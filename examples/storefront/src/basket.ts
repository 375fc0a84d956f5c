import { kept } from "./kept";

/** What is wanted of each product, and the Idempotency-Key under which it is ordered. */
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

/** Another basket is another order, and so is another attempt after an answer. Without an answer it is the same one. */
export function renewKey(quantities = basket.get().quantities) {
  basket.set({ key: crypto.randomUUID(), quantities });
}
