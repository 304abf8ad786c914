//! XT3.3: a byte of settings, a line of identity (`id|full name|department|group|group …`), then lines `name:value`.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::LazyLock;

use crate::forward::{
    Field, ForwardOptions, ForwardSet, Forwarding, Identity, Mode, Overflow, Upstream,
};
use crate::fuzz::input::{lines, settings};

/// Afterwards no name folds to a managed one but ours, each once; no CR or LF; caps kept; stripping twice is stripping once.
pub(super) fn holds(bytes: &[u8]) {
    let Some((which, rest)) = settings(bytes) else { return };
    let Some((cap, forwarding)) = FORWARDINGS.get(which % FORWARDINGS.len()) else { return };
    let mut lines = lines(rest, 34).into_iter();
    let who = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let client = client(lines);
    let mut head = http::Request::new(()).into_parts().0;
    head.headers = client.clone();
    let identity = identity(&who);
    let sent = forwarding.prepare_request(&mut head, identity.as_ref()).is_ok();
    let mut total = 0;
    for (name, value) in &head.headers {
        let bytes = value.as_bytes();
        assert!(!bytes.contains(&b'\r') && !bytes.contains(&b'\n'), "{name} breaks the line");
        let ours = OURS.contains(&name.as_str());
        assert_eq!(is_managed(name.as_str()), ours, "{name} is not ours");
        if ours {
            assert!(sent && identity.is_some(), "{name} of nobody");
            assert_eq!(head.headers.get_all(name).iter().count(), 1, "{name} twice");
            assert!(
                bytes.iter().all(u8::is_ascii_graphic) && bytes.len() <= *cap,
                "{name}: {value:?}"
            );
            total += name.as_str().len() + bytes.len() + 4;
        }
        let gone =
            ["authorization", "cookie", "keep-alive", "proxy-authorization", "transfer-encoding"];
        assert!(!gone.contains(&fold(name.as_str()).as_str()), "{name} went on");
    }
    assert!(total <= *cap, "{total} bytes above {cap}");

    let (mut once, mut twice) = (client.clone(), client);
    let _first = forwarding.set().clean_request(&mut once);
    let _first = forwarding.set().clean_request(&mut twice);
    let _second = forwarding.set().clean_request(&mut twice);
    assert_eq!(once, twice);
}

fn client<'l>(lines: impl Iterator<Item = &'l [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

fn identity(line: &str) -> Option<Identity<'_>> {
    let mut parts = line.split('|');
    let id = parts.next().filter(|id| !id.is_empty())?;
    let mut identity = Identity::account(id);
    if let Some(name) = parts.next() {
        identity = identity.with_full_name(name);
    }
    if let Some(department) = parts.next() {
        identity = identity.with_attribute("dept", department.to_owned());
    }
    Some(identity.with_groups(parts.take(8)))
}

/// What an upstream could take for identity: by the rules of names word by word.
fn is_managed(name: &str) -> bool {
    let folded = fold(name);
    let suffix = folded.strip_prefix("x-forwarded-user");
    suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-'))
        || ["x-dept", "signature", "signature-input"].contains(&folded.as_str())
}

fn fold(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

const OURS: [&str; 5] = [
    "x-forwarded-user-id",
    "x-forwarded-user-full-name",
    "x-forwarded-user-groups",
    "x-forwarded-user-overflow",
    "x-dept",
];

/// Every setting with every other, and the cap of each.
static FORWARDINGS: LazyLock<Vec<(usize, Forwarding)>> = LazyLock::new(|| {
    let all = (0..16_usize).map(|which| {
        let has = |bit: usize| which & bit != 0;
        let set = ForwardSet::separate();
        let set = if has(1) { set.trust_proxy_headers() } else { set };
        let cap = if has(2) { 128 } else { 600 };
        let upstream = Upstream::new("mcp", "https://mcp.example.com/mcp").expect("an address");
        let options = ForwardOptions::new(upstream, Mode::Headers).set(&set);
        let options =
            options.fields([Field::FullName, Field::Groups]).map_attribute("dept", "X-Dept");
        let options = if has(4) { options.percent_encode_ids() } else { options };
        let options = if has(8) { options.overflow(Overflow::OmitLists) } else { options };
        let options = options.max_value_bytes(cap).max_total_bytes(cap);
        (cap, options.build().expect("the settings are in range"))
    });
    all.collect()
});
