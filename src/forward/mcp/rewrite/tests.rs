use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::fuzz::mcp_meta::{KEY, edited};

const J: &str = r#"{"id":"acc-alice","type":"account","email":"alice@co.com","workspace":"ws-1"}"#;
const B: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add","arguments":{"n": 1.0},"_meta":{"progressToken":1}}}"#;

/// With identity; `=` is the body itself.
fn put(body: &str) -> Result<String, BodyFault> {
    applied(body, Some(J))
}

fn applied(body: &str, put: Option<&str>) -> Result<String, BodyFault> {
    let after = Edit { key: KEY, put }.apply(body.as_bytes())?;
    Ok(after.map_or_else(|| "=".into(), |after| String::from_utf8(after.to_vec()).unwrap()))
}

/// `J` and `K` in a wanted text stand for the identity and its key.
fn wanted(text: &str) -> String {
    text.replace("<J>", J).replace("<K>", KEY)
}

#[test]
fn identity_goes_in() {
    for (name, body, want) in [
        (
            "FH1",
            B,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"<K>":<J>}}}"#,
        ),
        (
            "FH2",
            CALL,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"add","arguments":{"n": 1.0},"_meta":{"progressToken":1,"<K>":<J>}}}"#,
        ),
        (
            "FH3",
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"_meta":{"<K>":<J>}}}"#,
        ),
        (
            "FH4 ours replaces theirs",
            r#"{"method":"m","params":{"_meta":{"com.example/caller":"x","progressToken":1}}}"#,
            r#"{"method":"m","params":{"_meta":{"progressToken":1,"<K>":<J>}}}"#,
        ),
        (
            "F151 null params",
            r#"{"params":null,"method":"m"}"#,
            r#"{"params":{"_meta":{"<K>":<J>}},"method":"m"}"#,
        ),
        (
            "F151 null _meta stays in place",
            r#"{"method":"m","params":{"_meta":null,"a":1}}"#,
            r#"{"method":"m","params":{"_meta":{"<K>":<J>},"a":1}}"#,
        ),
        (
            "F151 _meta at the end",
            r#"{"method":"m","params":{}}"#,
            r#"{"method":"m","params":{"_meta":{"<K>":<J>}}}"#,
        ),
        (
            "F152 every other byte",
            "{\"id\" : 1.00e+2 , \"method\":\"a\\u0062\",\n\"params\" : { \"x\" : [ 1 , {\"a\":\"\\/\"} ] , \"_meta\" : { \"p\" : -0.0 } } }",
            r#"{"id":1.00e+2,"method":"a\u0062","params":{"x":[ 1 , {"a":"\/"} ],"_meta":{"p":-0.0,"<K>":<J>}}}"#,
        ),
        (
            "F152 names are unescaped, and written plain",
            r#"{"m\u0065thod":"m","par\u0061ms":{"\u005fmeta":{"com.example\/caller":1,"\"\\\n\u00e9\u001f":2}}}"#,
            "{\"method\":\"m\",\"params\":{\"_meta\":{\"\\\"\\\\\\u000aé\\u001f\":2,\"<K>\":<J>}}}",
        ),
        (
            "F150 batch: order and what is between",
            " [ {\"method\":\"a\"} ,\t1, {\"id\": 2,\"result\":{}},[{\"method\":\"b\"}],{\"method\":\"c\"}\n] ",
            " [ {\"method\":\"a\",\"params\":{\"_meta\":{\"<K>\":<J>}}} ,\t1, {\"id\": 2,\"result\":{}},[{\"method\":\"b\"}],{\"method\":\"c\",\"params\":{\"_meta\":{\"<K>\":<J>}}}\n] ",
        ),
        (
            "F150 a request with a result",
            r#"{"method":"m","result":{"_meta":{"com.example/caller":1,"a":2}}}"#,
            r#"{"method":"m","result":{"_meta":{"a":2}},"params":{"_meta":{"<K>":<J>}}}"#,
        ),
        ("F150 not below", r#"{"id":1,"result":{"method":"m","params":{}}}"#, "="),
        ("F150 no method", r#"{"id":1,"params":{"a":1}}"#, "="),
        ("F150 method is no string", r#"{"method":1,"params":[1]}"#, "="),
        (
            "FH5",
            r#"{"jsonrpc":"2.0","id":3,"result":{"_meta":{"com.example/caller":{}},"x":1}}"#,
            r#"{"jsonrpc":"2.0","id":3,"result":{"_meta":{},"x":1}}"#,
        ),
        ("FH6 empty batch", "[]", "="),
        ("FH6 no objects", r#"[1,"x"]"#, "="),
        ("a scalar", " 5 ", "="),
        ("a surrogate pair in a value", r#"{"a":"\ud83d\ude00"}"#, "="),
    ] {
        assert_eq!(put(body), Ok(wanted(want)), "{name}");
    }
    assert_eq!(put(B).unwrap().len(), 166, "FH1");
    assert_eq!(put(CALL).unwrap().len(), 220, "FH2");
    let third = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(put(third).unwrap().len(), 174, "FH3");
}

#[test]
fn only_removed() {
    for (name, body, want) in [
        (
            "FH4 strip-only",
            r#"{"method":"m","params":{"_meta":{"progressToken":1,"com.example/caller":"x"}}}"#,
            r#"{"method":"m","params":{"_meta":{"progressToken":1}}}"#,
        ),
        ("FA1", r#"{"method":"m","params":{"_meta":{"trace_id":"abc123"}}}"#, "="),
        ("F151 params no object", r#"{"method":"m","params":[1]}"#, "="),
        ("F151 _meta no object", r#"{"method":"m","params":{"_meta":"x"}}"#, "="),
        (
            "F151 _meta no object, result changes",
            r#"{"method":"m","params":{"_meta": "x" },"result":{"_meta":{"com.example/caller":1}}}"#,
            r#"{"method":"m","params":{"_meta":"x"},"result":{"_meta":{}}}"#,
        ),
        (
            "F151 params null, result changes",
            r#"{"params":null,"result":{"_meta":{"com.example/caller":1}}}"#,
            r#"{"params":null,"result":{"_meta":{}}}"#,
        ),
        ("F150 another level", r#"{"_meta":{"com.example/caller":1}}"#, "="),
    ] {
        assert_eq!(applied(body, None), Ok(wanted(want)), "{name}");
    }
}

#[test]
fn refused() {
    let deep_names = format!(r#"{{"a":1,"method":"m",{}"method":"n"}}"#, r#""b":{"c":[1]},"#);
    for (name, body, want) in [
        ("FH6 params", r#"{"method":"m","params":[1]}"#, BodyFault::NotAnObject),
        ("FH6 _meta", r#"{"method":"m","params":{"_meta":"x"}}"#, BodyFault::NotAnObject),
        ("FH6 twice", r#"{"a":1,"method":"m","method":"n"}"#, BodyFault::Duplicate),
        ("FH6 twice, far apart", &deep_names, BodyFault::Duplicate),
        ("F152 by an escape", r#"{"method":"m","\u006dethod":"n"}"#, BodyFault::Duplicate),
        ("F152 in params", r#"{"params":{"a":1,"a":1}}"#, BodyFault::Duplicate),
        ("F152 in result", r#"{"result":{"_meta":{},"_meta":{}}}"#, BodyFault::Duplicate),
        ("F152 in _meta", r#"{"result":{"_meta":{"a":1,"a":1}}}"#, BodyFault::Duplicate),
        ("F152 in a batch", r#"[{"a":1,"a":1}]"#, BodyFault::Duplicate),
        ("F149 nothing", "", BodyFault::Invalid),
        ("F149 no JSON", "hello", BodyFault::Invalid),
        ("F149 truncated", r#"{"method":"m""#, BodyFault::Invalid),
        ("F149 truncated below", r#"{"method":"m","params":{"a":[1}}"#, BodyFault::Invalid),
        ("F149 BOM", "\u{FEFF}{}", BodyFault::Invalid),
        ("F149 something behind", "{}{}", BodyFault::Invalid),
        ("F149 a comma too many", r#"{"a":1,}"#, BodyFault::Invalid),
        ("F149 a blank that is none", "\u{A0}{}", BodyFault::Invalid),
        ("F149 half a surrogate pair as a name", r#"{"\ud800":1}"#, BodyFault::Invalid),
    ] {
        assert_eq!(put(body), Err(want), "{name}");
    }
    for (name, bytes) in [
        ("F149 UTF-16", &b"{\0}\0"[..]),
        ("F149 UTF-16 with its mark", b"\xFE\xFF\0{\0}"),
        ("F149 no UTF-8", b"{\"a\":\"\xFF\"}"),
    ] {
        let edit = Edit { key: KEY, put: Some(J) };
        assert_eq!(edit.apply(bytes), Err(BodyFault::Invalid), "{name}");
    }
    let batch = |elements: usize| format!("[{}]", vec!["0"; elements].join(","));
    assert_eq!(put(&batch(1_000)), Ok("=".into()), "F149");
    assert_eq!(put(&batch(1_001)), Err(BodyFault::TooMany), "F149");
}

#[test]
fn no_nesting_overflows_the_stack() {
    let depth = 500_000;
    let open = |inner: &str| {
        format!(
            r#"{{"method":"m","params":{{"a":{}{inner}{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let deep = open("1");
    let want = format!(r#"{},"_meta":{{"{KEY}":{J}}}}}}}"#, &deep[..deep.len() - 2]);
    assert_eq!(put(&deep), Ok(want), "F149 deep and whole");
    assert_eq!(put(&deep[..deep.len() - 3]), Err(BodyFault::Invalid), "F149 deep and cut");
    let objects = format!("{}1{}", r#"{"a":"#.repeat(150_000), "}".repeat(150_000));
    assert_eq!(put(&objects), Ok("=".into()), "F149 deep objects");
    let batch = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(put(&batch), Ok("=".into()), "F149 deep batch");
}

/// Any JSON with names that mean something among its own.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\\u{1F}é]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = [METHOD, PARAMS, RESULT, META, KEY, "a"];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "[a-z\"\\\\\n]{0,2}",
    ]
}

proptest! {
    /// What is meant afterwards is what was meant, but for our key; twice is once.
    #[test]
    fn nothing_else_is_changed(message in value(), spread in any::<bool>(), on in any::<bool>()) {
        let body = if spread {
            serde_json::to_string_pretty(&message).unwrap()
        } else {
            message.to_string()
        };
        let text = on.then_some(J);
        let want = edited(message.clone(), text);
        match (applied(&body, text), want) {
            (Ok(after), Some(want)) if after == "=" => prop_assert_eq!(message, want),
            (Ok(after), Some(want)) => {
                let read: Value = serde_json::from_str(&after).unwrap();
                prop_assert_eq!(read, want);
                let again = applied(&after, text).unwrap();
                prop_assert!(again == "=" || again == after, "{} then {}", after, again);
            }
            (got, want) => prop_assert_eq!(got.err(), want.is_none().then_some(BodyFault::NotAnObject)),
        }
    }

    /// Any bytes are answered, and what was changed is JSON.
    #[test]
    fn any_bytes(body in "[\\[\\]{}:,\"a\\\\ 01]{0,40}") {
        if let Ok(after) = put(&body)
            && after != "="
        {
            prop_assert!(serde_json::from_str::<&RawValue>(&after).is_ok());
        }
    }
}
