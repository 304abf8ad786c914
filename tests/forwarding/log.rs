//! What a programmer must mend is in the log once, and no value ever.

use std::io::Write;
use std::sync::{Arc, Mutex};
use tower::{Layer, ServiceBuilder};
use tower_bearer::forward::Field;
use tower_bearer::rejection::RejectionKind;
use tower_bearer::stack::IdentityForward;

use crate::support::*;
use crate::{check, forward, listening, off};

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn of(run: impl AsyncFnOnce()) -> String {
        listening::listen();
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(run()));
        String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn what_a_programmer_must_mend_is_told_once() {
    let unset = || options().build().unwrap().overridden(None, "[]").0;
    for (name, behind_check, forward, status, errors) in [
        ("FM1 required", false, forward(options()), 500, 1),
        ("FM1 optional", false, forward(options().optional()), 500, 1),
        ("FM1 off", false, IdentityForward::new(off()), 200, 0),
        ("F233", true, IdentityForward::new(unset()), 500, 1),
    ] {
        let log = Log::of(async || {
            let upstream = Recorder::new();
            let bare = forward.layer(upstream.clone());
            let checked = check().layer(bare.clone());
            for _ in 0..100 {
                let request = request("/", &[ALICE]);
                let (response, _) = if behind_check {
                    send(checked.clone(), request).await
                } else {
                    send(bare.clone(), request).await
                };
                assert_eq!(response.status(), status, "{name}");
            }
            assert_eq!(upstream.take().len(), if status == 200 { 100 } else { 0 }, "{name}");
        });
        assert_eq!(log.matches("ERROR").count(), errors, "{name}: {log}");
    }
}

#[test]
fn refusals_name_the_field_in_the_log_alone() {
    let fields = || options().fields([Field::Groups]);
    for (name, status, kind, challenge, forward, lines, word) in [
        (
            "F221 FM3",
            401,
            RejectionKind::MissingCredential,
            Some(r#"Bearer realm="api""#),
            forward(options()),
            &[][..],
            "no_credential",
        ),
        (
            "F231 FM3 XA9",
            500,
            RejectionKind::IdentityUnencodable,
            None,
            forward(fields()).identity(|_, _, identity| identity.with_groups(["canary", ""])),
            &[ALICE],
            "groups of the caller",
        ),
        (
            "F231 FM3",
            500,
            RejectionKind::IdentityTooLarge,
            None,
            forward(fields())
                .identity(|_, _, identity| identity.with_groups(["canary".repeat(1_000)])),
            &[ALICE],
            "groups of the caller",
        ),
        (
            "F233 FM3",
            500,
            RejectionKind::ForwardMisconfigured,
            None,
            IdentityForward::new(options().build().unwrap().overridden(None, "[]").0),
            &[ALICE],
            "forward_config",
        ),
    ] {
        let log = Log::of(async || {
            let upstream = Recorder::new();
            let service = ServiceBuilder::new()
                .layer(check().optional())
                .layer(forward)
                .service(upstream.clone());
            let (response, refusal) = send(service, request("/", lines)).await;
            let got =
                response.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
            assert_eq!((response.status().as_u16(), got), (status, challenge), "{name}");
            assert_eq!((refusal.unwrap().kind(), upstream.take().len()), (kind, 0), "{name}");
            assert_eq!(response.headers()["cache-control"], "no-store", "{name}");
        });
        assert!(log.contains(word), "{name}: {log}");
        assert!(!log.contains("canary") && !log.contains("tba_alice"), "{name}: {log}");
    }
}
