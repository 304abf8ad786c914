// An MCP server that says what it was told about its caller: `node whoami.mjs`, then `listening on URL`.
//
// | tool | answers |
// | --- | --- |
// | `whoami` | the headers and the `_meta` of the call, as the SDK's server side shows them to a tool |
// | `hold` | reports progress, which is a key, and answers only once `release` is called with it |
//
// With `JWKS ISSUER` as arguments `whoami` also checks the bearer token of its call as a resource server does (RFC 9068 §4),
// its own URL being the audience, and answers with the token's claims, or why they do not count.

import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { createRemoteJWKSet, jwtVerify } from "jose";

const [jwks, issuer] = process.argv.slice(2);
const keys = jwks && createRemoteJWKSet(new URL(jwks));

async function claims(headers) {
  const token = headers.authorization?.replace(/^Bearer /, "");
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience: url, typ: "at+jwt" });
    return payload;
  } catch (error) {
    return { refused: String(error.code ?? error) };
  }
}

const held = [];

const tools = {
  async whoami({ requestInfo: { headers }, _meta }) {
    const told = { headers, meta: _meta ?? null };
    return JSON.stringify(keys ? { ...told, claims: await claims(headers) } : told);
  },
  async hold({ _meta: { progressToken }, sendNotification }) {
    const released = new Promise((resolve) => held.push(resolve));
    const params = { progressToken, progress: held.length - 1, total: held.length };
    await sendNotification({ method: "notifications/progress", params });
    return released;
  },
  async release(_extra, { key }) {
    held[key]("released");
    return "done";
  },
};

function whoami() {
  const server = new Server({ name: "whoami", version: "1.0.0" }, { capabilities: { tools: {} } });
  const list = Object.keys(tools).map((name) => ({ name, inputSchema: { type: "object" } }));
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: list }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const text = await tools[params.name](extra, params.arguments);
    return { content: [{ type: "text", text }] };
  });
  return server;
}

const http = createServer(async (request, response) => {
  if (request.method !== "POST") {
    response.writeHead(405, { allow: "POST" }).end();
    return;
  }
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => transport.close());
  await whoami().connect(transport);
  await transport.handleRequest(request, response);
});
let url;
http.listen(0, "127.0.0.1", () => {
  url = `http://127.0.0.1:${http.address().port}/mcp`;
  console.log(`listening on ${url}`);
});
