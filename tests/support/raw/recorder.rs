//! An upstream that keeps every request as it came, and lies in its answers.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::message::{Message, Reader, Unframed};

#[derive(Clone, Default)]
pub struct Recorder {
    seen: Arc<Mutex<Vec<Message>>>,
}

/// Another's identity, an id of its own leg, and a nomination of ours.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Upstream: yes\r\nConnection: x-gone\r\nX-Gone: 1\r\n\
X-Forwarded-User-Id: evil\r\nX_Forwarded_User_Role: evil\r\nMcp-Session-Id: evil\r\n\r\nupstream";

impl Recorder {
    /// Starts it; gives back its URL.
    pub async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::clone(&self.seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let (reader, mut writer) = stream.into_split();
                    let mut reader = Reader::new(reader);
                    while let Ok(Some(request)) = reader.next(true, Unframed::Empty).await {
                        let is_head = request.start.starts_with("HEAD ");
                        seen.lock().unwrap().push(request);
                        let end = ANSWER.len() - if is_head { "upstream".len() } else { 0 };
                        if writer.write_all(&ANSWER[..end]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        url
    }

    /// What came since it was asked last.
    pub fn take(&self) -> Vec<Message> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}
