//! Where is the Redis, and as whom do we come?
//!
//! 1. Made of URLs, checked here, without I/O.
//! 2. Shows hosts and namespace, never a password or a user's name.

use ::redis as client;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::IntoConnectionInfo;
use client::aio::AsyncPushSender;
use client::{AsyncConnectionConfig, ConnectionInfo, ProtocolVersion};

use crate::store::redis::link::Connection;

/// Where a Redis or Valkey is: one server, a Sentinel set or a Cluster.
///
/// Makes no connection; the adapters made of it do, each its own, when they are first asked. Redis 6.2 or later, Valkey
/// 7.2 or later.
///
/// ```
/// use tower_bearer::store::Redis;
///
/// # fn main() -> Result<(), tower_bearer::store::RedisConfigError> {
/// let redis = Redis::open("redis://limits:secret@10.0.0.5:6379/0")?.namespace("shop")?;
/// assert_eq!(format!("{redis:?}"), r#"Redis { hosts: ["10.0.0.5:6379"], namespace: "shop" }"#);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "it only says where a Redis is; an adapter uses it"]
pub struct Redis {
    place: Place,
    namespace: Arc<str>,
    connect_within: Duration,
    #[cfg(feature = "redis-tls")]
    root_certificate: Option<Arc<[u8]>>,
}

#[derive(Clone)]
enum Place {
    Server(Box<ConnectionInfo>),
    #[cfg(feature = "redis-sentinel")]
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        service: String,
        nodes: Box<Nodes>,
    },
    #[cfg(feature = "redis-cluster")]
    Cluster(Vec<ConnectionInfo>),
}

/// How the servers behind a Sentinel set are entered.
#[cfg(feature = "redis-sentinel")]
#[derive(Clone, Default)]
struct Nodes {
    user: Option<String>,
    password: Option<String>,
    database: i64,
    tls: bool,
}

/// Why a [`Redis`] could not be named. No part of the URL is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// It is no `redis://`, `rediss://` or `unix://` URL.
    #[error("URL of redis is no redis://, rediss:// or unix:// URL")]
    BadUrl,
    /// `rediss://` needs the feature `redis-tls`.
    #[error("URL of redis asks for TLS, which needs the feature redis-tls")]
    TlsNotBuiltIn,
    /// A Sentinel set or a Cluster needs at least one URL.
    #[error("no node of redis is named")]
    NoNodes,
    /// The namespace is no `[a-z0-9-]{1,32}`.
    #[error("namespace is no 1 to 32 of a-z, 0-9 and -")]
    BadNamespace,
    /// The time to connect is outside 10 ms to 10 s.
    #[error("time to connect is outside 10 ms to 10 s")]
    ConnectOutOfRange,
}

impl Redis {
    /// One server: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, `unix://path`.
    ///
    /// # Errors
    /// [`RedisConfigError::BadUrl`], [`RedisConfigError::TlsNotBuiltIn`].
    pub fn open(url: &str) -> Result<Self, RedisConfigError> {
        Ok(Self::at(Place::Server(Box::new(read(url)?))))
    }

