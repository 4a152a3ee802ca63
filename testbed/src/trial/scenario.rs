//! What is tried: who sends what, how the app is run, what happens to the task, and what is promised.

use std::time::Duration;

use serde_json::{Value, json};

use crate::definitions::{unwrapped, wrapped};
use crate::ecs::StopOrder;
use crate::load::Kind;

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// In a few words.
    pub about: &'static str,
    /// What the client sends.
    pub client: Kind,
    /// `proxy.config.protocol` of both services.
    pub protocol: &'static str,
    /// How the app is started and told to stop.
    pub app: App,
    /// Further arguments of the app.
    pub app_args: &'static [&'static str],
    /// The app has an ECS health check, which is synced into Consul and alone decides whether it is offered.
    pub health_check: bool,
    /// Laid over the configuration of the tasks that stop.
    pub config: Value,
    /// What happens.
    pub act: Act,
    /// In which orders ECS stops the containers.
    pub orders: &'static [StopOrder],
    /// How often in each order, in the short form and in the long one.
    pub rounds: [usize; 2],
    /// What is promised.
    pub promise: Promise,
    /// The helper container's exit code.
    pub exit: i32,
}

/// How the app is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// `taskmesh app -- CMD`.
    Wrapped,
    /// As it is; ECS's TERM reaches it at once.
    Unwrapped,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// One of two tasks is stopped, and replaced before the next is.
    StopOne(Disturbance),
    /// Four tasks are replaced one by one, each by one that is offered before.
    Rolling,
    /// The task that is stopped calls others: its outgoing requests are what counts.
    Calls,
}

/// What makes a stop hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing.
    None,
    /// Besides, requests of this length are under way when the stop comes. They are sent a moment before.
    Long(&'static str),
    /// The servers freeze at the moment of the stop, for this long.
    FrozenServers(Duration),
    /// The supervisor gets a second TERM so long after the first.
    SecondTerm(Duration),
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Not one request is lost, and every life is in order.
    NoneLost,
    /// Some are lost, for this reason. They are counted, and all of them fall into the time from the stop to `window`
    /// after the checks turned critical: when peers have heard of it.
    Bounded {
        /// Why.
        why: &'static str,
        /// See above.
        window: Duration,
    },
    /// The requests that were cut are lost, for this reason, and no others: at most so many in a stop.
    AtMost {
        /// Why.
        why: &'static str,
        /// Requests.
        lost: u64,
    },
}

impl Promise {
    /// Why requests may be lost, if they may.
    #[must_use]
    pub fn why(self) -> Option<&'static str> {
        match self {
            Self::NoneLost => None,
            Self::Bounded { why, .. } | Self::AtMost { why, .. } => Some(why),
        }
    }
}

/// Both.
const BOTH: &[StopOrder] = &[StopOrder::ReverseDependsOn, StopOrder::AllAtOnce];

/// Peers hear of a critical instance after 0.2 s (Consul gathers changes for so long) and their Envoys a moment later;
/// this is that with room for two busy cores.
const HEARD: Duration = Duration::from_millis(1500);

