//! No credential that is minted, stored or sent on comes out anywhere but at the upstream it is for.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod forwarding;
#[path = "support/leaks.rs"]
#[expect(dead_code, reason = "shared with tests/leaks.rs, which needs more of it")]
mod leaks;
#[path = "support/minting.rs"]
#[expect(dead_code, reason = "shared with tests/minted, which needs more of it")]
mod support;

use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_bearer::Secret;
use tower_bearer::forward::{
    Actor, Exchange, ForwardOptions, IdpToken, Passthrough, SubjectFrom, UserOidc,
};
use tower_bearer::id::{AccountId, TokenId};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{BearerCheck, BearerStack, IdentityForward};
use tower_bearer::store::{IssueAnswer, RefreshAnswer, TokenRecord, TypedToken, UserLink};
use tower_bearer::subject::Subject;

use forwarding::{Recorder, request};
use leaks::{CANARY, Watch};
use support::*;

const TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// One of these stands in every secret text.
fn canary(name: &str) -> String {
    format!("{CANARY}-{name}")
}

#[tokio::test(start_paused = true)]
async fn no_credential_comes_out() {
    let watch = Watch::default();
    tracing::subscriber::set_global_default(watch.clone()).unwrap();
    watch.panics();
    let presented = format!("tba_{CANARY}");
    watch.keep_token_secret(&presented);
    let mut statuses = std::collections::BTreeSet::new();
    for case in cases() {
        let house = House::new();
        let alice = Subject::Account { id: AccountId::new("acc-alice").unwrap() };
        let id = TokenId::new("tok-alice").unwrap();
        let row = TokenRecord::new(id, "account", alice, house.at(3_600));
        let row = match case {
            "elsewhere" => row,
            _ => row.with_audiences(vec![AUDIENCE.to_owned()]),
        };
        house.tokens.put(&presented, row);
        for (mode, options) in modes(&house, case) {
            let place = format!("{mode} {case}");
            watch.look_at(&place, &options);
            let forward = IdentityForward::new(options.build().unwrap());
            watch.look_at(&place, &forward);
            let upstream = Recorder::new();
            let stack = BearerStack::new(BearerCheck::new(&house.auth));
            let stack = stack.forward_identity(forward.clone()).without_bodies();
            let service = stack.layer(upstream.clone());
            let value = format!("Bearer {presented}");
            for _ in 0..2 {
                let asked = request("/", &[("authorization", &value)]);
                let response = service.clone().oneshot(asked).await.unwrap();
                statuses.insert(response.status().as_u16());
                watch.look_at(&place, &response);
                if let Some(refusal) = response.extensions().get::<Rejection>() {
                    watch.look_at_error(&place, refusal);
                }
                for head in upstream.take() {
                    watch.look_at(&place, &head); // sensitive values are not printed
                }
            }
            let context = house.auth.authenticate(&presented).await.unwrap();
            let mut outgoing = request("https://mcp.example.com/mcp", &[]);
            let inbound = request("/", &[("authorization", &value)]);
            context.dangerously_attach_with_token(inbound.headers(), outgoing.extensions_mut());
            watch.look_at(&place, &outgoing);
            let client = forward.client_side().layer(upstream.clone());
            watch.look_at(&place, &client.oneshot(outgoing).await.unwrap());
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }
    let typed = TypedToken::new(Secret::new(canary("typed")), TYPE);
    watch.look_at("a typed token", &typed);
    watch.look_at("an actor", &Actor::new("svc", canary("actor"), TYPE));
    watch.look_at("a link", &link(-1));
    for wanted in [200, 401, 403, 503, 504] {
        assert!(statuses.contains(&wanted), "no {wanted} among {statuses:?}");
    }
    let hits = watch.hits();
    assert!(watch.places() > 1_000, "the harness looked at {} places", watch.places());
    assert!(hits.is_empty(), "FM4, F104, F173: {} hits: {hits:#?}", hits.len());
}

fn cases() -> [&'static str; 9] {
    ["answers", "nothing", "no", "fails", "hangs", "panics", "refuses us", "elsewhere", "unsaved"]
}

fn modes(house: &House, case: &str) -> Vec<(&'static str, ForwardOptions)> {
    let issuer = || {
        Minting::playing([match case {
            "fails" => Play::Fail { may_retry: true },
            "hangs" => Play::Hang,
            "panics" => Play::Panic,
            "no" => Play::Answer(IssueAnswer::LoginRequired),
            "refuses us" => Play::Answer(IssueAnswer::RefusesUs),
            "nothing" => token(&format!("{} ", canary("invalid"))),
            _ => token(&canary("minted")),
        }])
    };
    let provider = Provider::playing([match case {
        "fails" => Play::Fail { may_retry: false },
        "hangs" => Play::Hang,
        "panics" => Play::Panic,
        "no" => Play::Answer(RefreshAnswer::Gone),
        "refuses us" => Play::Answer(RefreshAnswer::RefusesUs),
        _ => fresh(&canary("fresh"), Some(&canary("new-refresh"))),
    }]);
    let links = Links::default();
    if case != "nothing" {
        links.rows.put(&key_of("acc-alice"), "idp", link(-1));
    }
    if case == "unsaved" {
        links.refuse_pairs(3);
    }
    let oidc = UserOidc::new(&house.auth, "idp", links, provider);
    let oidc = match case {
        "elsewhere" => oidc.for_audience("https://elsewhere.example"),
        _ => oidc.dangerously_any_audience(),
    };
    let actor = Actor::new("svc", canary("actor"), TYPE);
    let exchange = Exchange::new(&house.auth, issuer()).actor(actor);
    let by_link = Exchange::new(&house.auth, issuer())
        .subject_token(SubjectFrom::user_link(oidc.clone(), TYPE));
    let idp = IdpToken::new(&house.auth, issuer());
    let all = [
        ("idp_token", ForwardOptions::idp_token(upstream(), idp)),
        ("exchange", ForwardOptions::exchange(upstream(), exchange)),
        ("exchange of a link", ForwardOptions::exchange(upstream(), by_link)),
        ("user_oidc", ForwardOptions::user_oidc(upstream(), oidc)),
        ("passthrough", ForwardOptions::passthrough(upstream(), Passthrough::new(AUDIENCE))),
    ];
    all.map(|(mode, options)| (mode, in_a_set_of_its_own(options))).into()
}

fn link(expires_in: i64) -> UserLink {
    let mut link = UserLink::new(canary("old"));
    link.refresh_token = Some(canary("old-refresh").into());
    let ends = 1_700_000_000_u64.saturating_add_signed(expires_in);
    link.expires_at = Some(tower_bearer::clock::Timestamp::from_secs(ends));
    link
}
