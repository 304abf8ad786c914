//! An issuer that follows a script, byte for byte, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// These bytes, then the end of the connection.
    Says(Vec<u8>),
    /// These bytes, then nothing more for as long as the client stays.
    Hangs(Vec<u8>),
    /// These bytes, then the same chunk for as long as the client reads.
    Floods(Vec<u8>),
}

/// A server on loopback. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Scripted {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<String>>>,
    hits: Arc<AtomicUsize>,
}

impl Scripted {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::new(Mutex::new(says(204, "", ""))),
            heard: Arc::default(),
            hits: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.hits.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(accepting.clone().serve(stream));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, for every request.
    pub(crate) fn follows(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// Connections so far.
    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> String {
        self.heard.lock().unwrap().concat()
    }

    /// The last request: head and body.
    pub(crate) fn heard(&self) -> (String, String) {
        let heard = self.heard.lock().unwrap();
        let (head, body) = heard.last().unwrap().split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    async fn serve(self, mut stream: TcpStream) {
        let Some(request) = request(&mut stream).await else { return };
        self.heard.lock().unwrap().push(request);
        let script = self.script.lock().unwrap().clone();
        match script {
            Script::Says(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.shutdown().await.ok();
            }
            Script::Hangs(bytes) => {
                stream.write_all(&bytes).await.ok();
                while stream.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
            }
            Script::Floods(bytes) => {
                stream.write_all(&bytes).await.ok();
                let chunk = [b"400\r\n".as_slice(), &[b' '; 1_024], b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {}
            }
        }
    }
}

/// A whole answer whose length is said; `fields` are whole lines.
pub(crate) fn says(status: u16, fields: &str, body: &str) -> Script {
    let length = body.len();
    Script::Says(
        format!(
            "HTTP/1.1 {status} Said\r\n{fields}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes(),
    )
}

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
