/* The first page: what this is, what it costs, and one way on. */

import { one } from "./dom.js";
import { chooseTongue } from "./tongues.js";
import { Wallet } from "./wallet.js";

const wallet = new Wallet();
const draw = () => wallet.draw(one("wallet"));

chooseTongue(draw);
wallet.load().catch(() => {}).then(draw); // A key, if one is needed, is asked for on the call page.
