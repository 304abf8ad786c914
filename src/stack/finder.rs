//! Which id does a request name? In its path, or wherever the service looks.
//!
//! 1. The raw id is percent-decoded exactly once, then judged by the id's grammar; what does not fit is no id.
//! 2. A path template fails closed: literal segments must be equal byte for byte, and a path that lost a prefix in a
//!    nested router matches no template that has it.

use http::header::HOST;
use http::request::Parts;
use std::fmt;
use std::sync::Arc;

use crate::id::{AppId, SegmentGrammar, WorkspaceId};

/// Finds the raw id of an app or workspace in the head of a request.
///
/// ```
/// # fn main() -> Result<(), tower_bearer::stack::TemplateError> {
/// use tower_bearer::stack::Finder;
///
/// let in_path = Finder::path("/apps/{app}")?;
/// let in_host = Finder::with(|head| {
///     tower_bearer::stack::host(head)?.strip_suffix(".apps.example").map(String::from)
/// });
/// # let _ = (in_path, in_host); Ok(()) }
/// ```
#[derive(Clone)]
pub struct Finder {
    place: Place,
    grammar: SegmentGrammar,
}

#[derive(Clone)]
enum Place {
    Path(Arc<[Segment]>),
    Function(Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Segment {
    Literal(Box<str>),
    Any,
    Id,
}

/// Why a path template was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It does not begin with `/`, or has an empty segment.
    #[error("template {0:?} is no absolute path without empty segments")]
    NotAPath(String),
    /// It must have exactly one `{name}` besides `{_}`.
    #[error("template {0:?} does not name exactly one id")]
    NotOneId(String),
}

impl Finder {
    /// A segment of the path, by a template such as `/apps/{app}`: `{_}` stands for any one segment, and whatever
    /// follows the template's last segment is free.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] names the template and what is wrong with it.
    pub fn path(template: &str) -> Result<Self, TemplateError> {
        let not_a_path = || TemplateError::NotAPath(template.to_owned());
        let rest = template.strip_prefix('/').ok_or_else(not_a_path)?;
        let segments: Vec<Segment> = rest
            .split('/')
            .map(|segment| {
                match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some("_") => Segment::Any,
                    Some(_) => Segment::Id,
                    None => Segment::Literal(segment.into()),
                }
            })
            .collect();
        if segments
            .iter()
            .any(|segment| matches!(segment, Segment::Literal(text) if text.is_empty()))
        {
            return Err(not_a_path());
        }
        if segments.iter().filter(|segment| **segment == Segment::Id).count() != 1 {
            return Err(TemplateError::NotOneId(template.to_owned()));
        }
        Ok(Self { place: Place::Path(segments.into()), grammar: SegmentGrammar::default() })
    }

    /// A function of the head; `None` is answered like an unknown id.
    pub fn with(find: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { place: Place::Function(Arc::new(find)), grammar: SegmentGrammar::default() }
    }

    /// Ids are UUIDs in the 8-4-4-4-12 form, folded to lower case.
    #[must_use]
    pub fn uuid(mut self) -> Self {
        self.grammar = SegmentGrammar::Uuid;
        self
    }

    pub(crate) fn app(&self, head: &Parts) -> Option<AppId> {
        self.raw(head, |raw| AppId::from_segment(raw.as_bytes(), self.grammar))
    }

    pub(crate) fn workspace(&self, head: &Parts) -> Option<WorkspaceId> {
        self.raw(head, |raw| WorkspaceId::from_segment(raw.as_bytes(), self.grammar))
    }

    /// Does the request name this id, without any escape?
    pub(crate) fn names(&self, head: &Parts, id: &str) -> bool {
        self.raw(head, |raw| Some(raw == id)).unwrap_or(false)
    }

    fn raw<T>(&self, head: &Parts, decode: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        match &self.place {
            Place::Path(template) => decode(segment(template, head.uri.path())?),
            Place::Function(find) => decode(&find(head)?),
        }
    }
}

/// The segment of `path` that stands where the template has its id.
fn segment<'p>(template: &[Segment], path: &'p str) -> Option<&'p str> {
    let mut rest = path;
    let mut found = None;
    for expected in template {
        rest = rest.strip_prefix('/')?;
        let end = match expected {
            Segment::Literal(text) if rest.starts_with(&**text) => text.len(),
            Segment::Literal(_) => return None,
            Segment::Any | Segment::Id => {
                rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len())
            }
        };
        let (actual, after) = rest.split_at_checked(end)?;
        // a literal must be the whole segment
        if !(after.is_empty() || after.starts_with('/')) {
            return None;
        }
        match expected {
            Segment::Any if actual.is_empty() => return None,
            Segment::Id => found = Some(actual),
            Segment::Any | Segment::Literal(_) => {}
        }
        rest = after;
    }
    found
}

/// The host that a request is for: lower case, without port and final dot.
///
/// `None` when `Host` is missing or there twice, or unlike the authority of the target (RFC 9112 §3.2, RFC 9113 §8.3.1).
pub fn host(head: &Parts) -> Option<String> {
    let mut lines = head.headers.get_all(HOST).iter();
    let field = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(bare_host(line.to_str().ok()?)?),
        (Some(_), Some(_)) => return None,
    };
    let target = match head.uri.authority() {
        Some(authority) => Some(bare_host(authority.as_str())?),
        None => None,
    };
    match (field, target) {
        (Some(field), Some(target)) if field != target => None,
        (Some(host), _) | (None, Some(host)) => Some(host),
        (None, None) => None,
    }
}

fn bare_host(text: &str) -> Option<String> {
    let authority: http::uri::Authority = text.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Path(segments) => f.debug_tuple("Finder").field(segments).finish(),
            Place::Function(_) => f.write_str("Finder(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn templates() {
        for (template, path, want) in [
            ("/apps/{app}", "/apps/a1", Some("a1")),
            ("/apps/{app}", "/apps/a1/run", Some("a1")),
            ("/apps/{app}", "/apps", None),
            ("/apps/{app}", "/apps/", None),
            ("/apps/{app}", "//apps/a1", None),
            ("/apps/{app}", "/Apps/a1", None),
            ("/apps/{app}", "/a1", None),
            ("/apps/{app}/run", "/apps/a1/ran", None),
            ("/w/{_}/apps/{app}", "/w/x/apps/a1", Some("a1")),
            ("/w/{_}/apps/{app}", "/w//apps/a1", None),
        ] {
            let got = Finder::path(template).unwrap().app(&head(path, &[]));
            assert_eq!(got.as_ref().map(AppId::as_str), want, "P841 {template} on {path}");
        }
        for bad in ["apps/{app}", "/apps//{app}", "/apps", "/{a}/{b}", ""] {
            assert!(Finder::path(bad).is_err(), "P841 {bad:?}");
        }
    }

    #[test]
    fn hosts() {
        for (name, target, hosts, want) in [
            ("P849 plain", "/x", &["Api.Example.:8080"][..], Some("api.example")),
            ("P849 target alone", "http://api.example/x", &[], Some("api.example")),
            ("P849 both alike", "http://api.example/x", &["API.example:80"], Some("api.example")),
            ("XF8 unlike", "http://api.example/x", &["evil.example"], None),
            ("XF9 none", "/x", &[], None),
            ("XF9 twice", "/x", &["a.example", "a.example"], None),
            ("XN6 userinfo", "/x", &["a@b"], None),
            ("XN6 slash", "/x", &["a/b"], None),
        ] {
            assert_eq!(host(&head(target, hosts)).as_deref(), want, "{name}");
        }
    }
}
