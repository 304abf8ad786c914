//! `--redis URL`: what every process that names the same Redis shares with the others.
//!
//! | what | adapter | while Redis is out |
//! | --- | --- | --- |
//! | limits | `RedisWindows` | each process admits up to the limit itself |
//! | what is known of a token | `RedisContexts` | each process asks its own store |
//! | what was revoked or changed | `RedisBus` | heard when cached facts end, 30 s at most |

use tower_bearer::authenticator::AuthenticatorBuilder;
use tower_bearer::limit::{Limiter, LimiterBuilder};
use tower_bearer::store::MemoryStore;

/// Where the Redis is.
#[derive(Debug)]
pub struct Sharing {
    #[cfg(feature = "redis")]
    redis: tower_bearer::store::Redis,
    #[cfg(not(feature = "redis"))]
    never: std::convert::Infallible,
}

#[cfg(feature = "redis")]
impl Sharing {
    /// Reads the flag's value; what is said of a bad one holds no part of it, for it may have a password in it.
    pub fn at(url: &str) -> Result<Self, String> {
        let redis = tower_bearer::store::Redis::open(url);
        Ok(Self { redis: redis.map_err(|error| format!("--redis: {error}"))? })
    }

    /// Tokens that one process has looked up are known to all; what one revokes, all refuse, and their stores are told.
    pub fn facts(&self, auth: AuthenticatorBuilder, store: &MemoryStore) -> AuthenticatorBuilder {
        use tower_bearer::store::{RedisBus, RedisContexts};

        auth.name("quickstart")
            .shared_cache(RedisContexts::new(&self.redis))
            .bus(RedisBus::new(&self.redis))
            .tells(store.clone())
    }

    /// One log per token, whichever process is asked.
    pub fn limits(&self, limiter: LimiterBuilder) -> LimiterBuilder {
        limiter.store(tower_bearer::store::RedisWindows::new(&self.redis))
    }

    /// What to say if Redis does not come within two seconds. The service starts all the same.
    pub async fn missing(&self, limiter: &Limiter) -> Option<String> {
        let why = limiter.ready().await.err()?.failure().as_str();
        Some(format!("redis is out ({why}); until it is there this process is on its own"))
    }
}

#[cfg(not(feature = "redis"))]
impl Sharing {
    pub fn at(_: &str) -> Result<Self, String> {
        let command = "cargo run --features redis --example quickstart -- --redis URL";
        Err(format!("--redis needs the feature redis: {command}"))
    }

    pub fn facts(&self, _: AuthenticatorBuilder, _: &MemoryStore) -> AuthenticatorBuilder {
        match self.never {}
    }

    pub fn limits(&self, _: LimiterBuilder) -> LimiterBuilder {
        match self.never {}
    }

    pub async fn missing(&self, _: &Limiter) -> Option<String> {
        match self.never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_bad_url_holds_no_password() {
        for url in ["http://user:secret@127.0.0.1", "secret", "redis://user:secret@[::1", ""] {
            let said = Sharing::at(url).unwrap_err();
            assert!(said.starts_with("--redis") && !said.contains("secret"), "XK2 {url}: {said}");
            assert_eq!(said.lines().count(), 1, "P1403 {url}: {said}");
        }
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn without_the_feature_it_is_named() {
        let said = Sharing::at("redis://127.0.0.1").unwrap_err();
        assert!(said.contains("--features redis --example quickstart"), "{said}");
    }

    #[cfg(feature = "redis")]
    #[test]
    fn no_password_is_shown() {
        let sharing = Sharing::at("redis://user:secret@127.0.0.1:6379").unwrap();
        assert!(!format!("{sharing:?}").contains("secret"), "XK2 {sharing:?}");
    }
}
