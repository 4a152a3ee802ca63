//! Sockets, HTTP/1.1 by hand (an answer must be able to be cut, late or missing), and faults.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::routes::{self, Answer};
use super::throttle::Throttle;
use super::{Fault, Metadata, Request};
use crate::ecs::container::Surroundings;
use crate::ecs::state::Shared;

/// The agent's server gives a peer this long (`task_server_setup.go`).
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest head of a request.
const HEAD: usize = 16 * 1024;

/// A bound socket that does not answer yet.
#[derive(Debug)]
pub(in crate::ecs) struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

/// Binds the endpoint's socket on the calling host.
pub(in crate::ecs) async fn listen(address: SocketAddr) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok(Listening { listener, address })
}

struct Server {
    shared: Arc<Shared>,
    around: Arc<Surroundings>,
    metadata: Metadata,
    throttle: std::cell::RefCell<Throttle>,
}

impl Listening {
    /// `http://` and authority.
    pub(in crate::ecs) fn base(&self) -> String {
        // Port 80 is left out, as ECS does.
        match self.address.port() {
            80 => format!("http://{}", self.address.ip()),
            _ => format!("http://{}", self.address),
        }
    }

    /// Answers until dropped. Must run in a `LocalSet`.
    pub(in crate::ecs) async fn serve(
        self,
        shared: Arc<Shared>,
        around: Arc<Surroundings>,
        metadata: Metadata,
    ) {
        let Self { mut listener, address } = self;
        let mut refused = metadata.inner.refused.subscribe();
        let throttle = Default::default();
        let server = Rc::new(Server { shared, around, metadata, throttle });
        loop {
            let mut peers = JoinSet::new();
            loop {
                tokio::select! {
                    _ = refused.wait_for(|refused| *refused) => break,
                    accepted = listener.accept() => {
                        if let Ok((stream, peer)) = accepted {
                            peers.spawn_local(server.clone().connection(stream, peer));
                        }
                    }
                    Some(_) = peers.join_next() => {}
                }
            }
            drop(listener);
            peers.shutdown().await;
            // The sender lives in `server.metadata`.
            _ = refused.wait_for(|refused| !*refused).await.is_ok();
            listener = loop {
                match TcpListener::bind(address).await {
                    Ok(listener) => break listener,
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            };
        }
    }
}

impl Server {
    async fn connection(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr) {
        let mut buffer = Vec::new();
        while let Ok(Ok(Some(path))) = timeout(TIMEOUT, head(&mut stream, &mut buffer)).await {
            if !self.respond(&mut stream, peer, path).await.unwrap_or(false) {
                return;
            }
        }
    }

    fn right(&self, peer: SocketAddr, path: &str) -> Answer {
        if self.throttle.borrow_mut().pass(peer.ip(), path, Instant::now()) {
            routes::answer(&self.shared, &self.around, path)
        } else {
            Answer::too_many()
        }
    }

    /// Answers whether the connection goes on.
    async fn respond(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        path: String,
    ) -> io::Result<bool> {
        let fault = self.metadata.fault();
        let log = |status| {
            let request = Request { at: Instant::now(), path: path.clone(), status };
            self.metadata.inner.requests.push(request);
        };
        let mut answer = match &fault {
            None | Some(Fault::Truncated) => self.right(peer, &path),
            Some(Fault::NotFound) => routes::not_found(&path),
            Some(Fault::TooManyRequests) => Answer::too_many(),
            Some(Fault::ServerError) => routes::server_error(&self.shared, &path),
            Some(Fault::NotJson) => Answer {
                status: 200,
                kind: routes::JSON,
                body: "<html><body>It works!</body></html>".to_owned(),
            },
            Some(Fault::Slow(delay)) => {
                sleep(*delay).await;
                self.right(peer, &path)
            }
            Some(Fault::Huge(bytes)) => {
                let mut answer = self.right(peer, &path);
                let filler = "x".repeat(*bytes);
                answer.body = answer.body.replacen('{', &format!("{{\"Filler\":\"{filler}\","), 1);
                answer
            }
            Some(Fault::Crowd(more)) => {
                let mut answer = self.right(peer, &path);
                answer.body = crowded(&answer.body, *more, 4096).unwrap_or(answer.body);
                answer
            }
            Some(Fault::Company(more)) => {
                let mut answer = self.right(peer, &path);
                answer.body = crowded(&answer.body, *more, 512).unwrap_or(answer.body);
                answer
            }
            Some(Fault::UnknownKeys) => {
                let mut answer = self.right(peer, &path);
                let new = "{\"FutureKey\":{\"Nested\":[1,null]},\"DockerId\":";
                answer.body = answer.body.replace("{\"DockerId\":", new);
                answer.body =
                    answer.body.replacen("{\"Cluster\":", "{\"FutureKey\":true,\"Cluster\":", 1);
                answer
            }
            Some(Fault::Hang) => {
                log(None);
                std::future::pending().await
            }
            Some(Fault::Reset | Fault::Refused) => {
                log(None);
                return Ok(false);
            }
        };
        log(Some(answer.status));
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nX-Rate-Limit-Duration: 1\r\n\
             X-Rate-Limit-Limit: 40.00\r\nX-Rate-Limit-Request-Forwarded-For: \r\n\
             X-Rate-Limit-Request-Remote-Addr: {peer}\r\nContent-Length: {}\r\n\r\n",
            answer.status,
            reason(answer.status),
            answer.kind,
            answer.body.len(),
        );
        let whole = fault != Some(Fault::Truncated);
        if !whole {
            let half =
                (0..=answer.body.len() / 2).rev().find(|at| answer.body.is_char_boundary(*at));
            answer.body.truncate(half.unwrap_or_default());
        }
        let bytes = [head.as_bytes(), answer.body.as_bytes()].concat();
        stream.write_all(&bytes).await?;
        Ok(whole)
    }
}

/// A task's body with `more` containers, each with so many bytes of labels; `None` for any other body.
fn crowded(body: &str, more: usize, labels: usize) -> Option<String> {
    let mut task: Value = serde_json::from_str(body).ok()?;
    let containers = task["Containers"].as_array_mut()?;
    for n in 0..more {
        let name = format!("crowd-{n}");
        containers.push(json!({
            "DockerId": name, "Name": name, "DockerName": name, "Type": "NORMAL",
            "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
            "Health": { "status": "HEALTHY", "statusSince": "2026-11-22T10:00:00Z", "output": "" },
            "Labels": { "filler": "x".repeat(labels) },
        }));
    }
    Some(task.to_string())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        429 => "Too Many Requests",
        _ => "Internal Server Error",
    }
}

/// Reads a request's head and answers its path without the query; `None` at the end of the stream.
/// The agent's routes look at no method, and a body is not expected.
async fn head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            let head = String::from_utf8_lossy(&head);
            let target = head.split(' ').nth(1).unwrap_or("/");
            let path = target.split('?').next().unwrap_or("/");
            return Ok(Some(path.to_owned()));
        }
        if buffer.len() > HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
