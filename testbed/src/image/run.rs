//! `RUN`: a shell in the stage's own root.

use super::build::Image;
use super::dockerfile::Step;
use super::tree;
use crate::net::{Host, Mount, PidSpace, ProcessSpec, RootFs};
use anyhow::{Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// Runs it, or says what the shell said.
pub(super) async fn run(
    host: &Host,
    image: &Image,
    step: &Step,
    env: BTreeMap<String, String>,
    dir: &str,
    scratch: &Path,
) -> Result<()> {
    ensure!(!image.tools.is_empty(), "there is no shell in it: {}", step.rest);
    let mut mounts = image.tools.clone();
    for (number, (_, options)) in step.flags.iter().filter(|(flag, _)| flag == "mount").enumerate()
    {
        let option =
            |name: &str| options.split(',').find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
        let (Some("cache"), Some(target)) = (option("type"), option("target")) else {
            bail!("--mount={options}: only caches are known here")
        };
        // The compiler's own folder is this machine's here, and its stand-in fetches nothing.
        if image.tools.iter().any(|tool| Path::new(target).starts_with(&tool.target)) {
            continue;
        }
        // What lies in a cache is not in the image.
        let source = scratch.join(format!("cache-{}-{number}", step.line));
        std::fs::create_dir_all(&source)?;
        mounts.push(Mount { source, target: target.into(), read_only: false });
    }
    tree::folder(&image.root, "/proc")?;
    for mount in &mounts {
        tree::folder(&image.root, &mount.target)?;
    }
    let path = "/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut spec = ProcessSpec::new("/bin/sh", ["-ec", &step.rest]).env("PATH", path);
    spec.env.extend(env.into_iter().map(|(name, value)| (name.into(), value.into())));
    spec.clear_env = true;
    spec.dir = Some(dir.into());
    spec.pid_space = PidSpace::New;
    spec.root = Some(RootFs { folder: image.root.clone(), read_only: false, mounts });
    let process = host.spawn_process(spec).await?;
    let exit = process.finished().await;
    let said = process.output().snapshot();
    ensure!(exit.code() == 0, "{exit:?}: {said:#?}");
    Ok(())
}
