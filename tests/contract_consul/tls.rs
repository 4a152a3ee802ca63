//! TLS with certificates of one's own: no `auto_encrypt`, a chain and a bundle, and whom it keeps out.

use crate::backend::Backend;
use crate::bench::{Agent, Bench, PATIENCE, alone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use taskmesh::consul::{AgentSecrets, Version};
use tokio::time::timeout;

/// An authority, and its certificate as PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key, as PEM.
struct Leaf {
    cert: String,
    key: String,
}

fn authority_params(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, KeyPair::generate().expect("key"))
}

impl Authority {
    fn root(name: &str) -> Self {
        let (params, key) = authority_params(name);
        let pem = params.self_signed(&key).expect("root").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// An authority whom this one vouches for.
    fn intermediate(&self, name: &str) -> Self {
        let (params, key) = authority_params(name);
        let pem = params.signed_by(&key, &self.issuer).expect("intermediate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn leaf(&self, name: &str) -> Leaf {
        let mut params = CertificateParams::new([name.to_owned()]).expect("name");
        params.distinguished_name.push(DnType::CommonName, name);
        // Servers call each other too.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("key");
        let cert = params.signed_by(&key, &self.issuer).expect("leaf").pem();
        Leaf { cert, key: key.serialize_pem() }
    }
}

fn written(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("file");
    path
}

/// A server that takes only clients with a certificate of `root`.
fn server(version: Version, dir: &Path, root: &Authority, leaf: &Leaf) -> Value {
    let tls = json!({
        "ca_file": written(dir, "server-ca.pem", &root.pem),
        "cert_file": written(dir, "server.pem", &leaf.cert),
        "key_file": written(dir, "server-key.pem", &leaf.key),
        "verify_incoming": true,
        "verify_outgoing": true,
    });
    if version >= Version::new(1, 12, 0) { json!({ "tls": { "internal_rpc": tls } }) } else { tls }
}

impl Bench {
    async fn with_tls(&mut self, verify_hostname: bool, secrets: &AgentSecrets) -> Agent {
        let path = json!({ "file": "/not/read/here" });
        let own = secrets.cert_file.is_some().then_some(&path);
        let tls = json!({
            "ca": path, "autoEncrypt": false, "cert": own, "key": own,
            "verifyServerHostname": verify_hostname,
        });
        self.cfg.consul.tls = serde_json::from_value(tls).expect("tls");
        self.start_agent(secrets).await
    }

    /// The agent finds the servers by gossip, and does not get to talk to them.
    async fn kept_out(&self, agent: Agent, by: &str) {
        let refused = agent.process.output().wait_for(|line| line.text.contains(by));
        timeout(PATIENCE, refused)
            .await
            .unwrap_or_else(|_| panic!("nothing of {by:?}: {:#?}", agent.lines()))
            .expect("a line");
        assert_eq!(agent.client.leader().await, Ok(None), "{:#?}", agent.lines());
        agent.process.kill();
        timeout(PATIENCE, agent.process.wait()).await.expect("killed");
    }
}

async fn own_certificate(mut bench: Bench) {
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path();
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let issuing = root.intermediate("issuing");
    let (server_leaf, leaf) = (root.leaf("server.dc1.consul"), issuing.leaf("client.dc1.consul"));
    bench.start_server(server(bench.consul.version, dir, &root, &server_leaf)).await;
    let secrets = AgentSecrets {
        ca_file: Some(written(dir, "bundle.pem", &format!("{}{}", other.pem, root.pem))),
        cert_file: Some(written(dir, "chain.pem", &format!("{}{}", leaf.cert, issuing.pem))),
        key_file: Some(written(dir, "key.pem", &leaf.key)),
        ..AgentSecrets::default()
    };

    let without = AgentSecrets { ca_file: secrets.ca_file.clone(), ..AgentSecrets::default() };
    let agent = bench.with_tls(true, &without).await;
    bench.kept_out(agent, "tls: ").await;
    // It trusts another authority than the servers'.
    let astray = AgentSecrets {
        ca_file: Some(written(dir, "other.pem", &other.pem)),
        cert_file: secrets.cert_file.clone(),
        key_file: secrets.key_file.clone(),
        ..AgentSecrets::default()
    };
    let agent = bench.with_tls(true, &astray).await;
    bench.kept_out(agent, "x509: certificate signed by unknown authority").await;

    let agent = bench.with_tls(true, &secrets).await;
    agent.joined().await;
    bench.register(&agent).await;
    bench.until_shown("there", |entry| entry.is_some()).await;
}

async fn wrong_hostname(mut bench: Bench) {
    let dir = tempfile::tempdir().expect("folder");
    let dir = dir.path();
    let root = Authority::root("root");
    // Of the right authority, but no server's: any client of the mesh has one like it.
    let (no_server, leaf) = (root.leaf("client.dc1.consul"), root.leaf("client.dc1.consul"));
    bench.start_server(server(bench.consul.version, dir, &root, &no_server)).await;
    let secrets = AgentSecrets {
        ca_file: Some(written(dir, "ca.pem", &root.pem)),
        cert_file: Some(written(dir, "cert.pem", &leaf.cert)),
        key_file: Some(written(dir, "key.pem", &leaf.key)),
        ..AgentSecrets::default()
    };
    let agent = bench.with_tls(true, &secrets).await;
    bench.kept_out(agent, "not server.dc1.consul").await;
    let agent = bench.with_tls(false, &secrets).await;
    agent.joined().await;
}

/// On real Consuls: the stand-in speaks no TLS.
macro_rules! on {
    ($module:ident, $backend:expr) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn tls_with_an_own_certificate_joins_and_nothing_less_does() {
                alone($backend, "tls", own_certificate).await;
            }

            #[tokio::test]
            async fn tls_tells_a_server_from_another_certificate_of_its_authority_if_asked_to() {
                alone($backend, "hostname", wrong_hostname).await;
            }
        }
    };
}

on!(on_187, Backend::V187);
on!(on_consul_bin, Backend::Given);
