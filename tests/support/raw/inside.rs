//! A stack in this process, so that what its stores were asked can be counted.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower_bearer::stack::{
    AccessModes, AppAuthz, AppResolver, BearerCheck, BearerStack, Finder, StripIdentity,
    WorkspaceMembershipCheck, host,
};

use super::message::Message;
use super::rows::Step;
use super::{h1, run};
use crate::support::scripted::Scripted;
use crate::support::world::{World, account, external, token};

pub struct Inside {
    pub address: String,
    pub names: HashMap<String, String>,
    store: Scripted,
}

impl Inside {
    /// Starts it and asks every store once, so that what is known is known.
    pub async fn start() -> Self {
        let world = World::new();
        world.app("app-public", "ws-north", "public");
        world.app("app-south", "ws-south", "public");
        world.member("acc-member", "ws-north");
        world.member("acc-outsider", "ws-south");
        let mut names = HashMap::new();
        for (n, name, who, scopes) in [
            (1, "member-full", account("acc-member"), "full"),
            (2, "member-read", account("acc-member"), "apps:read"),
            (3, "outsider-full", account("acc-outsider"), "full"),
            (4, "guest", external("guest-1"), ""),
        ] {
            // a letter at the end, for rows that change its case
            let prefix = if name == "guest" { "ext_" } else { "tst_" };
            let text = format!("{}A", &token(prefix, n * 10)[..46]);
            world.token(&text, who, scopes);
            names.insert(name.to_owned(), text);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let store = world.store.clone();
        let router = routes(&world);
        tokio::spawn(async move {
            let _world = world;
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder.serve_connection(TokioIo::new(socket), service).await.ok();
                });
            }
        });
        let this = Self { address, names, store };
        this.warm().await;
        this
    }

    async fn warm(&self) {
        let mut connection = h1::Connection::open(&self.address).await;
        for name in ["member-full", "member-read", "outsider-full", "guest"] {
            for path in ["/me", "/apps/app-public/run", "/apps/app-south/run"] {
                let field = ("authorization".to_owned(), format!("Bearer {{{name}}}"));
                let step = Step {
                    method: "POST".to_owned(),
                    target: path.to_owned(),
                    fields: vec![field],
                    times: 1,
                    answers: vec![run::any_answer()],
                    ..Step::default()
                };
                let answers = connection.send(&step, &self.names).await;
                assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            }
        }
    }

    pub fn calls(&self) -> usize {
        let Scripted { tokens, apps, permits, members, callers } = &self.store;
        tokens.calls() + apps.calls() + permits.calls() + members.calls() + callers.calls()
    }
}

fn routes(world: &World) -> Router {
    let (auth, store) = (&world.auth, &world.store);
    let anyone = BearerStack::new(BearerCheck::new(auth));
    let members = WorkspaceMembershipCheck::new(auth, store.clone()).exempt_external();
    let modes = AppAuthz::new(auth, AccessModes::new(auth, store.clone()));
    let stack = |scope: &str, finder| {
        anyone
            .clone()
            .require_scopes([scope])
            .unwrap()
            .resolve_app(AppResolver::new(auth, store.clone(), finder))
            .require_membership_or_external(members.clone())
            .authorize_app(modes.clone())
    };
    let by_host = Finder::with(|head| {
        let host = host(head)?;
        Some(host.strip_suffix(".apps.example")?.to_owned())
    });
    let path = || Finder::path("/apps/{app}").unwrap();
    let optional = BearerStack::new(BearerCheck::new(auth).optional());
    Router::new()
        .route("/me", any(echo).layer(anyone.clone()))
        .route("/apps/{app}", any(echo).layer(stack("apps:read", path())))
        .route("/apps/{app}/run", any(echo).layer(stack("apps:run", path())))
        .route("/by-host", any(echo).layer(stack("apps:read", by_host)))
        .route("/public/{*rest}", any(echo).layer(StripIdentity::new()))
        .route("/optional", any(echo).layer::<_, Infallible>(StripIdentity::new()).layer(optional))
        .fallback_service(any(echo).layer(anyone).with_state(()))
}

/// The method and every field that is left, a line each.
async fn echo(request: Request) -> String {
    let lines = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    format!("{} {}\n{}", request.method(), request.uri(), lines.collect::<String>())
}

/// What a stack in this process says is said by the service too.
pub fn unlike(there: &Message, here: &Message) -> bool {
    there.status() != here.status() || (there.status() >= 400 && there.body != here.body)
}
