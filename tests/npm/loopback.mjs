// For servers of others' making: `node --import ./loopback.mjs SCRIPT` lets what the script opens be a free port of this
// machine alone, and says `listening on URL`.

import net from "node:net";

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...given) {
  this.once("listening", () => console.log(`listening on http://127.0.0.1:${this.address().port}/mcp`));
  const told = given.filter((one) => typeof one === "function");
  return listen.call(this, 0, "127.0.0.1", ...told);
};
