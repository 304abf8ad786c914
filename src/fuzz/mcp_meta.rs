//! What becomes of a JSON-RPC body: a byte of settings, then the body.

use serde_json::{Map, Value};

use crate::forward::mcp::{BodyFault, Edit};
use crate::fuzz::input::settings;

/// The key of identity in every target and property.
pub(crate) const KEY: &str = "com.example/caller";

/// What is meant afterwards is what was meant, but for our key; doing it twice is doing it once.
pub(super) fn holds(bytes: &[u8]) {
    let Some((which, body)) = settings(bytes) else { return };
    let put = (which % 2 == 1).then_some(OURS);
    let edit = Edit { key: KEY, put };
    let meant = serde_json::from_slice::<Value>(body);
    let shown = String::from_utf8_lossy(body);
    let after = match (edit.apply(body), &meant) {
        (Err(BodyFault::Invalid), meant) => return assert!(meant.is_err(), "{shown}"),
        (Err(BodyFault::NotAnObject), Ok(meant)) => {
            return assert_eq!(edited(meant.clone(), put), None, "{shown}");
        }
        (Err(BodyFault::TooMany), Ok(meant)) => {
            return assert!(meant.as_array().is_some_and(|all| all.len() > 1_000), "{shown}");
        }
        (Err(_), _) => return,
        (Ok(after), _) => after,
    };
    let text = after.as_deref().unwrap_or(body);
    if let Ok(meant) = meant {
        // what is no value of this reader, by depth or as a number, is still copied
        let read: Value = serde_json::from_slice(text).expect("what was read is written");
        assert_eq!(Some(read), edited(meant, put), "{shown}");
    }
    let again = edit.apply(text).expect("what was written is read");
    assert!(again.is_none_or(|again| again == text), "{shown}");
}

/// What a body means once `put` is in it, value by value; `None` where that has no place.
pub(crate) fn edited(body: Value, put: Option<&str>) -> Option<Value> {
    let Value::Array(elements) = body else { return message(body, put) };
    elements.into_iter().map(|element| message(element, put)).collect()
}

fn message(mut message: Value, put: Option<&str>) -> Option<Value> {
    let Value::Object(members) = &mut message else { return Some(message) };
    for holder in ["params", "result"] {
        let holder = members.get_mut(holder).and_then(Value::as_object_mut);
        if let Some(meta) = holder.and_then(|holder| holder.get_mut("_meta")?.as_object_mut()) {
            meta.remove(KEY);
        }
    }
    if let Some(put) = put.filter(|_| members.get("method").is_some_and(Value::is_string)) {
        let ours = serde_json::from_str(put).expect("ours is JSON");
        made(made(members, "params")?, "_meta")?.insert(KEY.to_owned(), ours);
    }
    Some(message)
}

/// The object at `name`, made if nothing is there; `None` if something else is.
fn made<'m>(members: &'m mut Map<String, Value>, name: &str) -> Option<&'m mut Map<String, Value>> {
    let value = members.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

const OURS: &str = r#"{"id":"acc-alice"}"#;
