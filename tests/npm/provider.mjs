// An OpenID provider and its neighbours, all on one loopback address: `node provider.mjs [SECONDS]`, then `listening on URL`.
// Access tokens live for so many seconds, 600 if nothing is said.
//
// The provider is the npm package `oidc-provider`: discovery, JWKS, refresh tokens that rotate, JWT access tokens for one
// resource each (RFC 8707, RFC 9068), introspection, revocation. Beside it:
//
// | what | who asks |
// | --- | --- |
// | token exchange at the token endpoint (RFC 8693) | a gateway in mode `exchange` |
// | `POST /issue` `{"user_id","tenant_id","app_id","audience","user_type"}` → `{"token","expires_at"}` | a gateway in mode `idp_token` |
// | `POST /test/link` `{"account","resource"}` → a first pair of tokens, as after a browser's sign-in | a test |
// | `POST /test/subjects` `{"subject_token","account"}`: whose token the exchange takes it for | a test |
// | `POST /test/refuse` `{"user_id","status"}`: what `/issue` answers instead | a test |
// | `GET /test/counts` → how many of each were served and refused | a test |

import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";
import { EXCHANGE, PARAMETERS, exchange } from "./exchange.mjs";

const CLIENT = { id: "gateway", secret: "gateway-secret-of-the-tests-0123456789" };
const TOOLS = "tools:read tools:call";
const SCOPES = `openid offline_access ${TOOLS}`;
const ttl = Number(process.argv[2] ?? 600);
const counts = {
  refreshed: 0,
  refresh_refused: 0,
  exchanged: 0,
  exchange_refused: 0,
  issued: 0,
  issue_refused: 0,
};
const subjects = new Map();
const refused = new Map();

const keys = await generateKeyPair("RS256", { extractable: true });
const http = createServer((request, response) => handle(request, response));
await new Promise((listening) => http.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${http.address().port}`;

const server = (resource) => ({ scope: TOOLS, audience: resource, accessTokenFormat: "jwt", accessTokenTTL: ttl });
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: CLIENT.id,
      client_secret: CLIENT.secret,
      token_endpoint_auth_method: "client_secret_basic",
      grant_types: ["authorization_code", "refresh_token", EXCHANGE],
      redirect_uris: [`${issuer}/callback`],
      scope: SCOPES,
    },
  ],
  scopes: SCOPES.split(" "),
  jwks: { keys: [{ ...(await exportJWK(keys.privateKey)), alg: "RS256", use: "sig", kid: "test-1" }] },
  cookies: { keys: ["not a secret"] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  rotateRefreshToken: true,
  extraTokenClaims: (_ctx, token) => token.extra,
  ttl: { AccessToken: ttl, Grant: 86_400, IdToken: ttl, RefreshToken: 86_400 },
  features: {
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: (_ctx, resource) => server(resource) },
  },
});
provider.registerGrantType(EXCHANGE, exchange({ token, subjects }), PARAMETERS, ["audience", "resource"]);
const tally = (ctx, of) => {
  const grant = ctx.oidc?.params?.grant_type;
  const [good, bad] = grant === EXCHANGE ? ["exchanged", "exchange_refused"] : ["refreshed", "refresh_refused"];
  counts[of === "good" ? good : bad] += 1;
};
provider.on("grant.success", (ctx) => tally(ctx, "good"));
provider.on("grant.error", (ctx) => tally(ctx, "bad"));
const standard = provider.callback();

// A JWT access token for one resource.
async function token(account, resource, scope, extra = {}) {
  const client = await provider.Client.find(CLIENT.id);
  const made = new provider.AccessToken({ accountId: account, client, gty: "test", scope, extra });
  made.resourceServer = new provider.ResourceServer(resource, server(resource));
  made.expiresIn = ttl;
  return { value: await made.save(), expiresIn: ttl };
}

// What a browser's sign-in leaves behind.
async function link({ account, resource }) {
  const client = await provider.Client.find(CLIENT.id);
  const grant = new provider.Grant({ accountId: account, clientId: CLIENT.id });
  grant.addOIDCScope("openid offline_access");
  grant.addResourceScope(resource, TOOLS);
  const grantId = await grant.save();
  const first = { gty: "authorization_code", scope: SCOPES, resource: [resource], expiresWithSession: false };
  const refresh = new provider.RefreshToken({ accountId: account, client, grantId, ...first });
  const { value, expiresIn } = await token(account, resource, TOOLS);
  const pair = { access_token: value, refresh_token: await refresh.save() };
  return [200, { ...pair, token_type: "Bearer", expires_in: expiresIn }];
}

async function issue(question) {
  const names = ["user_id", "tenant_id", "app_id", "audience", "user_type"];
  const texts = names.every((name) => typeof question[name] === "string");
  const whole = texts && Object.keys(question).length === names.length;
  const status = whole && question.user_id ? refused.get(question.user_id) : 400;
  counts[status ? "issue_refused" : "issued"] += 1;
  if (status) {
    return [status, { error: "refused" }];
  }
  const { user_id: account, audience, ...extra } = question;
  const { value, expiresIn } = await token(account, audience, TOOLS, extra);
  return [200, { token: value, expires_at: Math.floor(Date.now() / 1000) + expiresIn }];
}

const noted = (map, key, value) => (question) => [200, { known: map.set(question[key], question[value]).size }];
const routes = {
  "POST /issue": issue,
  "POST /test/link": link,
  "POST /test/subjects": noted(subjects, "subject_token", "account"),
  "POST /test/refuse": noted(refused, "user_id", "status"),
  "GET /test/counts": () => [200, counts],
};

async function handle(request, response) {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) {
    return standard(request, response);
  }
  let text = "";
  for await (const piece of request) {
    text += piece;
  }
  const [status, answer] = await Promise.resolve()
    .then(() => route(JSON.parse(text || "{}")))
    .catch((error) => [400, { error: String(error) }]);
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
}

console.log(`client ${CLIENT.id} ${CLIENT.secret}`);
console.log(`listening on ${issuer}`);
