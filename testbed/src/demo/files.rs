//! What is left to look at: pictures, timelines and logs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use taskmesh::timeline::Timeline;
use taskmesh::timeline::render::{Lane, html, svg};

use crate::ecs::EcsTask;

/// The folder of a run.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it and removes the pictures of the run before, so that a run that fails leaves none that lie.
    pub(super) fn prepare(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot write to {}", path.display());
        fs::create_dir_all(path).with_context(cannot)?;
        let folder = Self(path.to_owned());
        for name in [SVG, HTML] {
            match fs::remove_file(folder.0.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(cannot);
                }
                _ => {}
            }
        }
        Ok(folder)
    }

    /// The path of a file in it, as short as can be from here.
    pub(super) fn show(&self, name: &str) -> String {
        let path = self.0.join(name);
        let here = env::current_dir().unwrap_or_default();
        path.strip_prefix(&here).unwrap_or(&path).display().to_string()
    }

    /// The picture and the page, and each timeline as `lifecycle.timelineFile` has it.
    pub(super) fn write_timelines(&self, titled: Vec<(String, String, Timeline)>) -> Result<()> {
        let mut named = Vec::new();
        for (name, title, timeline) in titled {
            self.write(&timeline_file(&name), &serde_json::to_string_pretty(&timeline)?)?;
            named.push((title, timeline));
        }
        let lanes = Lane::align(named);
        self.write(SVG, &svg(&lanes))?;
        self.write(HTML, &html(&lanes))
    }

    /// What a task's containers wrote, one file each.
    pub(super) fn write_logs(&self, name: &str, task: &EcsTask) -> Result<()> {
        for container in ["taskmesh", "app"] {
            let lines = task.output(container);
            let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
            self.write(&format!("{name}-{container}.log"), &text)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.0.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

pub(super) const SVG: &str = "timeline.svg";
pub(super) const HTML: &str = "timeline.html";

pub(super) fn timeline_file(name: &str) -> String {
    format!("{name}.json")
}
