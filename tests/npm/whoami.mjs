// An MCP server that says what it was told about its caller: `node whoami.mjs`, then `listening on URL`.
//
// | tool | answers |
// | --- | --- |
// | `whoami` | the headers and the `_meta` of the call, as the SDK's server side shows them to a tool |
// | `hold` | reports progress, which is a key, and answers only once `release` is called with it |
//
// After `POST /trust` `{"jwks","issuer"}` `whoami` also checks the token of its call, its own URL being the audience, and answers
// with the token's claims, or why they do not count: a bearer token as a resource server does (RFC 9068 §4), else the
// assertion of a gateway.

import { createServer } from "node:http";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { createRemoteJWKSet, jwtVerify } from "jose";

let trusted;

async function claims(headers) {
  const bearer = headers.authorization?.replace(/^Bearer /, "");
  const [token, typ] = bearer ? [bearer, "at+jwt"] : [headers["x-forwarded-user-assertion"], "identity+jwt"];
  try {
    const { payload } = await jwtVerify(token, trusted.keys, { issuer: trusted.issuer, audience: url, typ });
    return payload;
  } catch (error) {
    return { refused: String(error.code ?? error) };
  }
}

async function trust(request) {
  let text = "";
  for await (const piece of request) {
    text += piece;
  }
  const { jwks, issuer } = JSON.parse(text);
  trusted = { keys: createRemoteJWKSet(new URL(jwks)), issuer };
}

const held = [];

const tools = {
  async whoami({ requestInfo: { headers }, _meta }) {
    const told = { headers, meta: _meta ?? null };
    return JSON.stringify(trusted ? { ...told, claims: await claims(headers) } : told);
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
  if (request.url === "/trust") {
    await trust(request);
    response.writeHead(204).end();
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
