//! The network: one namespace for the hub with a bridge, one for each host.

use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Uid, gettid};

use super::host::{Host, Inner};

/// The address of the task metadata endpoint inside a task (AWS documentation, "Task metadata
/// endpoint version 4").
pub const TASK_METADATA_IP: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// Why a network or a host could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LanError {
    /// A thread or its runtime did not start.
    #[error("cannot start a host's thread: {0}")]
    Thread(#[source] io::Error),
    /// The namespace was refused.
    #[error("cannot enter a network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// `ip` could not be run.
    #[error("cannot run `ip` (iproute2): {0}")]
    Ip(#[source] io::Error),
    /// `ip` ran and refused.
    #[error("`ip` failed on {commands:?}: {stderr}")]
    IpFailed {
        /// What it was told.
        commands: String,
        /// What it said.
        stderr: String,
    },
    /// All addresses are given out.
    #[error("no address is left in this network")]
    Full,
}

/// A network of hosts around a hub. Dropping it ends every host, also those whose handles live on.
#[derive(Debug)]
pub struct Lan {
    hub: Host,
    /// The hub's namespace, for the bridge's end of each cable. `None`: loopback mode.
    hub_ns: Option<Arc<File>>,
    reason: Option<String>,
    next: AtomicU16,
    /// Second and third byte of the addresses in loopback mode; differs between processes.
    loopback: (u8, u8),
    hosts: Mutex<Vec<Weak<Inner>>>,
}

/// Networks of one process get different loopback addresses.
static LANS: AtomicU16 = AtomicU16::new(0);

impl Lan {
    /// Makes a network: namespaces if this process may, else loopback mode. Blocks for a few
    /// milliseconds.
    ///
    /// # Errors
    /// Only if not even loopback mode can be had.
    pub fn new() -> Result<Self, LanError> {
        let isolated = if Uid::effective().is_root() {
            Self::isolated().map_err(|error| error.to_string())
        } else {
            Err("not root".to_owned())
        };
        match isolated {
            Ok(lan) => Ok(lan),
            Err(reason) => Self::on_loopback(reason),
        }
    }

    fn isolated() -> Result<Self, LanError> {
        let ip = Ipv4Addr::new(10, 77, 0, 1);
        let (send, receive) = std::sync::mpsc::channel();
        let hub = Host::start("hub", ip, true, move || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| LanError::Namespace(e.into()))?;
            // Without one of its own the bridge takes the lowest address of its cables: it would change with each
            // host that comes or goes, and the others would talk to the old one until their ARP entries age.
            let mac = mac_of(ip);
            run_ip(&format!(
                "link set lo up\nlink add br0 address {mac} type bridge\n\
                 addr add {ip}/16 dev br0\nlink set br0 up\n"
            ))?;
            let ns = File::open("/proc/thread-self/ns/net").map_err(LanError::Namespace)?;
            // The receiver waits below until the hub has started or failed.
            _ = send.send(ns).is_ok();
            Ok(())
        })?;
        let ns = receive.recv().map_err(|_| LanError::Thread(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self::around(hub, Some(Arc::new(ns)), None, (0, 0)))
    }

    /// A network in loopback mode, whatever this process may do.
    ///
    /// # Errors
    /// If the hub's thread does not start.
    pub fn on_loopback(reason: impl Into<String>) -> Result<Self, LanError> {
        let pid = std::process::id().to_le_bytes();
        let count = LANS.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        // 127.0.x.y is left to others; a clash would only matter for equal ports anyway.
        let loopback = (1 + (pid[0] ^ pid[1]) % 254, count[0]);
        let ip = Ipv4Addr::new(127, loopback.0, loopback.1, 1);
        let hub = Host::start("hub", ip, false, || Ok(()))?;
        Ok(Self::around(hub, None, Some(reason.into()), loopback))
    }

    fn around(
        hub: Host,
        hub_ns: Option<Arc<File>>,
        reason: Option<String>,
        loopback: (u8, u8),
    ) -> Self {
        let next = AtomicU16::new(2);
        Self { hub, hub_ns, reason, next, loopback, hosts: Mutex::default() }
    }

    /// The host in the middle, which reaches every other: servers and load clients run there.
    #[must_use]
    pub fn hub(&self) -> &Host {
        &self.hub
    }

    /// Why the hosts have no namespaces of their own; `None` if they have.
    #[must_use]
    pub fn loopback_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Adds a host with the next address. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// If the thread, the namespace or a link cannot be made, or no address is left.
    pub fn host(&self, name: &str) -> Result<Host, LanError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let last = u8::try_from(number).ok().filter(|n| *n < 255).ok_or(LanError::Full)?;
        let host = match &self.hub_ns {
            None => {
                let ip = Ipv4Addr::new(127, self.loopback.0, self.loopback.1, last);
                Host::start(name, ip, false, || Ok(()))?
            }
            Some(hub_ns) => {
                let ip = Ipv4Addr::new(10, 77, 0, last);
                let hub_ns = hub_ns.clone();
                Host::start(name, ip, true, move || plug_in(ip, &hub_ns))?
            }
        };
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|host| host.strong_count() > 0);
        hosts.push(Arc::downgrade(host.inner()));
        Ok(host)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let hosts = std::mem::take(&mut *self.hosts.lock().unwrap_or_else(PoisonError::into_inner));
        hosts.iter().filter_map(Weak::upgrade).for_each(|host| host.stop());
        self.hub.inner().stop();
    }
}

/// The MAC address that the host with this address has.
pub(crate) fn mac_of(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("0e:10:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Moves the calling thread into a new namespace with a cable to the hub's bridge.
fn plug_in(ip: Ipv4Addr, hub_ns: &File) -> Result<(), LanError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|e| LanError::Namespace(e.into()))?;
    // A thread's id names its namespace to the kernel just as a process's does.
    let here = gettid();
    let (mac, last) = (mac_of(ip), ip.octets()[3]);
    let cable = format!(
        "link add v{last} type veth peer name eth0 address {mac} netns {here}\n\
         link set v{last} master br0 up\n"
    );
    thread::scope(|scope| {
        let hub_side = scope.spawn(|| {
            setns(hub_ns.as_fd(), CloneFlags::CLONE_NEWNET)
                .map_err(|e| LanError::Namespace(e.into()))?;
            run_ip(&cable)
        });
        hub_side.join().map_err(|_| LanError::Thread(io::ErrorKind::Other.into()))?
    })?;
    run_ip(&format!(
        "link set lo up\naddr add {TASK_METADATA_IP}/32 dev lo\n\
         addr add {ip}/16 dev eth0\nlink set eth0 up\nroute add default via 10.77.0.1\n"
    ))
}

/// Runs `ip` commands, one a line, in the calling thread's namespace.
fn run_ip(commands: &str) -> Result<(), LanError> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LanError::Ip)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(commands.as_bytes()).map_err(LanError::Ip)?;
    }
    let output = child.wait_with_output().map_err(LanError::Ip)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LanError::IpFailed { commands: commands.to_owned(), stderr })
}
