//! The files of the Consul agent: its configuration and what that names, its sockets, its data folder.

use super::{Identity, Site};
use crate::config::SecretItem;
use crate::consul::{self, AgentSecrets, Version};
use crate::private::{private_dir, write_private};
use secrecy::{ExposeSecret, SecretString};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Writes all that the agent reads, and clears away what would hinder it; gives the configuration files in the order in
/// which they are merged.
///
/// # Errors
/// In words, which file and why.
pub(super) fn write(
    site: &Site,
    identity: &Identity,
    recovery_token: Option<&SecretString>,
    version: Version,
) -> Result<Vec<PathBuf>, String> {
    let consul = &site.config.consul;
    let dir = &site.private_dir;
    private_dir(&consul.data_dir).map_err(|e| failed("its data folder", &e))?;
    for socket in consul.http_socket.iter().chain(&consul.grpc_socket) {
        free_socket(socket).map_err(|e| failed(&format!("its socket {}", socket.display()), &e))?;
    }
    let pem = |name: &str, text: Option<&SecretString>| {
        text.map(|text| {
            let path = dir.join(name);
            let written = write_private(&path, format!("{}\n", text.expose_secret()).as_bytes());
            written.map(|()| path).map_err(|e| failed(name, &e))
        })
        .transpose()
    };
    let held = site.keyring.now();
    let secrets = AgentSecrets {
        agent_token: held.get(SecretItem::AgentToken).cloned(),
        recovery_token: recovery_token.cloned(),
        gossip_key: held.get(SecretItem::GossipKey).cloned(),
        ca_file: pem("consul-ca.pem", held.get(SecretItem::Ca))?,
        cert_file: pem("consul-cert.pem", held.get(SecretItem::Cert))?,
        key_file: pem("consul-key.pem", held.get(SecretItem::Key))?,
    };
    let config = consul::agent_config(&site.config, &identity.task, &secrets, version);
    let path = dir.join("agent.json");
    write_private(&path, config.to_string().as_bytes()).map_err(|e| failed("its config", &e))?;
    let mut files = vec![path];
    files.extend(consul.extra_config_files.iter().cloned());
    if let Some(text) = &consul.extra_config {
        let expanded = expand(site, identity, text)?;
        let path = dir.join(consul::extra_config_file_name(text));
        write_private(&path, expanded.expose_secret().as_bytes())
            .map_err(|e| failed("extraConfig", &e))?;
        files.push(path);
    }
    Ok(files)
}

fn failed(what: &str, e: &io::Error) -> String {
    format!("consul: cannot write {what}: {e}")
}

/// `consul.extraConfig` with its variables replaced. Only the task's address can still be missing here.
fn expand(site: &Site, identity: &Identity, text: &str) -> Result<SecretString, String> {
    let consul = &site.config.consul;
    let held = site.keyring.now();
    let value = |name: &str| match name {
        consul::TASK_ADDRESS => {
            identity.task.ipv4.as_deref().or(consul.advertise_address.as_deref())
        }
        consul::DATACENTER => Some(consul.datacenter.as_str()),
        name => held.variables.get(name).map(ExposeSecret::expose_secret),
    };
    consul::expand_extra_config(text, value).map(SecretString::from).map_err(|missing| {
        let missing: Vec<_> = missing.into_iter().collect();
        format!("consul.extraConfig: the task has no value for {}", missing.join(", "))
    })
}

/// Makes the socket's folder, and removes a socket that an earlier life left there. The agent would remove whatever it
/// finds; what is no socket is somebody else's, and stays.
fn free_socket(socket: &Path) -> io::Result<()> {
    if let Some(folder) = socket.parent() {
        private_dir(folder)?;
    }
    match fs::symlink_metadata(socket) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(socket),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "is there, and is no socket")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

/// Whether an agent has used this data folder.
pub(super) fn was_used(data_dir: &Path) -> bool {
    consul::DATA_FOLDER_MARKS.iter().any(|mark| data_dir.join(mark).exists())
}

