/* The bill of a call: waited for on the channel, asked for over HTTP, drawn as a receipt. */

import { read } from "./api.js";
import { make } from "./dom.js";
import { clock, minutes, money, number, say } from "./words.js";

const POLL_MS = 700;
const POLLS_MAX = 15;

const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The closed call as the server keeps it: {reason, bill}; null when it stays open too long.
 * A call that the server no longer knows was never connected, and costs nothing. */
export async function askForBill(callId) {
  for (let poll = 0; poll < POLLS_MAX; poll += 1) {
    try {
      const call = await read(`/v1/calls/${callId}`, { seconds: 5 });
      if (call.state === "closed") return call;
    } catch (failure) {
      if (failure.status === 404 && poll >= 3) return { bill: null };
    }
    await rest(POLL_MS);
  }
  return null;
}

function row(words, value, className = "") {
  return make("div", className, make("dt", "", say(words)), make("dd", "", value));
}

/** The balance in words: free minutes and money, whichever there is. */
export function balanceWords(freeMinutes, amount, currency) {
  const parts = [];
  if (freeMinutes > 0) parts.push(minutes(freeMinutes));
  if (amount > 0) parts.push(money(amount, currency));
  return parts.join(" · ") || money(0, currency);
}

/** The rows of a receipt. Amounts are in minor units. */
export function receipt(bill) {
  const each = bill.billed_minutes ? bill.billed_amount / bill.billed_minutes : 0;
  const price = `${number(bill.billed_minutes)} × ${money(each, bill.currency)} = `
    + money(bill.billed_amount, bill.currency);
  const rows = [
    row("bill.duration", clock(bill.duration_sec)),
    row("bill.minutes", number(bill.billed_minutes), "billed-minutes"),
    row("bill.price", price),
  ];
  if (bill.paid_minutes) rows.push(row("bill.free", minutes(bill.paid_minutes)));
  rows.push(row("bill.total", money(bill.paid_amount, bill.currency), "total"));
  rows.push(row("bill.balance",
    balanceWords(bill.balance_minutes, bill.balance_amount, bill.currency), "left"));
  return rows;
}