    /// The primary that a Sentinel set names `service`; asked anew for each connection, so a failover is followed.
    ///
    /// Credentials in the URLs are those of the sentinels; [`login`](Self::login) has those of the servers behind.
    /// `rediss://` sentinels mean TLS to the servers as well.
    ///
    /// # Errors
    /// [`RedisConfigError::NoNodes`], [`RedisConfigError::BadUrl`], [`RedisConfigError::TlsNotBuiltIn`].
    #[cfg(feature = "redis-sentinel")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-sentinel")))]
    pub fn sentinel<'a>(
        urls: impl IntoIterator<Item = &'a str>,
        service: impl Into<String>,
    ) -> Result<Self, RedisConfigError> {
        let sentinels = read_all(urls)?;
        let tls = sentinels.iter().any(|info| is_tls(info.addr()));
        let nodes = Box::new(Nodes { tls, ..Nodes::default() });
        Ok(Self::at(Place::Sentinel { sentinels, service: service.into(), nodes }))
    }

    /// A Cluster, known by some of its nodes; TLS and credentials of the first URL count for all, a database for none.
    ///
    /// # Errors
    /// [`RedisConfigError::NoNodes`], [`RedisConfigError::BadUrl`], [`RedisConfigError::TlsNotBuiltIn`].
    #[cfg(feature = "redis-cluster")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-cluster")))]
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, RedisConfigError> {
        let nodes = read_all(urls)?;
        if nodes.iter().any(|info| node_of(info.addr()).is_none()) {
            return Err(RedisConfigError::BadUrl);
        }
        Ok(Self::at(Place::Cluster(nodes)))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            namespace: "tb".into(),
            connect_within: Duration::from_millis(100),
            #[cfg(feature = "redis-tls")]
            root_certificate: None,
        }
    }

    /// Begins every key and channel with `namespace` and a colon. Default `tb`; `[a-z0-9-]{1,32}`.
    ///
    /// Services with one namespace on one Redis share the budgets of policies with the same name.
    ///
    /// # Errors
    /// [`RedisConfigError::BadNamespace`].
    pub fn namespace(mut self, namespace: &str) -> Result<Self, RedisConfigError> {
        let ok = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !(1..=32).contains(&namespace.len()) || !namespace.bytes().all(ok) {
            return Err(RedisConfigError::BadNamespace);
        }
        self.namespace = namespace.into();
        Ok(self)
    }

    /// How long one attempt to connect may take, TLS and login included. Default 100 ms; 10 ms to 10 s.
    ///
    /// Attempts run in the background: no request waits longer than its own deadline for one.
    ///
    /// # Errors
    /// [`RedisConfigError::ConnectOutOfRange`].
    pub fn connect_within(mut self, time: Duration) -> Result<Self, RedisConfigError> {
        if !(Duration::from_millis(10)..=Duration::from_secs(10)).contains(&time) {
            return Err(RedisConfigError::ConnectOutOfRange);
        }
        self.connect_within = time;
        Ok(self)
    }

    /// User, password and database of the servers behind a Sentinel set; nothing for other sorts, whose URL has them.
    #[cfg(feature = "redis-sentinel")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-sentinel")))]
    pub fn login(mut self, user: Option<&str>, password: Option<&str>, database: u16) -> Self {
        if let Place::Sentinel { nodes, .. } = &mut self.place {
            nodes.user = user.map(str::to_owned);
            nodes.password = password.map(str::to_owned);
            nodes.database = database.into();
        }
        self
    }

    /// Trusts the authorities of this PEM text for `rediss://`, instead of those of the operating system.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn root_certificate(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.root_certificate = Some(pem.as_ref().into());
        self
    }

    pub(super) fn prefix(&self) -> &Arc<str> {
        &self.namespace
    }

    pub(super) fn time_to_connect(&self) -> Duration {
        self.connect_within
    }

    /// Is it made of shards, each of which decides on its own keys alone?
    pub(super) fn is_cluster(&self) -> bool {
        match &self.place {
            Place::Server(_) => false,
            #[cfg(feature = "redis-sentinel")]
            Place::Sentinel { .. } => false,
            #[cfg(feature = "redis-cluster")]
            Place::Cluster(_) => true,
        }
    }

    /// Makes a connection; what the server sends unasked goes to `pushes`.
    pub(super) async fn connect<P: AsyncPushSender>(
        &self,
        pushes: Option<P>,
    ) -> client::RedisResult<Connection> {
        #[cfg(feature = "redis-tls")]
        provide_cryptography();
        match &self.place {
            Place::Server(info) => {
                let info = ConnectionInfo::clone(info);
                let opened = self.client(info)?;
                let config = self.config(pushes);
                let made = opened.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Connection::Server(made))
            }
            #[cfg(feature = "redis-sentinel")]
            Place::Sentinel { sentinels, service, nodes } => {
                let primary = self.client(self.primary(sentinels, service, nodes).await?)?;
                let config = self.config(pushes);
                let made = primary.get_multiplexed_async_connection_with_config(&config).await?;
                Ok(Connection::Server(made))
            }
            #[cfg(feature = "redis-cluster")]
            Place::Cluster(_) => {
                Err((client::ErrorKind::InvalidClientConfig, "each node is entered by itself")
                    .into())
            }
        }
    }

    /// The nodes that we were told of.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn seeds(&self) -> Vec<(String, u16)> {
        match &self.place {
            Place::Server(info) => node_of(info.addr()).into_iter().collect(),
            #[cfg(feature = "redis-sentinel")]
            Place::Sentinel { .. } => Vec::new(),
            Place::Cluster(nodes) => nodes.iter().filter_map(|info| node_of(info.addr())).collect(),
        }
    }

    /// One node of a Cluster, entered as the first one that we were told of.
    #[cfg(feature = "redis-cluster")]
    pub(super) fn node(&self, (host, port): &(String, u16)) -> Self {
        let Place::Cluster(nodes) = &self.place else { return self.clone() };
        let Some(info) = nodes.first() else { return self.clone() };
        let (host, port) = (host.clone(), *port);
        let address =
            if let client::ConnectionAddr::TcpTls { insecure, tls_params, .. } = info.addr() {
                let (insecure, tls_params) = (*insecure, tls_params.clone());
                client::ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            } else {
                client::ConnectionAddr::Tcp(host, port)
            };
        let login = info.redis_settings().clone().set_db(0);
        let info = info.clone().set_addr(address).set_redis_settings(login);
        Self { place: Place::Server(Box::new(info)), ..self.clone() }
    }

    fn client(&self, info: ConnectionInfo) -> client::RedisResult<client::Client> {
        // unnamed, so that a user needs no right to name its client: before 7.2 there is none to give
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let login = login.set_skip_set_lib_name();
        let info = info.set_redis_settings(login).set_tcp_settings(tcp());
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = self.certificates() {
            return client::Client::build_with_tls(info, certificates);
        }
        client::Client::open(info)
    }

    /// Asks all sentinels at once, each by itself, so that one which hangs stops nobody. The first that names a server
    /// which says of itself that it is the primary counts.
    #[cfg(feature = "redis-sentinel")]
    async fn primary(
        &self,
        sentinels: &[ConnectionInfo],
        service: &str,
        nodes: &Nodes,
    ) -> client::RedisResult<ConnectionInfo> {
        let mut asked = tokio::task::JoinSet::new();
        for sentinel in sentinels {
            let mut sentinel = self.sentinel_client(sentinel, service, nodes)?;
            asked.spawn(async move { sentinel.async_get_client().await });
        }
        let mut failed =
            client::RedisError::from((client::ErrorKind::EmptySentinelList, "no sentinel to ask"));
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(primary)) => return Ok(primary.get_connection_info().clone()),
                Ok(Err(error)) => failed = error,
                Err(_panicked) => {}
            }
        }
        Err(failed)
    }

    #[cfg(feature = "redis-sentinel")]
    fn sentinel_client(
        &self,
        sentinel: &ConnectionInfo,
        service: &str,
        nodes: &Nodes,
    ) -> client::RedisResult<client::sentinel::SentinelClient> {
        use client::sentinel::{SentinelClientBuilder, SentinelServerType};

        let address = [sentinel.addr().clone()];
        let mut builder = SentinelClientBuilder::new(address, service, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp())
            .set_client_to_redis_db(nodes.database);
        if let Some(user) = &nodes.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &nodes.password {
            builder = builder.set_client_to_redis_password(password);
        }
        let login = sentinel.redis_settings();
        if let Some(user) = login.username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if nodes.tls {
            builder = builder.set_client_to_redis_tls_mode(client::TlsMode::Secure);
        }
        #[cfg(feature = "redis-tls")]
        if let (true, Some(certificates)) = (nodes.tls, self.certificates()) {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        builder.build()
    }

    fn config(&self, pushes: Option<impl AsyncPushSender>) -> AsyncConnectionConfig {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_within))
            .set_response_timeout(Some(RESPONSE))
            .set_pipeline_buffer_size(PIPELINE);
        match pushes {
            Some(pushes) => config.set_push_sender(pushes),
            None => config,
        }
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> Option<client::TlsCertificates> {
        let root_cert = Some(self.root_certificate.as_ref()?.to_vec());
        Some(client::TlsCertificates { client_tls: None, root_cert })
    }

    fn hosts(&self) -> Vec<String> {
        match &self.place {
            Place::Server(info) => vec![info.addr().to_string()],
            #[cfg(feature = "redis-sentinel")]
            Place::Sentinel { sentinels, .. } => {
                sentinels.iter().map(|info| info.addr().to_string()).collect()
            }
            #[cfg(feature = "redis-cluster")]
            Place::Cluster(nodes) => nodes.iter().map(|info| info.addr().to_string()).collect(),
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("hosts", &self.hosts())
            .field("namespace", &self.namespace)
            .finish()
    }
}

