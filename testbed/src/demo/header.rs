//! What the demo says at its beginning.

use super::Protocol;
use crate::screen::Screen;
use crate::versions::Versions;

/// Which programs are used, and what is connected to what.
pub(super) fn show(versions: &Versions, protocol: Protocol, screen: Screen) {
    let title = "taskmesh demo: three ECS tasks on a service mesh, from start to stop";
    screen.line(&screen.bold(title));
    screen.line("");
    versions.show(screen);
    screen.line("  tasks    simulated; each runs a real `taskmesh run`, agent, Envoy and app");
    let mtls = match protocol {
        Protocol::Http => "= mTLS =>",
        Protocol::Tcp => "= mTLS, tcp =>",
    };
    screen.line("");
    screen.line(&format!("  load -> [ web app -> Envoy ] {mtls} [ Envoy -> app ]  api-1, api-2"));
}

/// Why there is one network namespace for all tasks, if there is.
pub(super) fn show_network(reason: Option<&str>, screen: Screen) {
    match reason {
        None => screen.dim("  every task has a network namespace of its own, as with awsvpc"),
        Some(reason) => screen.dim(&format!(
            "  all tasks share the loopback interface, each with its own ports: {reason}"
        )),
    }
}
