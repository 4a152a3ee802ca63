//! What stands in for the images, the compiler and the package manager that cannot be had here.

use super::build::{Config, Image};
use super::tree::{self, within};
use crate::cluster::beside_us;
use crate::net::Mount;
use crate::scratch::script;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where this machine keeps its certificates.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The programs that images are made of.
#[derive(Debug, Clone)]
pub struct Parts {
    consul: PathBuf,
    envoy: PathBuf,
    taskmesh: PathBuf,
    testbed: PathBuf,
}

impl Parts {
    /// This Consul, the fetched Envoy, and our own programs as they were built last.
    ///
    /// # Errors
    /// What is missing.
    pub fn find(consul: &Path) -> Result<Self> {
        Ok(Self {
            consul: consul.to_owned(),
            envoy: crate::parts::envoy()?,
            taskmesh: beside_us("taskmesh")?,
            testbed: beside_us("testbed")?,
        })
    }

    /// The same files without what is in them: one small program stands for each. To look at an image, not to run it.
    pub fn hollow() -> Self {
        let nothing = PathBuf::from("/bin/true");
        Self {
            consul: nothing.clone(),
            envoy: nothing.clone(),
            taskmesh: nothing.clone(),
            testbed: nothing,
        }
    }

    /// A base image, by the name before its tag or digest.
    pub(super) fn base(&self, reference: &str, root: PathBuf) -> Result<Image> {
        let name = reference.split_once('@').map_or(reference, |(name, _)| name);
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        let (mut config, mut tools) = (Config::default(), Vec::new());
        match name {
            "scratch" => {}
            "hashicorp/consul" => tree::program(&root, "/bin/consul", &self.consul)?,
            "envoyproxy/envoy" => {
                tree::program(&root, "/usr/local/bin/envoy", &self.envoy)?;
                // The image has glibc; which parts of it a program wants, only the program knows.
                tree::libraries(&root, &self.consul)?;
                certificates(&root)?;
                let users = "root:x:0:0:root:/root:/sbin/nologin\n\
                    nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
                tree::file(&root, "/etc/passwd", users)?;
                let tmp = tree::folder(&root, "/tmp")?;
                std::fs::set_permissions(tmp, std::fs::Permissions::from_mode(0o1777))?;
                config.entrypoint = vec!["/usr/local/bin/envoy".to_owned()];
            }
            "rust" => tools = self.tools(&root)?,
            _ => bail!("{reference}: nothing stands in for this image"),
        }
        Ok(Image { root, config, tools })
    }

    /// The image of an app, as somebody else might make it: `testbed` at `/usr/local/bin`, no shell, a user of its own.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn app(&self, root: &Path) -> Result<Image> {
        tree::program(root, "/usr/local/bin/testbed", &self.testbed)?;
        self.libraries_of_taskmesh(root)?;
        let config = Config { user: Some("1000:1000".to_owned()), ..Config::default() };
        Ok(Image { root: root.to_owned(), config, tools: Vec::new() })
    }

    /// The debug build is not static.
    pub(super) fn libraries_of_taskmesh(&self, root: &Path) -> Result<()> {
        tree::libraries(root, &self.taskmesh)
    }

    /// This machine's own programs, and before them our stand-ins for what would fetch or compile.
    fn tools(&self, root: &Path) -> Result<Vec<Mount>> {
        let tools = root.with_extension("tools");
        std::fs::create_dir_all(&tools)?;
        script(&tools, "apk", "[ \"$1\" = add ]")?;
        script(&tools, "cargo", CARGO)?;
        std::fs::copy(&self.taskmesh, tools.join("taskmesh"))?;
        let mut mounts = vec![(tools, PathBuf::from("/tools"))];
        for name in ["usr", "bin", "lib", "lib64", "etc"] {
            let here = Path::new("/").join(name);
            match std::fs::read_link(&here) {
                Ok(link) => symlink(link, within(root, &here))?,
                Err(_folder) if here.is_dir() => mounts.push((here.clone(), here)),
                Err(_none) => {}
            }
        }
        let mount = |(source, target)| Mount { source, target, read_only: true };
        Ok(mounts.into_iter().map(mount).collect())
    }
}

/// Puts the program that was built before where cargo would.
const CARGO: &str = "\
case \"$*\" in *build*--release*) ;; *) echo \"cargo $*?\" >&2; exit 1;; esac
[ -f Cargo.lock ] && [ -f src/main.rs ] || { echo 'not our sources' >&2; exit 1; }
mkdir -p target/release && cp /tools/taskmesh target/release/taskmesh";

fn certificates(root: &Path) -> Result<()> {
    let text = std::fs::read_to_string(CERTIFICATES).context(CERTIFICATES)?;
    tree::file(root, CERTIFICATES, &text)
}

/// Images by the reference that a task definition has.
pub(super) type Images<'a> = BTreeMap<String, &'a Image>;
