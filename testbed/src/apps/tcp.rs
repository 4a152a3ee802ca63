//! The server of a line protocol: `ask`, and a line of JSON for an answer. Only the app knows where an answer ends, so
//! only the app can end a connection without a loss.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{TcpArgs, pause, term};

/// How long a drain waits for connections that ask nothing more.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// How long the peer has to close its side after the last answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// Longest request.
const LINE_LIMIT: u64 = 64;

struct Server {
    args: TcpArgs,
    served: AtomicU64,
    draining: watch::Sender<bool>,
}

/// Serves until TERM says otherwise.
pub(super) async fn serve(args: TcpArgs) -> io::Result<ExitCode> {
    let on_term = args.term;
    let mut asked = std::pin::pin!(term::asked(on_term)?);
    let listener = TcpListener::bind(args.listen).await?;
    println!("{} listens on {}", args.name, listener.local_addr()?);
    let draining = watch::Sender::new(false);
    let server = Arc::new(Server { args, served: AtomicU64::new(0), draining });
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut asked => break,
            peer = listener.accept() => match peer {
                Ok((stream, _)) => _ = open.spawn(server.clone().connection(stream)),
                // Too many open files, say: that may pass.
                Err(error) => {
                    eprintln!("accept: {error}");
                    sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = open.join_next() => {}
        }
    }
    if on_term.drains() {
        // Who is connected already is answered; the rest is refused.
        while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
            open.spawn(server.clone().connection(stream));
        }
        drop(listener);
        server.draining.send_replace(true);
        let all_closed = async { while open.join_next().await.is_some() {} };
        match timeout(DRAIN_LIMIT, all_closed).await {
            Ok(()) => println!("drained"),
            Err(_) => println!("{} connections asked nothing more", open.len()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        if let Err(error) = self.converse(stream).await {
            eprintln!("a connection broke: {error}");
        }
    }

    /// Until the peer closes it, asks something else, or a drain ends it.
    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            (&mut stream).take(LINE_LIMIT).read_line(&mut line).await?;
            if line != "ask\n" {
                return Ok(());
            }
            pause(self.args.delay).await;
            let bye = *self.draining.borrow();
            stream.write_all(self.answer(bye).as_bytes()).await?;
            if bye {
                stream.shutdown().await?;
                // To close with something unread would be a reset, which may overtake the answer.
                let mut nowhere = tokio::io::sink();
                let rest = tokio::io::copy_buf(&mut stream, &mut nowhere);
                _ = timeout(CLOSE_LIMIT, rest).await.is_ok();
                return Ok(());
            }
        }
    }

    fn answer(&self, bye: bool) -> String {
        let n = self.served.fetch_add(1, Ordering::Relaxed) + 1;
        let mut answer = json!({"from": self.args.name, "n": n});
        if bye {
            answer["bye"] = json!(true);
        }
        format!("{answer}\n")
    }
}
