//! Just enough HTTP/1.1 for our own loopback API and the task metadata endpoint, without I/O: bytes in, bytes
//! out. A client library would cost this small program its memory and its start time.

use std::fmt::Write as _;

/// A head longer than this is not one of ours.
const MAX_HEAD: usize = 16 * 1024;

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// Something else listens there.
    #[error("not an HTTP/1 answer")]
    NotHttp,
    /// The head does not end.
    #[error("the answer's head is over 16 KiB")]
    HeadTooLong,
    /// A chunk's size is not a number.
    #[error("a chunk of the answer is malformed")]
    BadChunk,
}

/// A request's bytes. `host` is the address asked; `body` is JSON.
pub(super) fn request(
    method: &str,
    host: &str,
    path: &str,
    body: Option<&str>,
    keep: bool,
) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    if !keep {
        out.push_str("connection: close\r\n");
    }
    if let Some(body) = body {
        // Writing to a String cannot fail.
        write!(out, "content-type: application/json\r\ncontent-length: {}\r\n", body.len()).ok();
    }
    out.push_str("\r\n");
    out.push_str(body.unwrap_or_default());
    out.into_bytes()
}

/// One segment of a path, percent-encoded.
pub(super) fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

/// Reads an answer as it arrives.
#[derive(Debug, Default)]
pub(super) struct Answer {
    raw: Vec<u8>,
    status: Option<u16>,
    framing: Framing,
    ended: bool,
}

/// How the body's end is told (RFC 9112 section 6.3).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By the connection's end.
    #[default]
    Close,
    /// So many bytes are still to come.
    Length(usize),
    /// Chunked, at a chunk's size line.
    Size,
    /// Chunked, so many bytes of this chunk are still to come.
    Chunk(usize),
    /// Chunked, at the line end behind a chunk.
    ChunkEnd,
    /// Chunked, behind the last chunk: trailers, up to an empty line.
    Trailer,
}

impl Answer {
    /// The status code, once the head is complete.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    /// The body is complete. One that ends with the connection never is.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The body may end with the connection, as far as its head says.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.status.is_some() && self.framing == Framing::Close
    }

    /// Takes in what was read and appends what it holds of the body to `body`.
    ///
    /// # Errors
    /// [`HttpError`]; nothing more can be read then.
    pub(super) fn push(&mut self, read: &[u8], body: &mut Vec<u8>) -> Result<(), HttpError> {
        self.raw.extend_from_slice(read);
        while self.status.is_none() {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else {
                return if !b"HTTP/1.".starts_with(&self.raw[..self.raw.len().min(7)]) {
                    Err(HttpError::NotHttp)
                } else if self.raw.len() > MAX_HEAD {
                    Err(HttpError::HeadTooLong)
                } else {
                    Ok(())
                };
            };
            let (status, framing) = head(&self.raw[..end])?;
            self.raw.drain(..end + 4);
            if status >= 200 {
                (self.status, self.framing) = (Some(status), framing);
            }
        }
        self.body(body)
    }

    fn body(&mut self, body: &mut Vec<u8>) -> Result<(), HttpError> {
        loop {
            if self.ended {
                return Ok(());
            }
            match self.framing {
                Framing::Close => {
                    body.append(&mut self.raw);
                    return Ok(());
                }
                Framing::Length(left) => {
                    let left = left - self.take(left, body);
                    self.framing = Framing::Length(left);
                    self.ended = left == 0;
                    if left > 0 {
                        return Ok(());
                    }
                }
                Framing::Chunk(left) => {
                    let left = left - self.take(left, body);
                    self.framing = if left == 0 { Framing::ChunkEnd } else { Framing::Chunk(left) };
                    if left > 0 {
                        return Ok(());
                    }
                }
                Framing::Size | Framing::ChunkEnd | Framing::Trailer => {
                    let Some(end) = find(&self.raw, b"\r\n") else {
                        return if self.raw.len() > MAX_HEAD {
                            Err(HttpError::BadChunk)
                        } else {
                            Ok(())
                        };
                    };
                    let line: Vec<u8> = self.raw.drain(..end + 2).take(end).collect();
                    self.chunk_line(&line)?;
                }
            }
        }
    }

    fn chunk_line(&mut self, line: &[u8]) -> Result<(), HttpError> {
        match self.framing {
            Framing::Size => {
                let size = line.split(|b| *b == b';').next().unwrap_or_default();
                let size = std::str::from_utf8(size).map_err(|_| HttpError::BadChunk)?;
                let size =
                    usize::from_str_radix(size.trim(), 16).map_err(|_| HttpError::BadChunk)?;
                self.framing = if size == 0 { Framing::Trailer } else { Framing::Chunk(size) };
            }
            Framing::ChunkEnd if line.is_empty() => self.framing = Framing::Size,
            Framing::ChunkEnd => return Err(HttpError::BadChunk),
            _ => self.ended = line.is_empty(),
        }
        Ok(())
    }

    /// Moves up to `most` bytes into `body`; how many.
    fn take(&mut self, most: usize, body: &mut Vec<u8>) -> usize {
        let n = most.min(self.raw.len());
        body.extend(self.raw.drain(..n));
        n
    }
}

