// Token exchange (RFC 8693) as a grant of `oidc-provider`, which has none of its own.
//
// The form is judged as §2.1 says; a subject token counts if a test has said whose it is. The answer is a JWT access token for
// the one resource or audience that was asked for, with `issued_token_type` (§2.2.1) and, if there was an actor, `act` (§4.1).

import { errors } from "oidc-provider";

export const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPE = "urn:ietf:params:oauth:token-type:";
export const PARAMETERS = [
  "subject_token",
  "subject_token_type",
  "requested_token_type",
  "audience",
  "resource",
  "scope",
  "actor_token",
  "actor_token_type",
];
const KNOWN = ["access_token", "refresh_token", "id_token", "jwt"].map((name) => TYPE + name);

export const exchange = ({ token, subjects }) => async (ctx) => {
  const { subject_token, subject_token_type, requested_token_type, audience, resource } = ctx.oidc.params;
  const { scope, actor_token, actor_token_type } = ctx.oidc.params;
  if (!subject_token || !KNOWN.includes(subject_token_type)) {
    throw new errors.InvalidRequest("subject_token and a known subject_token_type are required");
  }
  if ((actor_token === undefined) !== (actor_token_type === undefined)) {
    throw new errors.InvalidRequest("actor_token and actor_token_type come together");
  }
  const issued = requested_token_type ?? `${TYPE}access_token`;
  if (![`${TYPE}access_token`, `${TYPE}jwt`].includes(issued)) {
    throw new errors.InvalidRequest("requested_token_type is not supported");
  }
  const targets = new Set([audience, resource].flat().filter((target) => target !== undefined));
  const [target] = targets;
  if (targets.size !== 1 || !URL.canParse(target) || target.includes("#")) {
    throw new errors.InvalidTarget("exactly one target, an absolute URI without fragment");
  }
  const account = subjects.get(subject_token);
  if (!account) {
    throw new errors.InvalidGrant("the subject token is unknown");
  }
  const act = actor_token && { act: { sub: subjects.get(actor_token) ?? "unknown" } };
  const { value, expiresIn } = await token(account, target, scope ?? "tools:read tools:call", act);
  ctx.body = { access_token: value, issued_token_type: issued, token_type: "Bearer", expires_in: expiresIn, scope };
};