/// Calls that may wait for their answer on one connection.
const PIPELINE: usize = 1_024;
/// Bounds what our own deadlines should have ended.
const RESPONSE: Duration = Duration::from_millis(250);

fn read(url: &str) -> Result<ConnectionInfo, RedisConfigError> {
    if url.starts_with("rediss:") && cfg!(not(feature = "redis-tls")) {
        return Err(RedisConfigError::TlsNotBuiltIn);
    }
    // the client's own words may quote the URL
    url.into_connection_info().ok().ok_or(RedisConfigError::BadUrl)
}

#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
fn read_all<'a>(
    urls: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<ConnectionInfo>, RedisConfigError> {
    let all: Vec<ConnectionInfo> = urls.into_iter().map(read).collect::<Result<_, _>>()?;
    if all.is_empty() { Err(RedisConfigError::NoNodes) } else { Ok(all) }
}

#[cfg(feature = "redis-sentinel")]
fn is_tls(address: &client::ConnectionAddr) -> bool {
    matches!(address, client::ConnectionAddr::TcpTls { .. })
}

#[cfg(feature = "redis-cluster")]
fn node_of(address: &client::ConnectionAddr) -> Option<(String, u16)> {
    if let client::ConnectionAddr::Tcp(host, port)
    | client::ConnectionAddr::TcpTls { host, port, .. } = address
    {
        Some((host.clone(), *port))
    } else {
        None
    }
}

