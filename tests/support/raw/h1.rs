//! Requests over HTTP/1.1, as the row has them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::message::{Message, Reader, Unframed};
use super::rows::{Step, bytes};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Connection {
    address: String,
    reader: Reader<OwnedReadHalf>,
    writer: Arc<Mutex<OwnedWriteHalf>>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let writer = Arc::new(Mutex::new(writer));
        Self { address: address.to_owned(), reader: Reader::new(reader), writer }
    }

    /// Sends a step and reads as many answers as it has, `Err` where the connection ended instead.
    pub async fn send(
        &mut self,
        step: &Step,
        names: &HashMap<String, String>,
    ) -> Vec<Result<Message, String>> {
        let request = match &step.raw {
            Some(text) => bytes(text, names),
            None => rendered(step, names, &self.address),
        };
        let has_body = step.method != "HEAD" && !request.starts_with(b"HEAD ");
        let (request, writer) = (request.repeat(step.times), Arc::clone(&self.writer));
        let is_slow = step.is_slow;
        tokio::spawn(async move {
            // whoever refuses early need not read on
            let mut writer = writer.lock().await;
            if is_slow {
                for byte in request {
                    if writer.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            } else {
                writer.write_all(&request).await.ok();
            }
        });
        let count = if step.times > 1 { step.times } else { step.answers.len() };
        let mut answers = Vec::new();
        while answers.len() < count {
            let answer = self.answer(has_body).await;
            let ended = answer.is_err();
            answers.push(answer);
            if ended {
                break;
            }
        }
        answers
    }

    async fn answer(&mut self, has_body: bool) -> Result<Message, String> {
        loop {
            let next = self.reader.next(has_body, Unframed::ToTheEnd);
            let next = tokio::time::timeout(PATIENCE, next).await;
            match next.map_err(|late| format!("no answer in time, and still open ({late})"))? {
                Ok(Some(interim)) if interim.status() == 100 => {}
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err("cut".to_owned()),
                Err(error) => return Err(format!("cut ({error})")),
            }
        }
    }

    /// Whether the connection ends without another byte, and by itself: idle ones are cut later than this waits.
    pub async fn ends(&mut self) -> bool {
        let end = tokio::time::timeout(Duration::from_secs(5), self.answer(true)).await;
        matches!(end, Ok(Err(why)) if why.starts_with("cut"))
    }
}

fn rendered(step: &Step, names: &HashMap<String, String>, address: &str) -> Vec<u8> {
    let has = |name: &str| step.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
    let body = bytes(&step.body, names);
    let mut request = format!("{} ", step.method).into_bytes();
    request.extend(bytes(&step.target, names));
    request.extend(b" HTTP/1.1\r\n");
    if !has("host") && !has("-host") {
        request.extend(format!("Host: {address}\r\n").bytes());
    }
    for (name, value) in step.fields.iter().filter(|(name, _)| !name.starts_with('-')) {
        request.extend(bytes(name, names));
        request.extend(b": ");
        request.extend(bytes(value, names));
        request.extend(b"\r\n");
    }
    if !step.trailers.is_empty() {
        request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        request.extend(format!("{:x}\r\n", body.len()).bytes());
        request.extend(&body);
        request.extend(b"\r\n0\r\n");
        for (name, value) in &step.trailers {
            request.extend(bytes(&format!("{name}: {value}\\r\\n"), names));
        }
        request.extend(b"\r\n");
        return request;
    }
    if !body.is_empty() && !has("content-length") {
        request.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"\r\n");
    request.extend(body);
    request
}
