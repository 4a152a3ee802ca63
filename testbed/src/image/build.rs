//! A stage of the `Dockerfile` as a folder, and what an image says besides its files.

use super::dockerfile::{Dockerfile, Stage, Step, fill};
use super::parts::Parts;
use super::run::run;
use super::tree::{self, Owner, within};
use crate::net::{Host, Mount};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What an image says of how it is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `ENV`.
    pub env: BTreeMap<String, String>,
    /// `USER`.
    pub user: Option<String>,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// `VOLUME`.
    pub volumes: BTreeSet<String>,
    /// `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// `HEALTHCHECK`, which ECS does not look at.
    pub healthcheck: Option<String>,
}

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its files.
    pub root: PathBuf,
    /// How it is run.
    pub config: Config,
    /// Folders of this machine that only its own `RUN`s see.
    pub(super) tools: Vec<Mount>,
}

/// Builds stages into a folder.
pub struct Builder<'a> {
    file: Dockerfile,
    context: PathBuf,
    dir: PathBuf,
    parts: Parts,
    host: &'a Host,
    built: BTreeMap<String, Image>,
}

impl<'a> Builder<'a> {
    /// From a `Dockerfile` and the folder that is its context, into `dir`. `RUN`s are run on `host`.
    pub fn new(file: Dockerfile, context: &Path, dir: &Path, parts: Parts, host: &'a Host) -> Self {
        let (context, dir) = (context.to_owned(), dir.to_owned());
        Self { file, context, dir, parts, host, built: BTreeMap::new() }
    }

    /// The image of a target, or of the last stage.
    ///
    /// # Errors
    /// What fails, with the line.
    pub async fn build(&mut self, target: Option<&str>) -> Result<Image> {
        let image = self.stage(self.file.stage(target)?).await?;
        // A static program needs nothing; the one that stands in for it here may.
        self.parts.libraries_of_taskmesh(&image.root)?;
        Ok(image)
    }

    async fn stage(&mut self, number: usize) -> Result<Image> {
        let stage = self.file.stages[number].clone();
        let key = format!("stage {number}");
        if let Some(image) = self.built.get(&key) {
            return Ok(image.clone());
        }
        let base = Box::pin(self.named(&stage.base, number)).await?;
        let mut image = Image { root: self.dir.join(number.to_string()), ..base.clone() };
        std::fs::create_dir_all(&image.root)?;
        tree::contents(&base.root, &image.root, None, &|_| false)?;
        let mut args = BTreeMap::new();
        for step in &stage.steps {
            let done = Box::pin(self.step(number, &mut image, &mut args, step)).await;
            done.with_context(|| format!("Dockerfile:{}: {}", step.line, step.keyword))?;
        }
        self.built.insert(key, image.clone());
        Ok(image)
    }

    /// An earlier stage by its name, or an image from elsewhere.
    async fn named(&mut self, name: &str, before: usize) -> Result<Image> {
        let earlier = |stage: &Stage| stage.name.as_deref() == Some(name);
        if let Some(at) = self.file.stages[..before].iter().position(earlier) {
            return self.stage(at).await;
        }
        if let Some(image) = self.built.get(name) {
            return Ok(image.clone());
        }
        let root = self.dir.join(format!("base-{}", self.built.len()));
        std::fs::create_dir_all(&root)?;
        let image = self.parts.base(name, root)?;
        self.built.insert(name.to_owned(), image.clone());
        Ok(image)
    }

    async fn step(
        &mut self,
        number: usize,
        image: &mut Image,
        args: &mut BTreeMap<String, String>,
        step: &Step,
    ) -> Result<()> {
        let config = &mut image.config;
        let known: BTreeMap<_, _> = args.iter().chain(&config.env).collect();
        let known = known.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let exec = || step.exec_form().with_context(|| format!("not in exec form: {}", step.rest));
        match step.keyword.as_str() {
            "ARG" => {
                let (name, value) = step.rest.split_once('=').unwrap_or((&step.rest, ""));
                let global = self.file.args.get(name).cloned();
                args.insert(name.to_owned(), global.unwrap_or_else(|| fill(value, &known)));
            }
            "ENV" => {
                for pair in step.words() {
                    let (name, value) = pair.split_once('=').context("NAME=VALUE")?;
                    config.env.insert(name.to_owned(), fill(value, &known));
                }
            }
            "USER" => config.user = Some(fill(&step.rest, &known)),
            "ENTRYPOINT" => config.entrypoint = exec()?,
            "CMD" => config.cmd = exec()?,
            "VOLUME" => config.volumes.extend(step.words()),
            "STOPSIGNAL" => config.stop_signal = Some(step.rest.clone()),
            "HEALTHCHECK" => config.healthcheck = Some(step.rest.clone()),
            "LABEL" | "EXPOSE" => {}
            "WORKDIR" => {
                ensure!(!image.tools.is_empty(), "only where something is built");
                tree::folder(&image.root, &step.rest)?;
                args.insert(WORKDIR.to_owned(), step.rest.clone());
            }
            "COPY" => self.copy(number, image, step, args).await?,
            "RUN" => {
                let mut env = image.config.env.clone();
                env.extend(args.iter().map(|(name, value)| (name.clone(), value.clone())));
                let dir = args.get(WORKDIR).cloned().unwrap_or_else(|| "/".to_owned());
                run(self.host, image, step, env, &dir, &self.dir).await?;
            }
            other => bail!("{other} is not known here"),
        }
        Ok(())
    }

    async fn copy(
        &mut self,
        number: usize,
        image: &Image,
        step: &Step,
        args: &BTreeMap<String, String>,
    ) -> Result<()> {
        let mut words = step.words();
        let to = words.pop().context("no destination")?;
        let at = args.get(WORKDIR).map_or("/", String::as_str);
        let target = within(&image.root, Path::new(at).join(&to));
        let owner = step.flag("chown").map(owner_of).transpose()?.unwrap_or((0, 0));
        let (root, ignored) = match step.flag("from") {
            Some(from) => (self.named(from, number).await?.root, Vec::new()),
            None => (self.context.clone(), ignored(&self.context)?),
        };
        let skip = |path: &Path| ignored.iter().any(|ignored| path == ignored);
        for from in words {
            let source = within(&root, &from);
            ensure!(source.exists(), "{from} is not there");
            let into = to.ends_with('/') || target.is_dir();
            if source.is_dir() {
                let fresh = !target.exists();
                std::fs::create_dir_all(&target)?;
                tree::contents(&source, &target, Some(owner), &skip)?;
                if fresh {
                    tree::own(&target, &source.metadata()?, Some(owner))?;
                }
                continue;
            }
            let path = match source.file_name().filter(|_| into) {
                Some(name) => target.join(name),
                None => target.clone(),
            };
            std::fs::create_dir_all(path.parent().unwrap_or(&image.root))?;
            tree::one(&source, &path, Some(owner), &skip)?;
        }
        Ok(())
    }
}

/// Not a name that an `ARG` can have.
const WORKDIR: &str = "WORKDIR ";

/// Names must be looked up in an image's `/etc/passwd`, which not every image has.
fn owner_of(text: &str) -> Result<Owner> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse().with_context(|| format!("{text}: not a number"));
    Ok((number(user)?, number(group)?))
}

/// What `.dockerignore` keeps out: plain paths, no patterns.
fn ignored(context: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string(context.join(".dockerignore")).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            ensure!(!line.contains(['*', '?', '!', '[']), ".dockerignore: {line}: a pattern");
            Ok(within(context, line))
        })
        .collect()
}
