//! Over TLS an issuer is believed by its certificate alone, and HTTP/2 leaks no more than HTTP/1.1.
#![cfg(feature = "issuer-http")]
#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tower_bearer::Secret;
use tower_bearer::clock::Timestamp;
use tower_bearer::issuer_http::{HttpErrorKind, HttpIssuer};
use tower_bearer::store::{IdentityIssuer, IssueAnswer, IssueRequest};
use tracing_subscriber::util::SubscriberInitExt as _;

const CANARY: &str = "CaNaRy8";

#[tokio::test]
async fn an_issuer_over_tls() {
    let log = Log::default();
    let writer = log.clone();
    let everything = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    everything.with_ansi(false).with_writer(move || writer.clone()).finish().init();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    for (name, protocol, version) in
        [("HTTP/1.1", "http/1.1", Version::HTTP_11), ("HTTP/2", "h2", Version::HTTP_2)]
    {
        let right = Server::start(&ours, "localhost", protocol).await;
        let other = Server::start(&ours, "elsewhere.test", protocol).await;
        let issuer = |port: u16| {
            let issuer = HttpIssuer::new(&format!("https://localhost:{port}/tokens")).unwrap();
            issuer.credential(Secret::new(format!("{CANARY}-ours"))).unwrap()
        };
        let trusting = |port, of: &Authority| issuer(port).root_certificate(&of.pem).unwrap();
        let answer = trusting(right.port, &ours).issue(request()).await.unwrap();
        let IssueAnswer::Token { secret, .. } = answer else { panic!("{name}: {answer:?}") };
        assert_eq!(secret.expose(), format!("{CANARY}-minted"), "{name}");
        assert_eq!(*right.heard.lock().unwrap(), [(version, format!("Bearer {CANARY}-ours"))]);
        for (why, issuer) in [
            ("an authority that is not trusted", issuer(right.port)),
            ("another authority", trusting(right.port, &theirs)),
            ("another name", trusting(other.port, &ours)),
        ] {
            let error = issuer.issue(request()).await.unwrap_err();
            assert_eq!(error.kind(), HttpErrorKind::Connect, "{name}: {why}");
        }
        assert_eq!(right.heard.lock().unwrap().len(), 1, "{name}: nobody else was heard");
        assert!(other.heard.lock().unwrap().is_empty(), "{name}: no credential for another name");
    }
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("h2::"), "the log of HTTP/2 is heard");
    let hit = text.lines().find(|line| line.contains(CANARY));
    assert_eq!(hit, None, "FM4");
}

fn request() -> IssueRequest {
    IssueRequest::new("acc-alice", "https://mcp.example.com/mcp", Timestamp::from_secs(1))
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

/// An issuer that says it is `name` and speaks one protocol.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<(Version, String)>>>,
}

impl Server {
    async fn start(authority: &Authority, name: &str, protocol: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        config.alpn_protocols = vec![protocol.into()];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, heard) = (TlsAcceptor::from(Arc::new(config)), Arc::default());
        let server = Self { port, heard: Arc::clone(&heard) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&heard)));
            }
        });
        server
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    heard: Arc<Mutex<Vec<(Version, String)>>>,
) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let answer = service_fn(|request: Request<Incoming>| {
        let heard = Arc::clone(&heard);
        async move {
            // the server's own log is not what is tested: what it knows goes no further than here
            let credential = request.headers()["authorization"].to_str().unwrap().to_owned();
            heard.lock().unwrap().push((request.version(), credential));
            request.into_body().collect().await.unwrap();
            let body = format!(r#"{{"token":"{CANARY}-minted","expires_at":2}}"#);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
        }
    });
    let builder = Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(stream), answer).await.ok();
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
