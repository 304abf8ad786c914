//! A fact is sent whole, or the request is refused.

use tower_bearer::forward::{Field, Identity, Overflow};
use tower_bearer::stack::IdentityForward;

use crate::support::*;
use crate::{check, told};

#[tokio::test]
async fn values() {
    let wide = || options().fields([Field::FullName, Field::Email, Field::Groups]);
    let percent = || wide().percent_encode_ids();
    let omit = || wide().overflow(Overflow::OmitLists);
    let long = "g".repeat(4097);
    let id = |value: &'static str| Identity::account(value);
    let named = |name: &'static str| id("a").with_full_name(name);
    let mailed = |email: &'static str| id("a").with_email(email);
    let unencodable = Err((500, "identity_unencodable"));
    let mut rows = vec![
        ("FG1", wide(), named("Fábián"), Ok(("full-name", "F%C3%A1bi%C3%A1n"))),
        ("FG1", wide(), named("José"), Ok(("full-name", "Jos%C3%A9"))),
        ("FG1", wide(), named("100%"), Ok(("full-name", "100%25"))),
        ("FG1", wide(), named("Alice Smith"), Ok(("full-name", "Alice%20Smith"))),
        ("FG1", wide(), mailed("alice@co.com"), Ok(("email", "alice@co.com"))),
        ("FG1", wide(), mailed("alice+x@co.com"), Ok(("email", "alice%2Bx@co.com"))),
        ("FG2", wide(), id("a").with_groups(["eng,dev", "ops"]), Ok(("groups", "eng%2Cdev,ops"))),
        ("FG2", wide(), id("a").with_groups(["R&D"]), Ok(("groups", "R%26D"))),
        ("FG3 default", wide(), id("José"), unencodable),
        ("FG3 percent", percent(), id("José"), Ok(("id", "Jos%C3%A9"))),
        ("FG4", wide(), id("a").with_groups([long.clone()]), Err((500, "identity_too_large"))),
        ("FG4 omit", omit(), id("a").with_groups([long]), Ok(("overflow", "groups"))),
    ];
    for bad in ["", "a b", " a", "a\t", "a\0", "a\x7F", "a\r\nX-Caller-Id: b", "a\u{200B}"] {
        rows.push(("FG3", wide(), id(bad), unencodable));
        if bad != "a b" {
            rows.push(("FG3 percent", percent(), id(bad), unencodable));
        }
    }
    for (name, options, identity, want) in rows {
        let told_of = identity.clone();
        let forward =
            IdentityForward::new(options.build().unwrap()).identity(move |_, _, _| told_of.clone());
        let got = told(check(), forward, &[ALICE, ("X-Forwarded-User-Groups", "root")]).await;
        match want {
            Ok((field, value)) => {
                let line = (format!("x-forwarded-user-{field}"), value.to_owned());
                assert!(got.clone().unwrap().contains(&line), "{name}: {got:?}");
                let groups =
                    got.unwrap().iter().filter(|(name, _)| name.ends_with("groups")).count();
                assert_eq!(groups, usize::from(field == "groups"), "{name}");
            }
            Err(refusal) => assert_eq!(got, Err(refusal), "{name} {identity:?}"),
        }
    }
}
