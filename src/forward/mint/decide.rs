//! What is to be done with a user's link before its access token may be sent?
//!
//! 1. Pure: facts and a time in, one of three words out; times are compared in milliseconds.
//! 2. A token is refreshed before it ends, 10 minutes or half of its life, whichever is less.
//! 3. What cannot be refreshed is sent to its very end. What has no known end is sent as it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::UserLink;

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Send the access token. It counts so for this long at least.
    Send(Duration),
    /// Get a new one first.
    Refresh,
    /// There will never be another: the user must sign in again.
    Reauth,
}

/// The longest that a link is believed without its store being asked.
const BELIEVED: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(600);
/// What must be left of an old token that is sent because there is no new one.
const LAST: Duration = Duration::from_secs(30);

pub(super) fn decide(link: &UserLink, now: Timestamp) -> Next {
    if link.broken {
        return Next::Reauth;
    }
    let Some(ends) = link.expires_at else { return Next::Send(BELIEVED) };
    let left = ends.since(now);
    let margin = match refresh_token(link) {
        Some(_) => margin(link.obtained_at, ends),
        None if left.is_zero() => return Next::Reauth,
        None => Duration::ZERO,
    };
    match left.checked_sub(margin) {
        Some(_) if ends <= now => Next::Refresh,
        // exactly the margin left: it is sent once more, and not believed for longer
        Some(counts) => Next::Send(counts.min(BELIEVED)),
        None => Next::Refresh,
    }
}

/// May the old token be sent because there is no new one?
pub(super) fn lasts(link: &UserLink, now: Timestamp) -> bool {
    !link.broken && link.expires_at.is_none_or(|ends| ends.since(now) > LAST)
}

/// Is it neither broken nor over?
pub(super) fn is_valid(link: &UserLink, now: Timestamp) -> bool {
    !link.broken && link.expires_at.is_none_or(|ends| now < ends)
}

/// Is another process getting a new token?
pub(super) fn is_leased(link: &UserLink, now: Timestamp) -> bool {
    link.lease_until.is_some_and(|until| now < until)
}

/// The refresh token, if there is one.
pub(super) fn refresh_token(link: &UserLink) -> Option<&Secret> {
    link.refresh_token.as_ref().filter(|token| !token.expose().is_empty())
}

/// Was the access token made for this audience? The link says so, else the token if it is a JWT (RFC 7519 §4.1.3).
pub(super) fn is_for(link: &UserLink, audience: &str) -> bool {
    if link.audiences.is_empty() {
        return audiences_of_jwt(link.access_token.expose()).iter().any(|one| one == audience);
    }
    link.audiences.iter().any(|one| one == audience)
}

fn margin(obtained_at: Option<Timestamp>, ends: Timestamp) -> Duration {
    obtained_at.map_or(MARGIN, |obtained| MARGIN.min(ends.since(obtained) / 2))
}

#[derive(Deserialize)]
struct Claims {
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// What the token says of itself, which nobody has verified: it only ever narrows whom it is sent to.
fn audiences_of_jwt(token: &str) -> Vec<String> {
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let claims = URL_SAFE_NO_PAD.decode(payload).ok();
    match claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok()) {
        Some(Claims { aud: Audiences::One(one) }) => vec![one],
        Some(Claims { aud: Audiences::Several(several) }) => several,
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn at(from_now: i64) -> Timestamp {
        Timestamp::from_secs(NOW.saturating_add_signed(from_now))
    }

    fn link(refresh: bool, expires_in: Option<i64>, obtained: Option<i64>) -> UserLink {
        UserLink {
            refresh_token: refresh.then(|| Secret::new("refresh")),
            expires_at: expires_in.map(at),
            obtained_at: obtained.map(at),
            ..UserLink::new("access")
        }
    }

    #[test]
    fn what_is_to_be_done() {
        let send = |secs| Next::Send(Duration::from_secs(secs));
        for (name, link, want) in [
            ("FD8 no refresh token", link(false, Some(300), None), send(10)),
            ("FD8 no expiry", link(true, None, None), send(10)),
            ("FD8 -3,600 s", link(true, Some(-3_600), None), Next::Refresh),
            ("FD8 -60 s", link(true, Some(-60), None), Next::Refresh),
            ("FD8 +300 s", link(true, Some(300), None), Next::Refresh),
            ("FD8 +660 s", link(true, Some(660), None), send(10)),
            ("FD8 +3,600 s", link(true, Some(3_600), None), send(10)),
            ("FD8 +86,400 s", link(true, Some(86_400), None), send(10)),
            ("FD9 300 s, 200 s left", link(true, Some(200), Some(-100)), send(10)),
            ("FD9 300 s, 140 s left", link(true, Some(140), Some(-160)), Next::Refresh),
            ("F112 600 s left", link(true, Some(600), None), send(0)),
            ("F112 599 s left", link(true, Some(599), None), Next::Refresh),
            ("F112 605 s left", link(true, Some(605), None), send(5)),
            ("F112 no refresh token, 1 s left", link(false, Some(1), None), send(1)),
            ("F112 no refresh token, over", link(false, Some(0), None), Next::Reauth),
            ("F112 neither", link(false, None, None), send(10)),
            ("F112 got after its end", link(true, Some(0), Some(10)), Next::Refresh),
            (
                "F110 broken",
                UserLink { broken: true, ..link(true, Some(3_600), None) },
                Next::Reauth,
            ),
            (
                "F112 an empty refresh token is none",
                UserLink { refresh_token: Some(Secret::new("")), ..link(true, Some(-1), None) },
                Next::Reauth,
            ),
        ] {
            assert_eq!(decide(&link, at(0)), want, "{name}");
        }
    }

    #[test]
    fn old_tokens() {
        for (name, expires_in, want) in [
            ("FD11 120 s left", Some(120), true),
            ("F118 31 s left", Some(31), true),
            ("F118 30 s left", Some(30), false),
            ("FD11 20 s left", Some(20), false),
            ("F118 over", Some(-1), false),
        ] {
            assert_eq!(lasts(&link(true, expires_in, None), at(0)), want, "{name}");
        }
    }

    #[test]
    fn audiences() {
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let said = UserLink { audiences: vec!["b".into(), "a".into()], ..UserLink::new("opaque") };
        let other =
            UserLink { audiences: vec!["b".into()], ..UserLink::new(jwt(r#"{"aud":"a"}"#)) };
        for (name, link, want) in [
            ("F111 the link says so", said, true),
            ("F111 the link says otherwise", other, false),
            ("F111 nobody says", UserLink::new("opaque"), false),
            ("F111 the token says so", UserLink::new(jwt(r#"{"aud":"a","sub":1}"#)), true),
            ("F111 in a list", UserLink::new(jwt(r#"{"aud":["b","a"]}"#)), true),
            ("F111 longer", UserLink::new(jwt(r#"{"aud":"a/"}"#)), false),
            ("F111 no string", UserLink::new(jwt(r#"{"aud":{"a":1}}"#)), false),
            ("F111 encrypted", UserLink::new(format!("{}.x.y", jwt(r#"{"aud":"a"}"#))), false),
        ] {
            assert_eq!(is_for(&link, "a"), want, "{name}");
        }
    }
}
