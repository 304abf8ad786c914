//! The users that the manual has made in Redis may do all that their adapters do, and nothing else.
#![cfg(feature = "redis")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may stop at what cannot be"
)]

#[path = "support/redis.rs"]
#[expect(dead_code, reason = "a test kit of which this file uses a part")]
mod server;

use std::num::NonZeroU32;
use std::time::Duration;

use tower_bearer::limit::Limit;
use tower_bearer::store::{
    Ask, AskItem, ContextStore, Heard, LogId, Notice, PolicyName, Redis, RedisBus, RedisContexts,
    RedisWindows, RevocationBus, SharedKey, StoreFailure, WindowKey, WindowStore,
};
use tower_bearer::token::Digest;

use server::RedisServer;

const PAGE: &str = include_str!("../docs/manual/02-deployment.md");

#[tokio::test]
async fn three_users() {
    let Some(server) = RedisServer::start() else { return };
    let lines: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("ACL SETUSER ")).collect();
    assert_eq!(lines.len(), 3, "a line for each adapter");
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(server.say(&words), "OK", "{line}");
    }
    // nobody else gets in
    server.say(&["ACL", "SETUSER", "default", "-@all", "+acl", "+script|flush"]);
    let come_as = |user: &str, password: &str| {
        Redis::open(&format!("redis://{user}:{password}@127.0.0.1:{}", server.port)).unwrap()
    };

    let windows = RedisWindows::new(&come_as("tb-limits", "CHANGE-ME-1"));
    let (name, id) = (PolicyName::new("token").unwrap(), LogId::of_app("a"));
    let limit = Limit::new(NonZeroU32::MIN, Duration::from_secs(60)).unwrap();
    let exact = AskItem::new(WindowKey::new(&name, id, id), limit);
    let other = PolicyName::new("other").unwrap();
    let rounded = AskItem::new(WindowKey::new(&other, id, id), limit).rounded();
    let items = [exact, rounded];
    let ask = Ask::new(NonZeroU32::MIN, 0, &items).unwrap();
    assert!(windows.admit(&ask).await.unwrap().is_admitted(), "limits");
    assert!(!windows.admit(&ask).await.unwrap().is_admitted(), "limits");
    windows.probe(0).await.unwrap();

    let bus = come_as("tb-bus", "CHANGE-ME-2");
    let (bus, heard) = (RedisBus::new(&bus), RedisBus::new(&bus));
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let attending =
        tokio::spawn(async move { heard.attend(&mut |heard| drop(sender.send(heard))).await });
    assert_eq!(receiver.recv().await, Some(Heard::Joined), "bus");
    bus.publish(&Notice::All).await.unwrap();
    let told = Heard::Notice { notice: Notice::All, age: None };
    assert_eq!(receiver.recv().await, Some(told), "bus");
    server.say(&["SCRIPT", "FLUSH"]);
    bus.publish(&Notice::All).await.unwrap();
    attending.abort();

    let contexts = RedisContexts::new(&come_as("tb-contexts", "CHANGE-ME-3"));
    let (key, second) = (SharedKey::new([0; 16], Digest::of("a")), Duration::from_secs(1));
    contexts.keep(&key, b"kept", second).await.unwrap();
    assert_eq!(contexts.find(&key).await.unwrap().as_deref(), Some(&b"kept"[..]), "contexts");
    contexts.bury(&key, b"over", second).await.unwrap();

    for (name, user, password) in [
        ("the limits' user reads no contexts", "tb-limits", "CHANGE-ME-1"),
        ("the bus's neither", "tb-bus", "CHANGE-ME-2"),
        ("nobody with another password", "tb-contexts", "x"),
    ] {
        let error = RedisContexts::new(&come_as(user, password)).find(&key).await.unwrap_err();
        assert_eq!(error.failure(), StoreFailure::Auth, "{name}");
    }
    let bus = RedisBus::new(&come_as("tb-contexts", "CHANGE-ME-3"));
    let error = bus.publish(&Notice::All).await.unwrap_err();
    assert_eq!(error.failure(), StoreFailure::Auth, "the contexts' user tells nothing");
    for (user, words) in [
        ("tb-contexts", &["KEYS", "*"][..]),
        ("tb-contexts", &["SET", "tb:rl1:x", "1"]),
        ("tb-bus", &["PUBLISH", "other", "x"]),
        ("tb-bus", &["SET", "tb:revoked:n", "1"]),
        ("tb-limits", &["GET", "tb:ctx:x"]),
        ("tb-limits", &["FLUSHALL"]),
    ] {
        let mut asked = vec!["ACL", "DRYRUN", user];
        asked.extend(words);
        let said = server.say(&asked);
        assert!(said.contains("has no permissions"), "{user} {words:?}: {said}");
    }
}
