//! How a cluster is started: on which Consul, and how it is secured.

use super::{Backend, Cluster, MANAGEMENT, server, start_server};
use crate::mesh::{Acl, Kind, ServerOptions, Tls, Token};
use crate::net::Lan;
use crate::scratch::Scratch;
use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The tokens of a cluster with ACLs.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// May do everything.
    pub management: String,
    /// Every agent's: writes nodes, reads services.
    pub agent: String,
    /// The service's: writes it and its proxy, reads services and nodes.
    pub service: String,
}

/// What an agent must have to be one of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// The file of the authority's certificate, where the servers speak nothing but TLS.
    pub ca: Option<PathBuf>,
    /// The key, where gossip is encrypted.
    pub gossip_key: Option<String>,
    /// The tokens, where nothing is allowed without.
    pub tokens: Option<Tokens>,
}

/// A cluster to start: [`ClusterPlan::new`] makes one in which everybody may do everything.
#[derive(Debug, Clone)]
pub struct ClusterPlan {
    backend: Backend,
    tls: bool,
    gossip: bool,
    acl_for: Option<String>,
    server: Value,
}

impl ClusterPlan {
    /// Without TLS, gossip key and ACLs.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, tls: false, gossip: false, acl_for: None, server: json!({}) }
    }

    /// TLS with auto_encrypt: the servers refuse RPC without it, and sign the agents' certificates. The stand-in reads
    /// the keys and does without.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Encrypted gossip.
    #[must_use]
    pub fn gossip_key(mut self) -> Self {
        self.gossip = true;
        self
    }

    /// Nothing is allowed without a token: makes the policies and the two tokens that the ACL controller of consul-ecs
    /// 0.4.3 makes for a service.
    #[must_use]
    pub fn acl(mut self, service: &str) -> Self {
        self.acl_for = Some(service.to_owned());
        self
    }

    /// Further keys for the server's configuration.
    #[must_use]
    pub fn server(mut self, config: Value) -> Self {
        self.server = config;
        self
    }

    /// Starts the server and waits until it leads and knows the tokens.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start(self) -> Result<Cluster> {
        let lan = Lan::new()?;
        let dir = Scratch::new()?;
        let programs = self.backend.programs(dir.path())?;
        let ip = lan.hub().ip().into();
        let mut security = Security::default();
        let mut options = ServerOptions {
            bind: ip,
            client: ip,
            extra: self.server,
            ..ServerOptions::new(
                &programs.server,
                Kind::of(&programs.server)?,
                dir.path().join("server"),
            )
        };
        if self.tls {
            let tls = certificates(dir.path())?;
            security.ca = Some(tls.ca.clone());
            options.tls = Some(tls);
        }
        if self.gossip {
            security.gossip_key = Some(GOSSIP_KEY.to_owned());
            options.gossip_key = Some(GOSSIP_KEY.to_owned());
        }
        if self.acl_for.is_some() {
            options.acl = Some(Acl { management: MANAGEMENT.to_owned(), tokens: Vec::new() });
            security.tokens = Some(Tokens {
                management: MANAGEMENT.to_owned(),
                agent: "00000000-0000-4000-8000-00000000000a".to_owned(),
                service: "00000000-0000-4000-8000-00000000000b".to_owned(),
            });
        }
        let server = start_server(lan.hub(), &options).await?;
        let cluster = Cluster {
            server,
            lan,
            backend: self.backend,
            programs,
            kind: options.kind,
            server_options: options,
            security,
            dir,
        };
        if let (Some(service), Some(tokens)) = (self.acl_for, cluster.security.tokens.clone()) {
            cluster.make_token("client", Token::agent(tokens.agent)).await?;
            cluster.make_token("service", Token::service(tokens.service, &service)).await?;
        }
        Ok(cluster)
    }
}

impl Cluster {
    /// Makes a policy and a token that has it.
    ///
    /// # Errors
    /// If the servers still refuse after a while: a new leader takes a moment until it has its management token.
    pub async fn make_token(&self, policy: &str, token: Token) -> Result<()> {
        let rules = json!({ "Name": policy, "Rules": token.rules });
        self.put_until_taken("/v1/acl/policy", rules).await?;
        let token = json!({
            "SecretID": token.secret, "AccessorID": accessor(&token.secret),
            "Policies": [{ "Name": policy }]
        });
        self.put_until_taken("/v1/acl/token", token).await
    }

    /// Deletes a token that [`Cluster::make_token`] made.
    ///
    /// # Errors
    /// If the server does not answer with 200.
    pub async fn delete_token(&self, secret: &str) -> Result<()> {
        self.server_delete(&format!("/v1/acl/token/{}", accessor(secret))).await
    }

    async fn put_until_taken(&self, path: &str, body: Value) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.server_put(path, body.clone()).await {
                Err(e) if began.elapsed() > server::LIMIT => return Err(e),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// The public name of a token, which is a UUID.
fn accessor(secret: &str) -> String {
    format!("acce5500{}", secret.get(8..).unwrap_or_default())
}

/// Any 32 bytes will do.
const GOSSIP_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Makes an authority and, signed by it, the certificate of a server in `dc1`.
fn certificates(dir: &Path) -> Result<Tls> {
    let key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "testbed CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&key)?.pem();

    let names = ["server.dc1.consul", "localhost", "127.0.0.1"].map(str::to_owned);
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "server.dc1.consul");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    leaf.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let leaf_key = KeyPair::generate()?;
    let cert = leaf.signed_by(&leaf_key, &Issuer::new(ca, key))?;

    let tls = Tls {
        ca: dir.join("ca.pem"),
        cert: dir.join("server.pem"),
        key: dir.join("server-key.pem"),
    };
    std::fs::write(&tls.ca, ca_pem)?;
    std::fs::write(&tls.cert, cert.pem())?;
    std::fs::write(&tls.key, leaf_key.serialize_pem())?;
    Ok(tls)
}
