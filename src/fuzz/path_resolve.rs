//! XT3.4: a raw request target.

use http::Uri;
use std::sync::LazyLock;

use crate::id::AppId;
use crate::stack::Finder;

/// An id of the grammar, decoded once, or none: what the naive reading says.
pub(super) fn holds(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let path = uri.path().to_owned();
    let Ok(request) = http::Request::builder().uri(uri).body(()) else { return };
    let head = request.into_parts().0;
    for (template, finder, grammar) in FINDERS.iter() {
        let got = finder.app(&head);
        let want = segment(template, &path).and_then(decode_once).and_then(grammar);
        assert_eq!(got.as_ref().map(AppId::as_str), want.as_deref(), "{template} on {path}");
        if let Some(id) = &got {
            assert_eq!(AppId::new(id.as_str()).as_ref(), Ok(id), "an id like any other");
        }
    }
}

/// The id that a decoded segment is, if it is one.
type Grammar = fn(String) -> Option<String>;

static FINDERS: LazyLock<Vec<(&str, Finder, Grammar)>> = LazyLock::new(|| {
    let finder = |template| Finder::path(template).expect("the templates are well-formed");
    vec![
        ("/apps/{app}", finder("/apps/{app}"), name as Grammar),
        ("/w/{_}/apps/{app}/run", finder("/w/{_}/apps/{app}/run"), name),
        ("/u/{app}", finder("/u/{app}").uuid(), uuid),
    ]
});

fn segment<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let (want, have): (Vec<&str>, Vec<&str>) =
        (template.split('/').collect(), path.split('/').collect());
    let fits = |(at, want): (usize, &&str)| match (*want, have.get(at)) {
        (_, None) => false,
        ("{_}", Some(have)) => !have.is_empty(),
        ("{app}", Some(_)) => true,
        (want, Some(have)) => want == *have,
    };
    if !want.iter().enumerate().all(fits) {
        return None;
    }
    have.get(want.iter().position(|part| *part == "{app}")?).copied()
}

/// Every escape once; `None` for a broken one, or for what is no text.
fn decode_once(raw: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut pieces = raw.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let digits = piece.get(..2)?;
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn name(id: String) -> Option<String> {
    let first = id.chars().next()?.is_ascii_alphanumeric();
    let fits = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (first && fits && id.len() <= 64).then_some(id)
}

fn uuid(id: String) -> Option<String> {
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    let fits = id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    (fits && groups == [8, 4, 4, 4, 12]).then(|| id.to_ascii_lowercase())
}
