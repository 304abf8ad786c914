//! One HTTP/1 message, read byte by byte and nothing put right.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The first line of h1; `:status` of h2.
    pub start: String,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// Every value of a name, in any case.
    pub fn all(&self, name: &str) -> Vec<String> {
        let lines = self.fields.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn one(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Every name of head and trailers, lower-case, what is no letter or digit as `-`.
    pub fn folded_names(&self) -> Vec<String> {
        self.fields.iter().chain(&self.trailers).map(|(name, _)| folded(name)).collect()
    }
}

pub fn folded(name: &str) -> String {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '-' };
    name.bytes().map(fold).collect::<String>().to_ascii_lowercase()
}

/// How long the body of a message without framing is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unframed {
    Empty,
    ToTheEnd,
}

pub struct Reader<R> {
    io: R,
    bytes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R) -> Self {
        Self { io, bytes: Vec::new() }
    }

    /// The next message, `None` at an orderly end. `has_body` is false for what answers `HEAD`.
    pub async fn next(
        &mut self,
        has_body: bool,
        unframed: Unframed,
    ) -> io::Result<Option<Message>> {
        if self.bytes.is_empty() && !self.more().await? {
            return Ok(None);
        }
        let mut message = Message { start: self.line().await?, ..Message::default() };
        message.fields = self.fields().await?;
        let no_body = !has_body || matches!(message.status(), 100..=199 | 204 | 304);
        if no_body && unframed == Unframed::ToTheEnd {
            return Ok(Some(message));
        }
        let chunked = message.all("transfer-encoding").iter().any(|coding| coding == "chunked");
        if chunked {
            loop {
                let size = self.line().await?;
                let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16);
                let size = size.map_err(io::Error::other)?;
                if size == 0 {
                    message.trailers = self.fields().await?;
                    break;
                }
                let chunk = self.exactly(size).await?;
                message.body.extend(chunk);
                self.line().await?;
            }
        } else if let Some(length) = message.one("content-length") {
            message.body = self.exactly(length.parse().map_err(io::Error::other)?).await?;
        } else if unframed == Unframed::ToTheEnd {
            while self.more().await? {}
            message.body = std::mem::take(&mut self.bytes);
        }
        Ok(Some(message))
    }

    async fn fields(&mut self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.raw_line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let colon = line.iter().position(|byte| *byte == b':');
            let colon = colon.ok_or_else(|| io::Error::other("no field"))?;
            let name = String::from_utf8_lossy(&line[..colon]).into_owned();
            fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.raw_line().await?).into_owned())
    }

    async fn raw_line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok(line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]).to_vec());
            }
            self.must_have_more().await?;
        }
    }

    async fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.bytes.len() < count {
            self.must_have_more().await?;
        }
        Ok(self.bytes.drain(..count).collect())
    }

    async fn must_have_more(&mut self) -> io::Result<()> {
        if self.more().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn more(&mut self) -> io::Result<bool> {
        Ok(self.io.read_buf(&mut self.bytes).await? > 0)
    }
}
