//! Checks as they are registered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duration::GoDuration;

/// A check in a registration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools)] // as on the wire
pub(crate) struct CheckDef {
    #[serde(rename = "CheckID")]
    pub(crate) check_id: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) notes: String,
    #[serde(rename = "ServiceID")]
    pub(crate) service_id: String,
    pub(crate) token: String,
    #[serde(rename = "ProxyHTTP")]
    pub(crate) proxy_http: String,
    #[serde(rename = "ProxyGRPC")]
    pub(crate) proxy_grpc: String,
    pub(crate) status: String,
    #[serde(rename = "TTL")]
    pub(crate) ttl: GoDuration,
    #[serde(rename = "TCP")]
    pub(crate) tcp: String,
    #[serde(rename = "TCPUseTLS")]
    pub(crate) tcp_use_tls: bool,
    #[serde(rename = "UDP")]
    pub(crate) udp: String,
    #[serde(rename = "HTTP")]
    pub(crate) http: String,
    pub(crate) method: String,
    pub(crate) body: String,
    pub(crate) header: BTreeMap<String, Vec<String>>,
    pub(crate) disable_redirects: bool,
    #[serde(rename = "GRPC")]
    pub(crate) grpc: String,
    #[serde(rename = "GRPCUseTLS")]
    pub(crate) grpc_use_tls: bool,
    #[serde(rename = "H2PING")]
    pub(crate) h2ping: String,
    #[serde(rename = "H2PingUseTLS", alias = "H2PINGUseTLS")]
    pub(crate) h2ping_use_tls: bool,
    #[serde(rename = "TLSServerName")]
    pub(crate) tls_server_name: String,
    #[serde(rename = "TLSSkipVerify")]
    pub(crate) tls_skip_verify: bool,
    pub(crate) interval: GoDuration,
    pub(crate) timeout: GoDuration,
    pub(crate) alias_node: String,
    pub(crate) alias_service: String,
    pub(crate) script_args: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) success_before_passing: u32,
    pub(crate) failures_before_warning: u32,
    pub(crate) failures_before_critical: u32,
    pub(crate) deregister_critical_service_after: GoDuration,
    pub(crate) output_max_size: u64,
    #[serde(rename = "DockerContainerID")]
    pub(crate) docker_container_id: String,
    pub(crate) shell: String,
    #[serde(rename = "OSService")]
    pub(crate) os_service: String,
}

impl CheckDef {
    /// Consul's name for the kind, as in a check's `Type`.
    pub(crate) fn kind(&self) -> &'static str {
        let has = |s: &str| !s.is_empty();
        if has(&self.http) {
            "http"
        } else if has(&self.tcp) {
            "tcp"
        } else if has(&self.grpc) {
            "grpc"
        } else if has(&self.h2ping) {
            "h2ping"
        } else if has(&self.udp) {
            "udp"
        } else if has(&self.alias_node) || has(&self.alias_service) {
            "alias"
        } else if self.ttl != GoDuration::None {
            "ttl"
        } else {
            ""
        }
    }

    /// The rules Consul applies to a check before it accepts it.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !self.script_args.is_empty() || !self.args.is_empty() {
            return Err("Scripts are disabled on this agent; to enable, configure \
                'enable_script_checks' or 'enable_local_script_checks' to true"
                .into());
        }
        if !matches!(self.status.as_str(), "" | "passing" | "warning" | "critical") {
            return Err("Status for checks must 'passing', 'warning', 'critical'".into());
        }
        let (interval, ttl) = (self.interval.get()?, self.ttl.get()?);
        let (_, _) = (self.timeout.get()?, self.deregister_critical_service_after.get()?);
        match self.kind() {
            "" => Err("Invalid check: TTL must be > 0 for TTL checks".into()),
            "ttl" if ttl.is_zero() => Err("Invalid check: TTL must be > 0 for TTL checks".into()),
            "ttl" | "alias" => Ok(()),
            _ if interval.is_zero() => Err("Invalid check: Interval must be > 0 for Script, \
                HTTP, H2PING, TCP, UDP or OSService checks"
                .into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn interval_text(&self) -> String {
        self.interval.show()
    }

    pub(crate) fn timeout_text(&self) -> String {
        self.timeout.show()
    }
}
