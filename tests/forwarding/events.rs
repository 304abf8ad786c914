//! What was forwarded is told to the audit: to whom and in whose name, without an e-mail or a credential.

use std::sync::{Arc, Mutex};
use tower::ServiceBuilder;
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, Event, EventName};
use tower_bearer::clock::ManualClock;
use tower_bearer::forward::{Field, ForwardOptions, Forwarding};
use tower_bearer::stack::{BearerCheck, IdentityForward};
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{TokenKind, TokenKinds};

use crate::off;
use crate::support::*;

/// The events of one name, as text.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl AuditSink for Events {
    fn record(&self, event: &Event<'_>) {
        if let Some(to) = event.forwarded {
            assert_eq!(event.name, EventName::IdentityForwarded);
            assert_eq!(event.name.as_str(), "identity.forwarded", "F171");
            assert_eq!(event.step.unwrap().as_str(), "forward");
            let who = (event.subject, event.kind, event.upstream, event.request_id);
            self.0.lock().unwrap().push(format!("{who:?} {to:?}"));
        }
    }
}

fn check(share: f64, events: Events) -> BearerCheck {
    let kind = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let kinds = TokenKinds::builder().kind(kind.narrowed(["apps:read"]).opaque(1, 64));
    let auth = Authenticator::builder(kinds.build().unwrap(), House)
        .clock(ManualClock::new())
        .audit(events)
        .audit_allowed_sample(share);
    BearerCheck::new(&auth.build().unwrap()).optional()
}

async fn told(share: f64, forward: IdentityForward, lines: Lines<'_>) -> Vec<String> {
    let events = Events::default();
    let upstream = Recorder::new();
    let service = ServiceBuilder::new()
        .layer(check(share, events.clone()))
        .layer(forward)
        .service(upstream.clone());
    send(service, request("/", lines)).await;
    std::mem::take(&mut events.0.lock().unwrap())
}

#[tokio::test]
async fn what_went_to_an_upstream_is_told() {
    let built = |options: ForwardOptions| -> Forwarding { options.build().unwrap() };
    let acting = IdentityForward::new(built(options().fields([Field::DelegationChain]))).identity(
        |_, _, identity| {
            identity
                .with_auth_method("sso")
                .with_service_account("robot@co.com")
                .with_delegation_chain(["bot-1", "bob@co.com"])
        },
    );
    let alice = r#"(Some("account:acc-alice"), Some("account"), Some("mcp-main"), Some("r-1"))"#;
    let nobody = r#"(None, None, Some("mcp-main"), None)"#;
    let to = |mode: &str, outcome: &str, rest: &str| {
        format!(
            r#"ForwardedTo {{ audience: "https://mcp.example.com/mcp", mode: "{mode}", outcome: "{outcome}", {rest}, credential: None }}"#
        )
    };
    let plain = r#"auth_method: Some("account"), acting_as: None, delegation_chain: []"#;
    let none = "auth_method: None, acting_as: None, delegation_chain: []";
    let chain = r#"auth_method: Some("sso"), acting_as: Some("email:567d211c9a01f61f"), delegation_chain: ["bot-1", "email:a1c13177ad1ae9ff"]"#;
    let id = ("x-request-id", "r-1");
    for (name, share, forward, lines, want) in [
        (
            "F171",
            1.0,
            built(options()).into(),
            &[ALICE, id][..],
            Some((alice, to("headers", "sent", plain))),
        ),
        ("FM5", 1.0, acting, &[ALICE, id], Some((alice, to("headers", "sent", chain)))),
        (
            "FM2",
            1.0,
            built(options().optional()).into(),
            &[],
            Some((nobody, to("headers", "anonymous", none))),
        ),
        ("F171 off", 1.0, off().into(), &[ALICE, id], Some((alice, to("off", "stripped", plain)))),
        ("F171 not sampled", 0.0, built(options()).into(), &[ALICE, id], None),
        ("F171 refused: another event", 1.0, built(options()).into(), &[], None),
    ] {
        let want: Vec<_> = want.map(|(who, to)| format!("{who} {to}")).into_iter().collect();
        assert_eq!(told(share, forward, lines).await, want, "{name}");
    }
}