fn head(bytes: &[u8]) -> Result<(u16, Framing), HttpError> {
    let text = std::str::from_utf8(bytes).map_err(|_| HttpError::NotHttp)?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    if !first.next().unwrap_or_default().starts_with("HTTP/1.") {
        return Err(HttpError::NotHttp);
    }
    let status = first.next().and_then(|s| s.parse().ok()).ok_or(HttpError::NotHttp)?;
    let mut framing = Framing::Close;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Err(HttpError::NotHttp) };
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            framing = Framing::Size;
        } else if name.eq_ignore_ascii_case("content-length") && framing != Framing::Size {
            framing = Framing::Length(value.parse().map_err(|_| HttpError::NotHttp)?);
        }
    }
    Ok((status, framing))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        6\r\nfirst\n\r\n7;x=y\r\nsecond\n\r\n0\r\ntrailer: 1\r\n\r\n";

    fn whole(bytes: &[u8]) -> (Answer, String) {
        let (mut answer, mut body) = (Answer::default(), Vec::new());
        answer.push(bytes, &mut body).unwrap();
        (answer, String::from_utf8(body).unwrap())
    }

    #[test]
    fn length_chunks_and_connection_end() {
        let (answer, body) = whole(b"HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!((answer.status(), answer.ended(), body.as_str()), (Some(503), true, "{}"));
        let (answer, body) = whole(CHUNKED);
        assert_eq!((answer.ended(), body.as_str()), (true, "first\nsecond\n"));
        let (answer, body) = whole(b"HTTP/1.0 200 OK\r\n\r\nto the end");
        assert_eq!((answer.ended(), body.as_str()), (false, "to the end"));
        assert!(answer.ends_with_connection());
        let (answer, _) = whole(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        );
        assert_eq!((answer.status(), answer.ended()), (Some(202), true));
    }

    #[test]
    fn what_is_not_http_is_said_at_the_first_byte() {
        let mut body = Vec::new();
        assert_eq!(Answer::default().push(b"SSH-2.0", &mut body), Err(HttpError::NotHttp));
        assert_eq!(Answer::default().push(b"\x16\x03", &mut body), Err(HttpError::NotHttp));
        assert_eq!(Answer::default().push(b"HTT", &mut body), Ok(()));
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; MAX_HEAD]].concat();
        assert_eq!(Answer::default().push(&endless, &mut body), Err(HttpError::HeadTooLong));
        let bad = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
        assert_eq!(Answer::default().push(bad, &mut body), Err(HttpError::BadChunk));
    }

    #[test]
    fn requests_and_segments() {
        let bytes = request("POST", "127.0.0.1:1", "/v1/apps", Some("{}"), true);
        let want = "POST /v1/apps HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\
            content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(bytes).unwrap(), want);
        assert_eq!(segment("web-app_1.x"), "web-app_1.x");
        assert_eq!(segment("a/b c\u{e9}"), "a%2Fb%20c%C3%A9");
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_body(cuts in proptest::collection::vec(1..9usize, 1..60)) {
            let (mut answer, mut body) = (Answer::default(), Vec::new());
            let mut rest = CHUNKED;
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                answer.push(now, &mut body).unwrap();
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert!(answer.ended());
            prop_assert_eq!(body, b"first\nsecond\n");
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut body = Vec::new();
            Answer::default().push(&bytes, &mut body).ok();
            let mut answer = Answer::default();
            answer.push(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &mut body).unwrap();
            answer.push(&bytes, &mut body).ok();
        }
    }
}