impl Scenario {
    /// A wrapped app that ends at once when it gets TERM, stopped in both orders; no request may be lost.
    fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            client: Kind::Http1,
            protocol: "http",
            app: App::Wrapped,
            app_args: &[],
            health_check: false,
            config: json!({}),
            act: Act::StopOne(Disturbance::None),
            orders: BOTH,
            rounds: [3, 3],
            promise: Promise::NoneLost,
            exit: 0,
        }
    }

    /// The waits of its stops are cut, so that there is a `deadline`.
    #[must_use]
    pub fn cut_short(&self) -> bool {
        self.exit != 0 || matches!(self.act, Act::StopOne(Disturbance::SecondTerm(_)))
    }

    /// `lifecycle.leave` is `first`.
    #[must_use]
    pub fn leaves_first(&self) -> bool {
        self.config["lifecycle"]["leave"] == "first"
    }

    /// The task definition of the tasks that are stopped.
    #[must_use]
    pub fn definition(&self) -> Value {
        let definition = match self.app {
            App::Wrapped => wrapped,
            App::Unwrapped => unwrapped,
        };
        let mut definition = definition("api", self.app_args);
        let app = &mut definition["containerDefinitions"][1];
        if self.health_check {
            app["healthCheck"] = json!({ "command": ["CMD-SHELL", "true"], "interval": 5 });
        }
        let command = &mut app["command"];
        match (&self.act, self.client) {
            (Act::Calls, _) => {
                let upstream = "http://127.0.0.1:{{upstream_port}}/";
                let call = ["{{testbed}}", "app", "call", "--pause", "2ms", "--upstream", upstream];
                *command = json!(call);
            }
            (_, Kind::Tcp) => command[2] = json!("tcp"),
            _ => {}
        }
        definition
    }

    /// What the client asks for, on the upstream's port.
    #[must_use]
    pub fn url(&self, port: u16) -> String {
        match self.client {
            Kind::Http1 | Kind::Http2 => format!("http://127.0.0.1:{port}/"),
            Kind::Grpc => {
                format!("http://127.0.0.1:{port}/testbed.Echo/Stream?messages=3&every=5ms")
            }
            Kind::Tcp => format!("tcp://127.0.0.1:{port}"),
        }
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Scenario> {
    use Disturbance::*;
    let seconds = Duration::from_secs;
    let stop = |disturbance| Act::StopOne(disturbance);
    vec![
        Scenario::new("http1", "HTTP/1.1, kept connections"),
        Scenario {
            client: Kind::Http2,
            protocol: "http2",
            ..Scenario::new("http2", "HTTP/2, 4 streams a connection")
        },
        Scenario {
            client: Kind::Grpc,
            protocol: "grpc",
            ..Scenario::new("grpc", "gRPC streams of 3 messages")
        },
        Scenario {
            // Told to, the app says goodbye on each connection: what a tcp app has to do.
            client: Kind::Tcp,
            protocol: "tcp",
            app_args: &["--term", "drain"],
            ..Scenario::new("tcp", "lines over tcp; the app says goodbye on TERM")
        },
        Scenario {
            client: Kind::Tcp,
            protocol: "tcp",
            promise: Promise::AtMost {
                why: "the app ends without a goodbye: one request on each connection",
                lost: 8,
            },
            rounds: [1, 3],
            ..Scenario::new("tcp-cut", "lines over tcp; the app just ends")
        },
        Scenario {
            protocol: "tcp",
            app_args: &["--term", "drain"],
            promise: Promise::AtMost {
                why: "tcp: Envoy cannot close a kept HTTP connection politely",
                lost: 8,
            },
            rounds: [1, 3],
            ..Scenario::new("http1-as-tcp", "HTTP/1.1 with the default protocol, tcp")
        },
        Scenario {
            health_check: true,
            rounds: [1, 3],
            ..Scenario::new("health-check", "the app's ECS health is synced into Consul")
        },
        Scenario {
            act: stop(Long("10s")),
            rounds: [1, 1],
            ..Scenario::new("long", "HTTP/1.1; requests of 10 s are under way")
        },
        Scenario {
            client: Kind::Grpc,
            protocol: "grpc",
            act: stop(Long("10s")),
            rounds: [1, 1],
            ..Scenario::new("long-grpc", "gRPC; streams of 10 s are under way")
        },
        Scenario {
            act: Act::Rolling,
            rounds: [1, 3],
            ..Scenario::new("rolling", "a deploy: 4 tasks are replaced one by one")
        },
        Scenario {
            config: json!({ "lifecycle": { "leave": "first" } }),
            rounds: [1, 3],
            ..Scenario::new("leave-first", "the agent leaves first, as published")
        },
        Scenario {
            app: App::Unwrapped,
            app_args: &["--term", "linger"],
            rounds: [1, 3],
            ..Scenario::new("unwrapped-linger", "unwrapped; the app serves 2 s on after TERM")
        },
        Scenario {
            app: App::Unwrapped,
            rounds: [2, 3],
            promise: Promise::Bounded {
                why: "unwrapped: the app is gone before its peers can know",
                window: HEARD,
            },
            ..Scenario::new("unwrapped", "unwrapped; the app ends at TERM")
        },
        Scenario {
            act: Act::Calls,
            rounds: [1, 3],
            ..Scenario::new("calls", "the stopping app calls others for 2 s more")
        },
        Scenario {
            act: Act::Calls,
            app: App::Unwrapped,
            rounds: [1, 3],
            ..Scenario::new("calls-unwrapped", "the same, unwrapped")
        },
        Scenario {
            act: stop(FrozenServers(seconds(2))),
            rounds: [1, 3],
            ..Scenario::new("slow-servers", "the Consul servers answer 2 s late")
        },
        Scenario {
            act: stop(FrozenServers(seconds(4))),
            config: json!({ "lifecycle": { "propagation": { "timeout": "1s" } } }),
            rounds: [1, 1],
            ..Scenario::new("no-word", "no word from the servers in time; 4 s late")
        },
        Scenario {
            act: stop(Long("10s")),
            config: json!({ "lifecycle": { "drainTimeout": "2s" } }),
            rounds: [1, 1],
            promise: Promise::AtMost {
                why: "drainTimeout, 2 s, is shorter than the requests",
                lost: LONG_CONNECTIONS as u64,
            },
            ..Scenario::new("short-drain", "requests of 10 s, 2 s to drain")
        },
        Scenario {
            // The app's own 8 s do not fit into what our stopTimeout leaves for it.
            app_args: &["--term", "linger", "--linger", "8s"],
            config: json!({ "lifecycle": {
                "stopTimeout": "10s", "drainTimeout": "1s", "propagation": { "timeout": "1s" }
            } }),
            orders: &[StopOrder::AllAtOnce],
            rounds: [1, 1],
            exit: 4,
            ..Scenario::new("short-stop", "an app that outlasts our stopTimeout")
        },
        Scenario {
            act: stop(SecondTerm(Duration::from_millis(100))),
            orders: &[StopOrder::AllAtOnce],
            rounds: [1, 3],
            promise: Promise::Bounded {
                why: "a second TERM means now: nobody is waited for",
                window: HEARD,
            },
            ..Scenario::new("second-term", "a second TERM after 100 ms")
        },
    ]
}

/// How many long requests are under way in [`Disturbance::Long`]: so many that each of two tasks has some.
pub(super) const LONG_CONNECTIONS: usize = 12;

/// The scenarios of these names; all where none is named.
///
/// # Errors
/// A name that there is not.
pub fn named(names: &[String]) -> Result<Vec<Scenario>, String> {
    let mut all = all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|s| s.name == name.as_str())) {
        let known: Vec<_> = all.iter().map(|s| s.name).collect();
        return Err(format!("no scenario `{unknown}`; there are: {}", known.join(" ")));
    }
    all.retain(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name));
    Ok(all)
}
