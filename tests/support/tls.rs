//! An authority of a test's own, and servers with its certificates.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::server::{RedisServer, free_port};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Starts a server that says it is `name`. `None` if this system has no Redis.
    pub(crate) fn server(&self, name: &str, arguments: &[&str]) -> Option<TlsServer> {
        let port = free_port();
        let dir = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let dir = dir.join(format!("tls-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let file = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (certificate, key) = (file("crt", certificate.pem()), file("key", key.serialize_pem()));
        let (authority, port_text) = (file("ca", self.pem.clone()), port.to_string());
        let mut all = vec!["--tls-port", &port_text, "--tls-cert-file", &certificate];
        all.extend(["--tls-key-file", &key, "--tls-ca-cert-file", &authority]);
        all.extend(["--tls-auth-clients", "no"]);
        all.extend(arguments);
        let server = RedisServer::start_with(&all);
        std::fs::remove_dir_all(&dir).unwrap();
        Some(TlsServer { plain: server?, port })
    }
}

/// A server with two ports.
pub(crate) struct TlsServer {
    /// What the test asks it by itself, without TLS.
    pub(crate) plain: RedisServer,
    /// The port that speaks TLS alone.
    pub(crate) port: u16,
}
