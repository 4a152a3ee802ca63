//! A temporary folder that is removed also when its owner got KILL: by the next who makes one.
//!
//! The owner holds a lock on its folder (`flock`), which the kernel gives back when the owner ends, however it ends.

use std::fs::{self, File};
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const PREFIX: &str = "taskmesh-testbed-";

/// A folder that nobody has locked may be so young that its owner is about to.
const YOUNG: Duration = Duration::from_secs(10);

/// The folder. Dropping it removes it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one in the system's temporary folder, and removes what others left there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir(), YOUNG)
    }

    fn new_in(parent: &Path, young: Duration) -> io::Result<Self> {
        sweep(parent, young);
        let dir = TempDir::with_prefix_in(PREFIX, parent)?;
        let lock = File::open(dir.path())?;
        lock.lock()?;
        Ok(Self { dir, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes an executable shell script. Another process writes it: one that this process has open for writing may be
/// inherited by a child that another thread forks at that moment, and then cannot be run (`ETXTBSY`).
///
/// # Errors
/// If it cannot be written.
pub fn script(dir: &Path, name: &str, body: &str) -> io::Result<PathBuf> {
    let path = dir.join(name);
    let mut cat = Command::new("sh")
        .args(["-c", "cat > \"$1\"", "sh"])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()?;
    let text = format!("#!/bin/sh\n{body}\n");
    // Taken, so that the pipe is closed before the wait.
    let written = cat.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes()));
    if !cat.wait()?.success() {
        return Err(io::Error::other(format!("{} could not be written", path.display())));
    }
    written?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// Removes the folders of owners that are gone. What cannot be removed, such as another user's, stays.
fn sweep(parent: &Path, young: Duration) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let old = entry.metadata().is_ok_and(|data| {
            data.is_dir()
                && data.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= young))
        });
        if ours
            && old
            && let Ok(dir) = File::open(entry.path())
            && dir.try_lock().is_ok()
        {
            _ = fs::remove_dir_all(entry.path()).is_ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_owners_folder_is_removed_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let living = Scratch::new_in(parent.path(), Duration::ZERO).expect("the first");
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).expect("made");
        fs::write(dead.join("x"), "y").expect("written");
        fs::create_dir(parent.path().join("another")).expect("made");

        let careful = Scratch::new_in(parent.path(), Duration::from_secs(60)).expect("the second");
        assert!(dead.exists(), "too young");
        let third = Scratch::new_in(parent.path(), Duration::ZERO).expect("the third");
        assert!(!dead.exists());
        assert!(living.path().exists() && careful.path().exists());
        assert!(parent.path().join("another").exists());
        drop((living, careful, third));
        assert_eq!(fs::read_dir(parent.path()).expect("read").count(), 1, "only the stranger's");
    }
}
