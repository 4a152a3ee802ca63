//! A task's containers in their images: what a container runtime adds, and volumes as ECS fills them.

use super::build::Image;
use super::parts::Images;
use super::tree::{self, within};
use crate::net::{Mount, RootFs};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A task's containers, ready to be started.
#[derive(Debug)]
pub struct Placed {
    /// The definition, with what the images say where it says nothing itself.
    pub definition: Value,
    /// For [`TaskSpec::roots`](crate::ecs::TaskSpec::roots).
    pub roots: BTreeMap<String, RootFs>,
}

/// Places a task's containers. `images` are by the reference that the definition has; each image is used by one task.
///
/// A volume is root's, mode 0755 and empty, unless the image of the first container that mounts it has a `VOLUME` at the
/// same path: then it begins as what the image has there, owner and mode too. A `VOLUME` that the definition does not mount
/// is none: on Fargate nobody promises one.
///
/// # Errors
/// An image that is missing, a volume that nobody declares, or the file system's.
pub fn place(mut definition: Value, images: &Images<'_>, folder: &Path) -> Result<Placed> {
    let mut volumes = BTreeMap::new();
    for volume in definition["volumes"].as_array().into_iter().flatten() {
        let name = volume["name"].as_str().context("a volume's name")?;
        volumes.insert(name.to_owned(), tree::folder(folder, name)?);
    }
    let mut roots = BTreeMap::new();
    for container in definition["containerDefinitions"].as_array_mut().context("containers")? {
        let reference = container["image"].as_str().context("image")?;
        let image = images.get(reference).with_context(|| format!("no image {reference}"))?;
        let name = container["name"].as_str().context("name")?.to_owned();
        let mut mounts = runtime(&image.root)?;
        let mut points = container["mountPoints"].as_array().cloned().unwrap_or_default();
        // What is mounted below another comes after it.
        points.sort_by_key(|point| point["containerPath"].as_str().unwrap_or_default().len());
        for point in points {
            let target = point["containerPath"].as_str().context("containerPath")?;
            let volume = point["sourceVolume"].as_str().context("sourceVolume")?;
            let source = volumes.get(volume).with_context(|| format!("no volume {volume}"))?;
            if image.config.volumes.contains(target) {
                fill(source, &within(&image.root, target))?;
            }
            tree::folder(&image.root, target)?;
            mounts.push(Mount {
                source: source.clone(),
                target: target.into(),
                read_only: point["readOnly"] == true,
            });
        }
        roots.insert(name, RootFs { folder: image.root.clone(), read_only: false, mounts });
        complete(container, image)?;
    }
    Ok(Placed { definition, roots })
}

/// An empty volume begins as what the image has at its mount point.
fn fill(volume: &Path, from: &Path) -> Result<()> {
    if std::fs::read_dir(volume)?.next().is_some() {
        return Ok(());
    }
    let meta = from.metadata().with_context(|| format!("VOLUME {}", from.display()))?;
    tree::contents(from, volume, None, &|_| false)?;
    tree::own(volume, &meta, None)
}

/// What every container runtime puts into a container.
fn runtime(root: &Path) -> Result<Vec<Mount>> {
    tree::folder(root, "/proc")?;
    tree::file(root, "/etc/hosts", "127.0.0.1 localhost\n")?;
    tree::file(root, "/etc/resolv.conf", "")?;
    let devices = ["null", "zero", "full", "random", "urandom"].map(|name| format!("/dev/{name}"));
    for device in &devices {
        tree::file(root, device, "")?;
    }
    let mount = |device: String| Mount {
        source: device.clone().into(),
        target: device.into(),
        read_only: false,
    };
    Ok(devices.into_iter().map(mount).collect())
}

/// The image's word counts where the definition has none. A `CMD` belongs to its own `ENTRYPOINT`.
fn complete(container: &mut Value, image: &Image) -> Result<()> {
    let config = &image.config;
    if container.get("entryPoint").is_none() {
        container["entryPoint"] = json!(config.entrypoint);
        if container.get("command").is_none() {
            container["command"] = json!(config.cmd);
        }
    }
    if container.get("user").is_none() {
        container["user"] = json!(config.user);
    }
    let environment = container["environment"].as_array().cloned().unwrap_or_default();
    let ours = config.env.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    container["environment"] = ours.chain(environment).collect();
    ensure!(config.stop_signal.as_deref().is_none_or(|signal| signal == "SIGTERM"), "STOPSIGNAL");
    Ok(())
}
