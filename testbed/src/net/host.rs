//! A host: a thread in its own network namespace, with a tokio runtime for what runs on it.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle, ThreadId};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::lan::LanError;
use super::process::{Process, ProcessSpec};

type Job = Box<dyn FnOnce() + Send>;

/// The host ended, or what ran on it panicked, before there was a result.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the host ended, or the work on it panicked")]
pub struct HostGone;

/// A machine of the test's network. Cloning gives another handle; when the last one or its
/// [`Lan`](super::Lan) is dropped, the thread ends and everything that ran on it is killed.
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    name: String,
    ip: Ipv4Addr,
    isolated: bool,
    jobs: mpsc::UnboundedSender<Job>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    id: ThreadId,
}

impl Inner {
    /// Ends the thread and waits for it, unless it is the caller.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread::current().id() != self.id
        {
            // A panic on the thread was printed by its hook; it is down all the same.
            _ = thread.join().is_ok();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Host {
    /// Starts the thread; `enter` runs on it first and moves it into its namespace.
    pub(super) fn start(
        name: &str,
        ip: Ipv4Addr,
        isolated: bool,
        enter: impl FnOnce() -> Result<(), LanError> + Send + 'static,
    ) -> Result<Self, LanError> {
        let (jobs, queue) = mpsc::unbounded_channel();
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let (entered, answer) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name(format!("host-{name}")).spawn(move || {
            let runtime = enter().and_then(|()| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(LanError::Thread)
            });
            match runtime {
                Ok(runtime) => {
                    _ = entered.send(Ok(())).is_ok();
                    serve(&runtime, queue, stopped);
                    // Blocking tasks (name lookups) may be stuck; nobody waits for them.
                    runtime.shutdown_background();
                }
                Err(error) => _ = entered.send(Err(error)).is_ok(),
            }
        });
        let thread = thread.map_err(LanError::Thread)?;
        let id = thread.thread().id();
        answer.recv().map_err(|_| LanError::Thread(io::ErrorKind::BrokenPipe.into()))??;
        let inner = Inner {
            name: name.to_owned(),
            ip,
            isolated,
            jobs,
            stop,
            thread: Mutex::new(Some(thread)),
            id,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The address at which other hosts reach it.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.inner.ip
    }

    /// True: it has a network namespace of its own. False: it shares the machine's loopback.
    #[must_use]
    pub fn isolated(&self) -> bool {
        self.inner.isolated
    }

    /// Runs a future on the host. It is made there and need not be `Send`; sockets it opens and
    /// processes it starts are the host's. Dropping the handle leaves it running.
    pub fn spawn<F, Fut>(&self, make: F) -> HostTask<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let (abort, aborted) = oneshot::channel::<()>();
        let job: Job = Box::new(move || {
            tokio::task::spawn_local(async move {
                let aborted = async move {
                    if aborted.await.is_err() {
                        // The handle was dropped without an abort: never ends this.
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    // An abort comes before whatever it lets happen.
                    biased;
                    () = aborted => {}
                    value = make() => { _ = done.send(value).is_ok(); }
                }
            });
        });
        // Fails only when the thread has ended; the dropped sender then tells the handle.
        _ = self.inner.jobs.send(job).is_ok();
        HostTask { result, abort: Some(abort) }
    }

    /// Serves a router on a port of the host that is free; gives its URL, without a slash at the end.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn serve(&self, router: axum::Router) -> anyhow::Result<(String, HostTask<()>)> {
        let ip = self.ip();
        // Bound here, served there: the address has to be known.
        let listener = self.spawn(move || TcpListener::bind((ip, 0))).await??;
        let url = format!("http://{}", listener.local_addr()?);
        let task = self.spawn(move || async move {
            _ = axum::serve(listener, router).await.is_err();
        });
        Ok((url, task))
    }

    /// Starts a process on the host.
    ///
    /// # Errors
    /// The system's error from fork or exec; `BrokenPipe` if the host has ended.
    pub async fn spawn_process(&self, spec: ProcessSpec) -> io::Result<Process> {
        let started = self.spawn(|| async move { Process::spawn_here(&spec) }).await;
        started.unwrap_or_else(|gone| Err(io::Error::new(io::ErrorKind::BrokenPipe, gone)))
    }
}

fn serve(
    runtime: &tokio::runtime::Runtime,
    mut queue: mpsc::UnboundedReceiver<Job>,
    mut stopped: watch::Receiver<bool>,
) {
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                job = queue.recv() => match job {
                    Some(job) => job(),
                    None => return,
                },
            }
        }
    });
    // Dropping the set drops the futures, and with them the processes that they own.
    let _in_runtime = runtime.enter();
    drop(local);
}

/// The result of what [`Host::spawn`] started; may be awaited on any runtime.
#[derive(Debug)]
pub struct HostTask<T> {
    result: oneshot::Receiver<T>,
    abort: Option<oneshot::Sender<()>>,
}

impl<T> HostTask<T> {
    /// Drops the future on its host.
    pub fn abort(&mut self) {
        if let Some(abort) = self.abort.take() {
            // It may have finished already.
            _ = abort.send(()).is_ok();
        }
    }
}

impl<T> Future for HostTask<T> {
    type Output = Result<T, HostGone>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.result).poll(context)).map_err(|_| HostGone))
    }
}