/// Removes what an agent keeps in its data folder; gives what was there. What cannot be removed is said, and stays.
pub(super) fn empty(data_dir: &Path) -> Vec<&'static str> {
    let mut removed = Vec::new();
    for name in consul::DATA_FOLDER_ENTRIES {
        let path = data_dir.join(name);
        let result = match fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => continue,
        };
        match result {
            Ok(()) => removed.push(name),
            Err(e) => {
                tracing::warn!(path = %path.display(), error = %e, "consul: cannot remove");
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::{Keyring, Secrets};
    use crate::config::Config;
    use crate::consul::ServiceIds;
    use crate::ecs::TaskIdentity;
    use crate::process::Reaper;
    use serde_json::{Value, json};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;
    use tokio::time::Instant;

    const VERSION: Version = Version::new(1, 23, 0);

    fn site(dir: &Path, consul: Value) -> Site {
        let mut config =
            json!({ "service": { "name": "api", "port": 1 }, "consul": { "retryJoin": ["x"] } });
        config["consul"]["dataDir"] = json!(dir.join("data"));
        config["consul"].as_object_mut().unwrap().extend(consul.as_object().unwrap().clone());
        let config: Config = serde_json::from_value(config).unwrap();
        let mut secrets = Secrets::with_variables([("NAME".to_owned(), "s3cret".into())].into());
        for (item, text) in [
            (SecretItem::AgentToken, "agent-token"),
            (SecretItem::Ca, "ca"),
            (SecretItem::Cert, "cert"),
            (SecretItem::Key, "key"),
        ] {
            secrets.put(item, text.into());
        }
        Site {
            config: Arc::new(config),
            metadata_uri: None,
            keyring: Keyring::new(secrets),
            reaper: Reaper::start().unwrap(),
            memory: Arc::new(crate::process::Memory::of("", dir)),
            private_dir: dir.join("private"),
            consul_version: Arc::default(),
            aws: crate::ecs::AwsAccess::default(),
            epoch: Instant::now(),
        }
    }

    fn identity(site: &Site, ipv4: Option<&str>) -> Identity {
        let task = TaskIdentity {
            task_id: "t1".to_owned(),
            ipv4: ipv4.map(str::to_owned),
            ..TaskIdentity::default()
        };
        let ids = Arc::new(ServiceIds::new(&site.config.service, &task));
        Identity { task, ids }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn everything_is_written_for_us_alone_and_in_the_order_of_merging() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(
            dir.path(),
            json!({
                "acl": {}, "tls": { "ca": { "env": "A" }, "autoEncrypt": false },
                "extraConfigFiles": ["/etc/more.hcl"],
                "extraConfig": "bind_addr = \"$ECS_IPV4\"\nx = \"$NAME \\$NAME $CONSUL_DATACENTER\"",
            }),
        );
        private_dir(&site.private_dir).unwrap();
        let identity = identity(&site, Some("10.0.2.106"));
        let files = write(&site, &identity, None, VERSION).unwrap();
        let private = &site.private_dir;
        let extra = private.join("agent-extra.hcl");
        assert_eq!(files, [private.join("agent.json"), "/etc/more.hcl".into(), extra.clone()]);
        assert_eq!(
            fs::read_to_string(&extra).unwrap(),
            "bind_addr = \"10.0.2.106\"\nx = \"s3cret $NAME dc1\""
        );
        let config: Value = serde_json::from_slice(&fs::read(&files[0]).unwrap()).unwrap();
        assert_eq!(config["acl"]["tokens"]["agent"], "agent-token");
        for (key, text) in [("cert_file", "cert\n"), ("key_file", "key\n")] {
            let path = config["tls"]["internal_rpc"][key].as_str().unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        let written: Vec<_> =
            fs::read_dir(private).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(written.len(), 5, "{written:?}");
        assert!(written.iter().all(|path| mode(path) == 0o600), "{written:?}");
        assert_eq!(mode(private), 0o700);
        assert_eq!(mode(&site.config.consul.data_dir), 0o700);
    }

    #[tokio::test]
    async fn a_variable_for_the_address_needs_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path(), json!({ "extraConfig": "bind_addr = \"$ECS_IPV4\"" }));
        private_dir(&site.private_dir).unwrap();
        let error = write(&site, &identity(&site, None), None, VERSION).unwrap_err();
        assert!(error.contains("consul.extraConfig") && error.contains("ECS_IPV4"), "{error}");
    }

    #[tokio::test]
    async fn a_socket_left_behind_goes_and_anything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("sockets/http.sock");
        let site = site(dir.path(), json!({ "httpSocket": socket }));
        private_dir(&site.private_dir).unwrap();
        let identity = identity(&site, None);
        write(&site, &identity, None, VERSION).unwrap();
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
        // The file stays when its listener is closed.
        drop(UnixListener::bind(&socket).unwrap());
        assert!(socket.exists());
        write(&site, &identity, None, VERSION).unwrap();
        assert!(!socket.exists());
        fs::write(&socket, "mine").unwrap();
        let error = write(&site, &identity, None, VERSION).unwrap_err();
        assert!(error.contains("http.sock") && error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
    }

    #[test]
    fn only_the_agents_own_is_removed_from_a_data_folder() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        assert!(!was_used(data));
        for file in ["serf/local.snapshot", "services/a", "checks/state/b", "node-id", "mine/c"] {
            fs::create_dir_all(data.join(file).parent().unwrap()).unwrap();
            fs::write(data.join(file), "x").unwrap();
        }
        assert!(was_used(data));
        assert_eq!(empty(data), ["checks", "node-id", "serf", "services"]);
        assert!(!was_used(data) && data.join("mine/c").exists());
        assert!(empty(data).is_empty());
    }
}
