// The official MCP client, once through: `node driver.mjs URL TOKEN [_META HEADERS]`, both JSON of what a liar would add.
//
// It initializes, lists tools, calls those that it knows, and prints one JSON object of what it saw. It ends with 1 and
// `{"failed": …}` if anything does not work.
//
// | tool | what is done with it |
// | --- | --- |
// | `echo`, `whoami` | called |
// | `trigger-long-running-operation` | called; it reports progress before it answers |
// | `hold` | called; it answers only once `release` is called with the key that it reports as its progress |
//
// So with `hold` a stream that somebody on the way holds back never ends.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const LONG = "trigger-long-running-operation";
const [url, token, meta = "{}", more = "{}"] = process.argv.slice(2);

const statuses = [];
const counting = async (target, init) => {
  const response = await fetch(target, init);
  statuses.push(`${init?.method ?? "GET"} ${response.status} ${kindOf(response)}`);
  return response;
};
const kindOf = (response) => response.headers.get("content-type")?.split(";")[0] ?? "-";

async function drive() {
  const client = new Client({ name: "driver", version: "1.0.0" });
  const headers = { ...JSON.parse(more), Authorization: `Bearer ${token}` };
  const options = { requestInit: { headers }, fetch: counting };
  const transport = new StreamableHTTPClientTransport(new URL(url), options);
  await client.connect(transport);
  const seen = {
    server: client.getServerVersion().name,
    protocol: transport.protocolVersion,
    stateful: transport.sessionId !== undefined,
    tools: (await client.listTools()).tools.map((tool) => tool.name),
  };
  const call = async (name, args, options) => {
    const params = { name, arguments: args, _meta: JSON.parse(meta) };
    const answer = await client.callTool(params, undefined, options);
    return answer.content[0].text;
  };
  if (seen.tools.includes("echo")) {
    seen.echo = await call("echo", { message: "over and out" });
  }
  if (seen.tools.includes("whoami")) {
    seen.whoami = JSON.parse(await call("whoami", {}));
  }
  if (seen.tools.includes(LONG)) {
    seen.progress = [];
    const onprogress = ({ progress, total }) => seen.progress.push(`${progress}/${total}`);
    seen.long = await call(LONG, { duration: 0.3, steps: 3 }, { onprogress });
  }
  if (seen.tools.includes("hold")) {
    let released;
    const onprogress = ({ progress: key }) => (released = call("release", { key }));
    seen.held = await call("hold", {}, { onprogress, timeout: 10_000 });
    seen.released = await released;
  }
  if (seen.stateful) {
    await transport.terminateSession();
  }
  await client.close();
  return { ...seen, statuses };
}

try {
  console.log(JSON.stringify(await drive()));
} catch (error) {
  console.log(JSON.stringify({ failed: String(error), code: error.code, statuses }));
  process.exitCode = 1;
}
