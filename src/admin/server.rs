//! The socket: HTTP/1 only, and nothing that a slow or a silent client could hold for long.

use super::Source;
use super::routes::{Connection, LongLived, router};
use crate::logging::Said;
use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A task has a dozen containers; each holds one stream and asks now and then. Who comes when all are taken waits in
/// the kernel's queue.
const MAX_CONNECTIONS: usize = 128;

/// With fewer than this left, a connection is closed after its answer, so that nobody can hold others out by asking on.
const SCARCE: usize = MAX_CONNECTIONS / 2;

/// A request's head; ours and a browser's are far below that.
const MAX_HEAD: usize = 16 * 1024;

/// Lines of a head.
const MAX_HEADERS: usize = 64;

/// Within which a request's head must have arrived, also the next one on a kept connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may live that holds no wrapper's stream: also who does not read our answer goes then.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// How long after that it may take to end in order.
const CONNECTION_GRACE: Duration = Duration::from_secs(2);

/// After a failed accept (out of file descriptors): so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the admin listener.
///
/// # Errors
/// The address is in use, or not ours; the message names it.
pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("admin.listen {addr}: {e}")))
}

/// Serves for ever; dropping the future closes the listener and every connection.
pub async fn serve(listener: TcpListener, source: Source) {
    serve_router(listener, router(source)).await;
}

/// The same of any paths.
pub(crate) async fn serve_router(listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Without an address nothing could be accepted, either.
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    let mark = Connection { port, slots: Arc::clone(&slots), scarce: SCARCE };
    let mut connections = JoinSet::new();
    let mut said = Said::default();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return; // never: nobody closes this semaphore
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, mark) = (router.clone(), mark.clone());
                connections.spawn(async move {
                    connection(stream, router, mark).await;
                    drop(slot);
                });
            }
            Err(error) => {
                if let Some(repeats) = said.news(&error.to_string()) {
                    let what = "the admin listener could not accept a connection";
                    tracing::warn!(%error, repeats, "{what}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, of: Connection) {
    // Lines are small and must leave at once; where this fails they only come later.
    stream.set_nodelay(true).ok();
    let long_lived = LongLived::default();
    let mark = long_lived.clone();
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(mark.clone());
        request.extensions_mut().insert(of.clone());
        service.call(request)
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = tokio::time::sleep(CONNECTION_LIFE) => {
            if long_lived.get() {
                serving.await
            } else {
                serving.as_mut().graceful_shutdown();
                tokio::time::timeout(CONNECTION_GRACE, serving).await.unwrap_or(Ok(()))
            }
        }
    };
    if let Err(error) = ended {
        // A client that went away, or was too slow, or spoke nonsense: its own affair.
        tracing::debug!(%error, "an admin connection ended early");
    }
}
