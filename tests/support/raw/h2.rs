//! Requests over HTTP/2 whose field sections are written by hand: literal, never indexed, nothing checked (RFC 7541 §6.2.3).
//!
//! The `h2` crate opens the connection and reads the answers; on the way out each of its field sections is exchanged
//! for the row's.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use super::h1::PATIENCE;
use super::message::Message;
use super::rows::{Step, bytes};

type Sections = Arc<Mutex<VecDeque<Vec<u8>>>>;

pub struct Connection {
    address: String,
    client: SendRequest<Bytes>,
    sections: Sections,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (from_client, mut to_client) = tokio::io::split(far);
        let (mut from_server, to_server) = stream.into_split();
        let sections = Sections::default();
        tokio::spawn(exchange(from_client, to_server, Arc::clone(&sections)));
        tokio::spawn(async move {
            tokio::io::copy(&mut from_server, &mut to_client).await.ok();
            to_client.shutdown().await.ok();
        });
        let (client, connection) = h2::client::handshake(near).await.unwrap();
        tokio::spawn(async move {
            connection.await.ok();
        });
        Self { address: address.to_owned(), client, sections }
    }

    /// Sends a step, `times` at once, and reads the answers; `Err` where the stream was reset.
    pub async fn send(
        &mut self,
        step: &Step,
        names: &HashMap<String, String>,
    ) -> Vec<Result<Message, String>> {
        let mut waiting = Vec::new();
        for _ in 0..step.times {
            waiting.push(tokio::spawn(self.one(step, names).await));
        }
        let mut answers = Vec::new();
        for answer in waiting {
            let answer = tokio::time::timeout(PATIENCE, answer).await;
            answers
                .push(answer.map_or_else(|_| Err("no answer in time".to_owned()), Result::unwrap));
        }
        answers
    }

    async fn one(
        &mut self,
        step: &Step,
        names: &HashMap<String, String>,
    ) -> impl Future<Output = Result<Message, String>> + Send + 'static {
        let body = Bytes::from(bytes(&step.body, names));
        let has_trailers = !step.trailers.is_empty();
        let ends = body.is_empty() && !has_trailers;
        let method = if step.method == "HEAD" { Method::HEAD } else { Method::POST };
        let request = Request::builder().method(method).uri("http://exchanged/").body(()).unwrap();
        let trailers = has_trailers.then(|| section(&step.trailers, names));
        let head = section(&head(step, &self.address), names);
        let ready = std::future::poll_fn(|cx| self.client.poll_ready(cx)).await;
        let sent = ready.and_then(|()| self.client.send_request(request, ends));
        if sent.is_ok() {
            self.sections.lock().unwrap().push_back(head);
        }
        let sections = Arc::clone(&self.sections);
        async move {
            let (answer, stream) = sent.map_err(|error| format!("cut ({error})"))?;
            if !ends {
                tokio::spawn(send_body(stream, body, trailers, sections));
            }
            let answer = answer.await.map_err(|error| format!("cut ({error})"))?;
            read(answer).await.map_err(|error| format!("cut in its body ({error})"))
        }
    }
}

async fn send_body(
    mut stream: SendStream<Bytes>,
    mut body: Bytes,
    trailers: Option<Vec<u8>>,
    sections: Sections,
) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
            return; // refused early: nobody reads on
        };
        let piece = body.split_to(room.min(body.len()));
        let ends = body.is_empty() && trailers.is_none();
        if stream.send_data(piece, ends).is_err() {
            return;
        }
    }
    if let Some(trailers) = trailers {
        sections.lock().unwrap().push_back(trailers);
        let mut exchanged = http::HeaderMap::new();
        exchanged.insert("exchanged", http::HeaderValue::from_static("1"));
        stream.send_trailers(exchanged).ok();
    }
}

async fn read(answer: Response<RecvStream>) -> Result<Message, h2::Error> {
    let (head, mut body) = answer.into_parts();
    let mut message =
        Message { start: format!("HTTP/2 {}", head.status.as_u16()), ..Message::default() };
    for (name, value) in &head.headers {
        message.fields.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        message.body.extend(piece);
    }
    Ok(message)
}

/// Pseudo-headers, then fields, then what stands last.
fn head(step: &Step, address: &str) -> Vec<(String, String)> {
    let own = step.only_h2();
    let mut head = Vec::new();
    for (name, value) in [
        (":method", step.method.as_str()),
        (":scheme", "http"),
        (":authority", address),
        (":path", step.target.as_str()),
    ] {
        let set = step.fields.iter().filter(|(field, _)| field == name);
        let set: Vec<_> = set.map(|(_, value)| value.as_str()).collect();
        let left_out = step.fields.iter().any(|(field, _)| field.strip_prefix('-') == Some(name));
        let values = if set.is_empty() && !left_out { vec![value] } else { set };
        head.extend(values.into_iter().map(|value| (name.to_owned(), value.to_owned())));
    }
    let plain = |name: &str| !name.starts_with(['-', '!']) && !PSEUDO.contains(&name);
    for (name, value) in step.fields.iter().filter(|(name, _)| plain(name)) {
        let name = if own { name.clone() } else { name.to_ascii_lowercase() };
        head.push((name, value.clone()));
    }
    for (name, value) in &step.fields {
        if let Some(name) = name.strip_prefix('!') {
            head.push((name.to_owned(), value.clone()));
        }
    }
    head
}

const PSEUDO: [&str; 4] = [":method", ":scheme", ":authority", ":path"];

impl Step {
    /// Upper-case names are sent as they are if any field is one that only this protocol has.
    fn only_h2(&self) -> bool {
        self.fields.iter().any(|(name, _)| name.starts_with([':', '!', '-']))
    }
}

fn section(fields: &[(String, String)], names: &HashMap<String, String>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10); // literal, never indexed, new name
        string(&mut block, &bytes(name, names));
        string(&mut block, &bytes(value, names));
    }
    block
}

/// RFC 7541 §5.2, without Huffman's code.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128 + 128).unwrap());
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text);
}

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const MAX_FRAME: usize = 16_384;

/// Copies frames; a HEADERS frame leaves with the next section instead of its own.
async fn exchange(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: OwnedWriteHalf,
    sections: Sections,
) -> io::Result<()> {
    let mut preface = [0; 24];
    from.read_exact(&mut preface).await?;
    to.write_all(&preface).await?;
    loop {
        let mut head = [0; 9];
        from.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        if head[3] != HEADERS {
            to.write_all(&[&head[..], &payload].concat()).await?;
            continue;
        }
        assert_eq!(head[4] & END_HEADERS, END_HEADERS, "the exchanged section is small");
        let section = next(&sections).await;
        let pieces: Vec<&[u8]> = section.chunks(MAX_FRAME).collect();
        let mut frames = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            let kind = if at == 0 { HEADERS } else { CONTINUATION };
            let first = if at == 0 { head[4] & END_STREAM } else { 0 };
            let last = if at + 1 == pieces.len() { END_HEADERS } else { 0 };
            frames.extend(&u32::try_from(piece.len()).unwrap().to_be_bytes()[1..]);
            frames.extend([kind, first | last]);
            frames.extend(&head[5..]);
            frames.extend(*piece);
        }
        to.write_all(&frames).await?;
    }
}

async fn next(sections: &Sections) -> Vec<u8> {
    loop {
        if let Some(section) = sections.lock().unwrap().pop_front() {
            return section;
        }
        tokio::task::yield_now().await;
    }
}