fn tcp() -> client::io::tcp::TcpSettings {
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    client::io::tcp::TcpSettings::default().set_nodelay(true).set_keepalive(alive)
}

/// The client takes the process's choice of cryptography, and panics where nobody has chosen.
#[cfg(feature = "redis-tls")]
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // somebody else may choose in the same moment: either choice will do
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let hosts = |url| Redis::open(url).map(|redis| redis.hosts().join(" "));
        for (name, url, want) in [
            ("host", "redis://example", Ok("example:6379")),
            ("port and database", "redis://example:7000/3", Ok("example:7000")),
            ("login", "redis://user:hunter2@example", Ok("example:6379")),
            ("no scheme", "example:6379", Err(RedisConfigError::BadUrl)),
            ("another scheme", "http://example", Err(RedisConfigError::BadUrl)),
            ("bad database", "redis://:hunter2@example/x", Err(RedisConfigError::BadUrl)),
            ("nothing", "", Err(RedisConfigError::BadUrl)),
        ] {
            assert_eq!(hosts(url).as_deref(), want.as_ref().copied(), "{name}");
        }
    }

    #[cfg(not(feature = "redis-tls"))]
    #[test]
    fn tls_is_a_feature() {
        let opened = Redis::open("rediss://user:hunter2@example").err();
        assert_eq!(opened, Some(RedisConfigError::TlsNotBuiltIn), "never plain instead");
        #[cfg(feature = "redis-cluster")]
        assert_eq!(
            Redis::cluster(["redis://example", "rediss://example"]).err(),
            Some(RedisConfigError::TlsNotBuiltIn)
        );
    }

    #[cfg(feature = "redis-cluster")]
    #[test]
    fn clusters() {
        let hosts = |urls: &[&str]| {
            Redis::cluster(urls.iter().copied()).map(|redis| redis.hosts().join(" "))
        };
        for (name, urls, want) in [
            ("two nodes", &["redis://a", "redis://b:7000"][..], Ok("a:6379 b:7000")),
            ("none", &[], Err(RedisConfigError::NoNodes)),
            ("a socket has no slot", &["unix:///run/redis"], Err(RedisConfigError::BadUrl)),
            ("no URL", &["redis://a", "b:7000"], Err(RedisConfigError::BadUrl)),
        ] {
            assert_eq!(hosts(urls).as_deref(), want.as_ref().copied(), "{name}");
        }
        let cluster = Redis::cluster(["redis://user:hunter2@a/3", "redis://b"]).unwrap();
        let node = cluster.namespace("shop").unwrap().node(&("c".into(), 7_001));
        assert_eq!(format!("{node:?}"), r#"Redis { hosts: ["c:7001"], namespace: "shop" }"#);
        let Place::Server(info) = &node.place else { panic!("one server") };
        let login = info.redis_settings();
        assert_eq!((login.username(), login.password()), (Some("user"), Some("hunter2")));
        assert_eq!(login.db(), 0, "a Cluster has one database");
    }

    #[test]
    fn no_password_shows() {
        let redis = Redis::open("redis://user:hunter2@example/1").unwrap();
        let shown = format!("{redis:?} {:?}", Redis::open("redis://:hunter2@example/x"));
        assert!(!shown.contains("hunter2") && !shown.contains("user"), "XK2: {shown}");
    }

    #[test]
    fn namespaces() {
        for (name, namespace, want) in [
            ("P1309 default", "tb", true),
            ("P1309 32 characters", "abcdefghijklmnopqrstuvwxyz-01234", true),
            ("P1309 33 characters", "abcdefghijklmnopqrstuvwxyz-012345", false),
            ("P1309 nothing", "", false),
            ("P1309 a colon", "a:b", false),
            ("P1309 upper case", "Tb", false),
            ("P1309 a brace", "{a}", false),
        ] {
            let redis = Redis::open("redis://example").unwrap().namespace(namespace);
            assert_eq!(redis.is_ok(), want, "{name}");
        }
    }
}
