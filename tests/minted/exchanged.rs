//! Modes `exchange` and `passthrough`: the token that the request came with goes where it was meant to go, and nowhere else.

use http::HeaderName;
use tower::{Layer, ServiceExt};
use tower_bearer::clock::ManualClock;
use tower_bearer::forward::{Actor, Exchange, ForwardOptions, Passthrough, SubjectFrom, UserOidc};
use tower_bearer::stack::IdentityForward;
use tower_bearer::store::{TokenRecord, UserLink};

use super::forwarding::{Recorder, request, seen, send};
use super::support::*;

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn exchange(house: &House, issuer: &Minting) -> Exchange {
    Exchange::new(&house.auth, issuer.clone())
}

fn options(exchange: Exchange) -> ForwardOptions {
    in_a_set_of_its_own(ForwardOptions::exchange(upstream(), exchange))
}

#[tokio::test]
async fn the_new_token_goes_alone() {
    let (house, upstream) = (House::new(), Recorder::new());
    let issuer = Minting::playing([token("T")]);
    let service = house.service(options(exchange(&house, &issuer)), &upstream);
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "FJ10");
    let heads = upstream.take();
    assert_eq!(seen(&heads[0].headers), [("authorization", "Bearer T1")], "FJ10 one line");
    assert!(heads[0].headers["authorization"].is_sensitive(), "FJ10 sensitive");
    let shown = format!("{heads:?}");
    assert!(!shown.contains("tba_alice"), "FJ10, F132 the presented token nowhere upstream");
    let asked = issuer.asked();
    let subject = asked[0].subject_token.as_ref().unwrap();
    let told = (subject.secret.expose(), &*subject.token_type);
    assert_eq!(told, ("tba_alice", ACCESS_TOKEN), "F125");
    assert_eq!(verdict(&service, "tba_alice").await, (200, None));
    assert_eq!(issuer.calls(), 0, "F180 from the cache");
}

#[tokio::test]
async fn what_is_no_jwt_is_given_to_nobody() {
    let (house, upstream) = (House::new(), Recorder::new());
    for (name, token, want) in [
        ("FJ3 opaque", "tba_opaque", (401, Some("identity_reauth_required"))),
        ("FJ3 four parts", "tba_a.b.c.d", (401, Some("identity_reauth_required"))),
        ("F125 an empty part", "tba_a..c", (401, Some("identity_reauth_required"))),
        ("F125 three parts", "tba_a.b.c", (200, None)),
    ] {
        let subject = || tower_bearer::subject::Subject::Account {
            id: tower_bearer::id::AccountId::new("acc-alice").unwrap(),
        };
        let id = tower_bearer::id::TokenId::new("tok-1").unwrap();
        house.tokens.put(token, TokenRecord::new(id, "account", subject(), house.at(3_600)));
        let issuer = Minting::playing([super::support::token("T")]);
        let exchange = exchange(&house, &issuer).subject_token(SubjectFrom::presented(JWT));
        let service = house.service(options(exchange), &upstream);
        assert_eq!(verdict(&service, token).await, want, "{name}");
        assert_eq!(issuer.calls(), usize::from(want.0 == 200), "{name}");
    }
}

#[tokio::test]
async fn by_the_users_own_token() {
    let (house, upstream) = (House::new(), Recorder::new());
    let (issuer, links) = (Minting::playing([token("T")]), Links::default());
    let oidc =
        UserOidc::new(&house.auth, "idp", links.clone(), Provider::playing([fresh("f", None)]));
    let oidc = oidc.dangerously_any_audience();
    let from = SubjectFrom::user_link(oidc, ACCESS_TOKEN);
    let service = house.service(options(exchange(&house, &issuer).subject_token(from)), &upstream);
    let refused = verdict(&service, "tba_alice").await;
    assert_eq!(refused, (401, Some("identity_login_required")), "F125 no link");
    assert_eq!(issuer.calls(), 0, "F125 no link");
    links.rows.put(&key_of("acc-alice"), "idp", UserLink::new("own"));
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "F125");
    assert_eq!(issuer.asked()[0].subject_token.as_ref().unwrap().secret.expose(), "own", "F125");
    assert_eq!(credentials(&upstream), [["Bearer T1"]], "F132");
}

