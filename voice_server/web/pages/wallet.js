/* The price of a minute and what the caller has to pay it with. */

import { read } from "./api.js";
import { balanceWords } from "./bill.js";
import { make } from "./dom.js";
import { minutes, money, say } from "./words.js";

export class Wallet {
  constructor() {
    this.known = null;
    this.failed = false;
  }

  /** Ask the server. A wallet that cannot be read is said to be so; it stops no call. */
  async load() {
    try {
      this.known = await read("/v1/wallet");
      this.failed = false;
    } catch (failure) {
      this.failed = true;
      if (failure.code === "unauthorized") throw failure;
    }
  }

  /** One line: the price, then what is left. */
  draw(element) {
    if (!this.known) {
      element.textContent = this.failed ? say("wallet.unknown") : "\u00a0";
      return;
    }
    const { minutes: free, amount, currency, price_per_minute: price } = this.known;
    const parts = [make("span", "", say("wallet.price", { price: money(price, currency) }))];
    if (free > 0) parts.push(make("strong", "", say("wallet.free", { minutes: minutes(free) })));
    if (amount > 0) {
      parts.push(make("span", "", say("wallet.money", { money: money(amount, currency) })));
    }
    if (parts.length === 1) parts.push(make("strong", "bad", say("wallet.empty")));
    element.replaceChildren(...parts);
  }

  /** The balance alone, for the top of the call page. */
  drawBalance(element) {
    if (!this.known) return;
    const { minutes: free, amount, currency } = this.known;
    element.textContent = balanceWords(free, amount, currency);
    element.title = say("wallet.balance");
  }
}
