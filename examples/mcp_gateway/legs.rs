//! Whose is an `Mcp-Session-Id`? The caller's to whom its server gave it, in the app for which it was given.
//!
//! The last layer removes the header both ways: it is an id of our own leg to the server, and no client may choose one. So it
//! passes around the stack in the extensions, and in between stands the question whose it is. Another's id is answered like
//! one that never was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use tower_bearer::AuthContext;

use crate::route::Route;

const ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// More ids than this at a time are not given to clients.
const MOST: usize = 10_000;

/// What the client sent, before the stack.
#[derive(Clone, Debug)]
struct Asked(Vec<HeaderValue>);

/// What the server gave, after the stack's way back.
#[derive(Clone, Debug)]
struct Given(HeaderValue);

/// Server and id, and whose it is: subject and app.
#[derive(Clone, Debug, Default)]
pub struct Legs(Arc<Mutex<HashMap<Leg, Owner>>>);

type Leg = (Arc<str>, HeaderValue);
type Owner = (String, String);

/// The id is of another caller, or of nobody.
#[derive(Clone, Copy, Debug)]
pub struct NotTheirs;

/// Takes the header out of a request, for [`Legs::unhide`].
pub fn hide(request: &mut Request) {
    let asked: Vec<_> = request.headers().get_all(ID).iter().cloned().collect();
    request.headers_mut().remove(ID);
    request.extensions_mut().insert(Asked(asked));
}

/// Puts the server's id into the answer.
pub fn show(mut answer: Response) -> Response {
    if let Some(Given(id)) = answer.extensions_mut().remove::<Given>() {
        answer.headers_mut().insert(ID, id);
    }
    answer
}

impl Legs {
    /// Gives the request its id back if it is the caller's.
    pub fn unhide(&self, request: &mut Request) -> Result<Noting<'_>, NotTheirs> {
        let Asked(asked) = request.extensions_mut().remove::<Asked>().ok_or(NotTheirs)?;
        let (server, owner) = owner(request).ok_or(NotTheirs)?;
        let mut ended = None;
        match &asked[..] {
            [] => {}
            [id] => {
                let leg = (Arc::clone(&server), id.clone());
                let owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if owners.get(&leg) != Some(&owner) {
                    return Err(NotTheirs);
                }
                request.headers_mut().insert(ID, id.clone());
                ended = (request.method() == Method::DELETE).then_some(leg);
            }
            _ => return Err(NotTheirs),
        }
        Ok(Noting { legs: self, server, owner, ended })
    }
}

/// Who asked, until the answer is there.
#[derive(Debug)]
pub struct Noting<'l> {
    legs: &'l Legs,
    server: Arc<str>,
    owner: Owner,
    /// What is over if the server agrees.
    ended: Option<Leg>,
}

impl Noting<'_> {
    /// Remembers whose the id is that the server gave, for [`show`].
    pub fn noted(self, mut answer: Response) -> Response {
        let mut owners = self.legs.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND;
        if let Some(leg) = self.ended.filter(|_| is_over) {
            owners.remove(&leg);
            return answer;
        }
        if let Some(id) = answer.headers_mut().remove(ID) {
            let leg = (self.server, id.clone());
            let is_theirs = match owners.get(&leg) {
                Some(owner) => *owner == self.owner,
                None => owners.len() < MOST,
            };
            if is_theirs {
                owners.insert(leg, self.owner);
                answer.extensions_mut().insert(Given(id));
            }
        }
        answer
    }
}

fn owner(request: &Request) -> Option<(Arc<str>, Owner)> {
    let context = AuthContext::of(request.extensions())?;
    let server = Arc::clone(&request.extensions().get::<Route>()?.server);
    let (subject, app) = (context.subject_key()?.to_string(), context.app()?.id().to_string());
    Some((server, (subject, app)))
}