#[cfg(feature = "test-util")]
#[tokio::test]
async fn who_may_act() {
    use tower_bearer::AuthContext;
    let (house, recorder) = (House::new(), Recorder::new());
    let actor = Actor::new("svc-y", "the actor's token", ACCESS_TOKEN);
    for (name, may_act, want) in [
        ("FJ8", Some(r#"{"sub":"svc-x"}"#), (403, Some("identity_denied"))),
        ("F129 another shape", Some(r#"["svc-y"]"#), (403, Some("identity_denied"))),
        ("F129 itself", Some(r#"{"sub":"svc-y"}"#), (200, None)),
        ("F129 nobody said", None, (200, None)),
    ] {
        let issuer = Minting::playing([token("T")]);
        let from = SubjectFrom::user_link(
            {
                let links = Links::default();
                let alice = key_of("acc-test");
                links.rows.put(&alice, "idp", UserLink::new("own"));
                let provider = Provider::playing([fresh("f", None)]);
                UserOidc::new(&house.auth, "idp", links, provider).dangerously_any_audience()
            },
            ACCESS_TOKEN,
        );
        let exchange = exchange(&house, &issuer).subject_token(from).actor(actor.clone());
        let service = house.service(options(exchange), &recorder);
        let forged = AuthContext::forge().by(&house.auth);
        let forged = match may_act {
            Some(claim) => forged.may_act(claim),
            None => forged,
        };
        let mut request = request("/", &[]);
        forged.insert_into(request.extensions_mut());
        let (response, refusal) = send(service, request).await;
        let word = refusal.map(|refusal| refusal.kind().error());
        assert_eq!((response.status().as_u16(), word), want, "{name}");
        assert_eq!(issuer.calls(), usize::from(want.0 == 200), "{name}: nobody is asked");
        if let Some(asked) = issuer.asked().first() {
            let token = asked.actor_token.as_ref().unwrap();
            assert_eq!(token.secret.expose(), "the actor's token", "{name}");
        }
    }
}

#[tokio::test]
async fn passed_on_to_whom_it_was_made_for() {
    let mismatch = (403, Some("token_audience_mismatch"));
    for (name, audiences, want) in [
        ("FJ11 equal", &[AUDIENCE][..], (200, None)),
        ("FJ11 in a list", &["https://api.example", AUDIENCE], (200, None)),
        ("FJ11 a part", &["https://mcp.example.com"], mismatch),
        ("FJ11 one / more", &["https://mcp.example.com/mcp/"], mismatch),
        ("FJ11 none", &[], mismatch),
        ("F141 other case", &["https://mcp.example.com/MCP"], mismatch),
    ] {
        let (house, recorder) = (House::new(), Recorder::new());
        let audiences: Vec<_> = audiences.iter().map(|&one| one.to_owned()).collect();
        house.account("tba_alice", "acc-alice", |row| row.with_audiences(audiences));
        let pass = Passthrough::new(AUDIENCE);
        let options = in_a_set_of_its_own(ForwardOptions::passthrough(upstream(), pass));
        let service = house.service(options, &recorder);
        assert_eq!(verdict(&service, "tba_alice").await, want, "{name}");
        let sent = credentials(&recorder);
        let wanted = if want.0 == 200 { vec![vec!["Bearer tba_alice".to_owned()]] } else { vec![] };
        assert_eq!(sent, wanted, "{name}");
    }
}

#[tokio::test]
async fn on_the_client_side_it_must_be_attached() {
    let (house, recorder) = (House::new(), Recorder::new());
    house.account("tba_alice", "acc-alice", |row| row.with_audiences(vec![AUDIENCE.to_owned()]));
    house.account("tba_other", "acc-bob", |row| row.with_audiences(vec![AUDIENCE.to_owned()]));
    let pass = Passthrough::new(AUDIENCE);
    let options = in_a_set_of_its_own(ForwardOptions::passthrough(upstream(), pass));
    let client = IdentityForward::new(options.build().unwrap()).client_side();
    let client = client.layer(recorder.clone());
    let context = house.auth.authenticate("tba_alice").await.unwrap();
    let misconfigured = (500, Some("forward_misconfigured"));
    let alice = ("authorization", "Bearer tba_alice");
    for (name, inbound, want) in [
        ("FJ12 plain attach", None, misconfigured),
        ("F80", Some(&[alice][..]), (200, None)),
        ("F80 no credential", Some(&[]), misconfigured),
        ("F80 another's", Some(&[("authorization", "Bearer tba_other")]), misconfigured),
        ("F80 two lines", Some(&[alice, alice]), misconfigured),
        ("F125 in a cookie", Some(&[("cookie", "authorization=Bearer tba_alice")]), misconfigured),
    ] {
        let mut outgoing = request("https://mcp.example.com/mcp", &[]);
        match inbound {
            Some(lines) => {
                let inbound = request("/", lines);
                context.dangerously_attach_with_token(inbound.headers(), outgoing.extensions_mut());
            }
            None => context.attach(outgoing.extensions_mut()),
        }
        assert!(!format!("{outgoing:?}").contains("tba_alice"), "F173 {name}");
        let (response, refusal) = send(client.clone(), outgoing).await;
        let word = refusal.map(|refusal| refusal.kind().error());
        assert_eq!((response.status().as_u16(), word), want, "{name}");
        let calls = usize::from(want.0 == 200);
        assert_eq!(credentials(&recorder), vec![["Bearer tba_alice"]; calls], "{name}");
    }

    // what was attached to one request does not go to the next
    let mut first = request("https://mcp.example.com/mcp", &[]);
    let inbound = request("/", &[alice]);
    context.dangerously_attach_with_token(inbound.headers(), first.extensions_mut());
    let attached = tower_bearer::AuthContext::of(first.extensions()).unwrap().clone();
    let mut second = request("https://mcp.example.com/mcp", &[]);
    attached.attach(second.extensions_mut());
    let (response, _) = send(client, second).await;
    assert_eq!(response.status(), 500, "F80 plain attach leaves it behind");
}

#[tokio::test]
async fn in_the_header_that_the_service_names() {
    let (house, recorder) = (House::new(), Recorder::new());
    let kinds = house.auth.kinds().clone();
    house.account("tba_alice", "acc-alice", |row| row.with_audiences(vec![AUDIENCE.to_owned()]));
    let name = HeaderName::from_static("x-api-token");
    let auth = tower_bearer::Authenticator::builder(kinds, house.tokens.clone())
        .clock(ManualClock::new())
        .credential_header(name)
        .build()
        .unwrap();
    let pass = Passthrough::new(AUDIENCE);
    let options = in_a_set_of_its_own(ForwardOptions::passthrough(upstream(), pass));
    let forward = IdentityForward::new(options.build().unwrap());
    let check = tower_bearer::stack::BearerCheck::new(&auth);
    let stack = tower_bearer::stack::BearerStack::new(check).forward_identity(forward);
    let service = stack.without_bodies().layer(recorder.clone());
    let response = service.oneshot(request("/", &[("x-api-token", "tba_alice")])).await.unwrap();
    assert_eq!(response.status(), 200, "F80");
    let heads = recorder.take();
    assert_eq!(seen(&heads[0].headers), [("authorization", "Bearer tba_alice")], "F80, F44");
}
