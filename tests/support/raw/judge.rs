//! Is an answer what the row wants, and what every answer must be?

use std::collections::HashMap;

use super::message::Message;
use super::rows::{Step, text};

/// What is wrong with one answer.
pub fn faults(
    answer: &Message,
    (status, error): &(String, String),
    step: &Step,
    names: &HashMap<String, String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |is: bool, what: String| is.then(|| faults.push(what));
    let got = answer.status().to_string();
    fault(
        status != "any" && !status.split('|').any(|status| status == got),
        format!("status {got}"),
    );
    let body = answer.text();
    let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let is_head = step.method == "HEAD";
    if status != "any" && !is_head {
        let told = json["error"].as_str().unwrap_or("-");
        fault(!error.split('|').any(|error| error == told), format!("error {told}"));
    }
    let challenges = answer.all("www-authenticate");
    let wanted = if step.to == "admin" { None } else { challenge(answer.status(), error) };
    match (&challenges[..], wanted) {
        ([], None) => {}
        ([line], Some(start)) if is_challenge(line, start) => {}
        _ => drop(fault(true, format!("challenge {challenges:?}"))),
    }
    if answer.status() >= 400 && error != "-" {
        let cache = answer.all("cache-control");
        fault(cache != ["no-store"], format!("XK4 cache-control {cache:?}"));
        let media = answer.all("content-type");
        fault(media != ["application/problem+json"], format!("P931 content-type {media:?}"));
        let kind = if error == "rate_limited" { QUOTA } else { "about:blank" };
        let start = format!(r#"{{"type":"{kind}","title":""#);
        fault(!is_head && !body.starts_with(&start), "P931 members".to_owned());
        fault(!is_head && json["status"] != answer.status(), "P932 status".to_owned());
        fault(is_head && !body.is_empty(), "P936 a body".to_owned());
    }
    fault(
        answer.status() == 401 && !answer.all("ratelimit").is_empty(),
        "401 with fields".to_owned(),
    );
    let shows = answer.status() == 201;
    if !shows && answer.all("x-upstream").is_empty() {
        let fields = answer.fields.iter().map(|(_, value)| String::from_utf8_lossy(value));
        let all = fields.collect::<Vec<_>>().join("\n") + &body;
        let leaks =
            names.values().any(|token| token.starts_with("tb") && all.contains(token.as_str()));
        let inside = step.to == "inside"; // its echo shows what it was sent
        fault(leaks && !inside, "XK4 a token".to_owned());
    }
    faults
}

/// L724
const QUOTA: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The start of the one challenge that an error has; `None` for none.
fn challenge(status: u16, error: &str) -> Option<&'static str> {
    match (status, error) {
        (401, "missing_token") => Some(r#"Bearer realm="api""#),
        (401, "invalid_token") => Some(
            r#"Bearer realm="api", error="invalid_token", error_description="The access token is invalid, expired or revoked.""#,
        ),
        (400, "invalid_request") => Some(
            r#"Bearer realm="api", error="invalid_request", error_description="Send exactly one credential, as Authorization: Bearer <token>.""#,
        ),
        (403, "insufficient_scope") => Some(
            r#"Bearer realm="api", error="insufficient_scope", error_description="The access token lacks a required scope.", scope=""#,
        ),
        _ => None,
    }
}

/// XR41: constants, and a scope that the route has.
fn is_challenge(line: &str, start: &str) -> bool {
    let Some(rest) = line.strip_prefix(start) else { return false };
    let scope = rest.strip_prefix(", scope=\"").unwrap_or(rest);
    let scopes = ["", "apps:read\"", "apps:run\"", "apps:read:permitted-external\""];
    scopes.contains(&scope)
}

/// What the row's checks find wrong, those of the upstream and of calls left out.
pub fn checks(answer: &Message, step: &Step, names: &HashMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (word, rest) in &step.checks {
        let rest = text(rest, names);
        let fine = match word.as_str() {
            "has" => {
                let (name, value) = rest.split_once(": ").unwrap_or((&rest, ""));
                let lines = answer.all(name);
                match value.strip_suffix('…') {
                    Some(start) => lines.len() == 1 && lines[0].starts_with(start),
                    None => lines == [value],
                }
            }
            "no" => answer.all(&rest).is_empty(),
            "says" => answer.text().contains(&rest),
            "lacks" => !answer.text().contains(&rest),
            _ => true,
        };
        if !fine {
            faults.push(format!("{word} {rest}"));
        }
    }
    faults
}

/// What the upstream saw and should not have, or the other way round.
pub fn upstream(seen: &[Message], step: &Step, names: &HashMap<String, String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (_, rest) in step.checks.iter().filter(|(word, _)| word == "up") {
        let rest = text(rest, names);
        let last = seen.last();
        let (word, after) = rest.split_once(' ').unwrap_or((&rest, ""));
        let fine = match (word, rest.parse::<usize>()) {
            (_, Ok(count)) => seen.len() == count,
            ("no", _) => seen.iter().all(|one| !one.folded_names().contains(&after.to_owned())),
            ("start", _) => last.is_some_and(|last| last.start == after),
            ("body", _) => last.is_some_and(|last| last.text() == after),
            _ => {
                let (name, value) = rest.split_once(": ").unwrap();
                let one =
                    |last: &Message| last.folded_names().iter().filter(|is| *is == name).count();
                last.is_some_and(|last| one(last) == 1 && last.all(name) == [value])
            }
        };
        if !fine {
            faults.push(format!("up {rest}: {:?}", seen.iter().map(shown).collect::<Vec<_>>()));
        }
    }
    faults
}

fn shown(message: &Message) -> String {
    let lines = message.fields.iter().chain(&message.trailers);
    let lines = lines.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
    format!("{} | {}", message.start, lines.collect::<Vec<_>>().join(" | "))
}
