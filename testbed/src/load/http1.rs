//! As much HTTP/1.1 as a load client needs: GET, `Content-Length` and chunked bodies.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::error::{BODY_LIMIT, RequestError, broken, hint};
use super::target::Target;

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, RequestError> {
        Ok(Self { stream: BufReader::new(target.connect().await?) })
    }

    /// One request. The connection comes back if it can take another.
    pub(super) async fn get(
        mut self,
        target: &Target,
    ) -> Result<(Vec<u8>, Option<Self>), RequestError> {
        let Target { authority, path, .. } = target;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).await.map_err(broken("write"))?;
        let head = self.head().await?;
        let body = self.body(&head).await?;
        if !(200..300).contains(&head.status) {
            return Err(RequestError::Status { status: head.status, hint: hint(&body) });
        }
        Ok((body, (!head.close).then_some(self)))
    }

    async fn line(&mut self) -> Result<String, RequestError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await.map_err(broken("head"))?;
        match read {
            0 => Err(broken("head")(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    async fn head(&mut self) -> Result<Head, RequestError> {
        let first = self.line().await?;
        let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let mut head = Head {
            status: status.ok_or(RequestError::NotHttp)?,
            length: Length::ToEnd,
            close: false,
        };
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                head.close |= head.length == Length::ToEnd;
                return Ok(head);
            }
            let (name, value) = line.split_once(':').ok_or(RequestError::NotHttp)?;
            match (name.to_ascii_lowercase().as_str(), value.trim()) {
                ("content-length", value) => {
                    head.length = Length::Known(value.parse().map_err(|_| RequestError::NotHttp)?);
                }
                ("transfer-encoding", "chunked") => head.length = Length::Chunked,
                ("connection", value) => head.close = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
    }

    async fn body(&mut self, head: &Head) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        match head.length {
            Length::Known(length) => self.take(length, &mut body).await?,
            Length::ToEnd => {
                self.stream.read_to_end(&mut body).await.map_err(broken("body"))?;
            }
            Length::Chunked => loop {
                let size = self.line().await?;
                let size = size.split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(size, 16).map_err(|_| RequestError::NotHttp)?;
                self.take(size, &mut body).await?;
                // The end of the chunk, or of the (here always empty) trailers.
                self.line().await?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(body)
    }

    async fn take(&mut self, length: usize, body: &mut Vec<u8>) -> Result<(), RequestError> {
        let start = body.len();
        if length > BODY_LIMIT.saturating_sub(start) {
            return Err(RequestError::NotHttp);
        }
        body.resize(start + length, 0);
        self.stream.read_exact(&mut body[start..]).await.map_err(broken("body"))?;
        Ok(())
    }
}

#[derive(Debug)]
struct Head {
    status: u16,
    length: Length,
    close: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    ToEnd,
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn answer(text: &'static str) -> Result<(Vec<u8>, bool), RequestError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}/x", listener.local_addr().expect("an address"));
        let (target, _) = Target::parse(&url).expect("a target");
        let server = async {
            let (mut peer, _) = listener.accept().await.expect("a peer");
            let mut request = [0; 1024];
            assert!(peer.read(&mut request).await.expect("a request") > 0);
            peer.write_all(text.as_bytes()).await.expect("written");
        };
        let client = async { Connection::open(&target).await?.get(&target).await };
        let (answer, ()) = tokio::join!(client, server);
        answer.map(|(body, connection)| (body, connection.is_some()))
    }

    #[tokio::test]
    async fn bodies_of_both_kinds_are_read() {
        let known = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.expect("ok");
        assert_eq!(known, (b"hi".to_vec(), true));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n\
             2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).await.expect("ok"), (b"hi!".to_vec(), false));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let status = answer("HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nnone").await;
        assert_eq!(status.expect_err("503").to_string(), "status 503 (none)");
        let cut = answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").await;
        assert_eq!(cut.expect_err("cut").to_string(), "body: unexpected end of file");
        let nothing = answer("").await.expect_err("nothing");
        assert!(nothing.to_string().starts_with("head: "), "{nothing}");
    }
}
