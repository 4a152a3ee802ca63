//! What would be wrong with one of our images, whatever runs in it.

use super::build::Image;
use super::tree::within;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Programs with which somebody who got in could go on.
const SHELLS: [&str; 5] = ["sh", "bash", "ash", "dash", "busybox"];
/// Set user or group ID.
const SET_ID: u32 = 0o6000;

impl Image {
    /// What is wrong, in words: it runs as root or by a shell, has a shell, a volume that its user cannot write to, no
    /// certificates, a program that lends rights, or a `HEALTHCHECK`, at which ECS does not look.
    pub fn flaws(&self) -> Vec<String> {
        let config = &self.config;
        let mut flaws = Vec::new();
        let user = config.user.as_deref().and_then(|user| user.split_once(':')?.0.parse().ok());
        let user: u32 = user.unwrap_or_default();
        if user == 0 {
            flaws.push(format!("runs as root: USER {:?}", config.user));
        }
        if config.healthcheck.is_some() {
            flaws.push("HEALTHCHECK: ECS does not look at it".to_owned());
        }
        match config.entrypoint.first() {
            Some(program) if within(&self.root, program).is_file() => {}
            program => flaws.push(format!("ENTRYPOINT {program:?}: not there")),
        }
        for volume in &config.volumes {
            match within(&self.root, volume).metadata() {
                Ok(meta) if meta.uid() == user || meta.mode() & 0o1777 == 0o1777 => {}
                Ok(meta) => flaws.push(format!("VOLUME {volume}: belongs to {}", meta.uid())),
                Err(error) => flaws.push(format!("VOLUME {volume}: {error}")),
            }
        }
        if !within(&self.root, "/etc/ssl/certs/ca-certificates.crt").is_file() {
            flaws.push("no CA certificates".to_owned());
        }
        for file in self.files() {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mode = within(&self.root, &file).metadata().map_or(0, |m| m.permissions().mode());
            if SHELLS.contains(&name.as_str()) && mode & 0o111 != 0 {
                flaws.push(format!("a shell: {}", file.display()));
            }
            if mode & SET_ID != 0 {
                flaws.push(format!("lends rights: {}", file.display()));
            }
        }
        flaws
    }

    /// Every file, from `/`.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = below(&self.root);
        found.sort();
        let inner =
            |path: PathBuf| Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(&path));
        found.into_iter().map(inner).collect()
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| match path.is_dir() && !path.is_symlink() {
            true => below(&path),
            false => vec![path],
        })
        .collect()
}
