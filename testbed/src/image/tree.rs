//! Folders and files with their owners and modes.

use anyhow::{Context, Result};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user and a group.
pub(super) type Owner = (u32, u32);

/// Where an absolute path of an image lies.
pub(super) fn within(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes a folder as a container runtime does for a mount point: root's, mode 0755, with its parents.
pub(super) fn folder(root: &Path, path: impl AsRef<Path>) -> Result<PathBuf> {
    let path = within(root, path);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Writes a small file that everybody may read.
pub(super) fn file(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = within(root, path);
    fs::create_dir_all(path.parent().unwrap_or(root))?;
    fs::write(&path, text).with_context(|| path.display().to_string())
}

/// Copies what is in one folder into another, which keeps its own owner and mode; `skip` is asked about each path below
/// `from`. Owners are kept unless one is given.
pub(super) fn contents(
    from: &Path,
    to: &Path,
    owner: Option<Owner>,
    skip: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?.path();
        if !skip(&entry) {
            let name = entry.file_name().context("a name")?;
            one(&entry, &to.join(name), owner, skip)?;
        }
    }
    Ok(())
}

/// Copies a file, a link or a whole folder to this path.
pub(super) fn one(
    from: &Path,
    to: &Path,
    owner: Option<Owner>,
    skip: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    let meta = fs::symlink_metadata(from).with_context(|| from.display().to_string())?;
    if meta.is_symlink() {
        return Ok(symlink(fs::read_link(from)?, to)?);
    }
    if meta.is_dir() {
        let fresh = !to.exists();
        fs::create_dir_all(to)?;
        contents(from, to, owner, skip)?;
        if fresh {
            own(to, &meta, owner)?;
        }
        return Ok(());
    }
    if !meta.is_file() {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    own(to, &meta, owner)
}

/// Gives `path` the owner, or that of `meta`, and the mode of `meta`.
pub(super) fn own(path: &Path, meta: &fs::Metadata, owner: Option<Owner>) -> Result<()> {
    let (user, group) = owner.unwrap_or((meta.uid(), meta.gid()));
    chown(path, Some(user), Some(group)).with_context(|| path.display().to_string())?;
    // After the change of owner, which takes bits away.
    Ok(fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o7777))?)
}

/// Puts a program of this machine there, root's and mode 0755, with the shared libraries that it is linked to.
pub(super) fn program(root: &Path, path: &str, program: &Path) -> Result<()> {
    let to = within(root, path);
    fs::create_dir_all(to.parent().unwrap_or(root))?;
    fs::copy(program, &to).with_context(|| program.display().to_string())?;
    chown(&to, Some(0), Some(0))?;
    fs::set_permissions(&to, Permissions::from_mode(0o755))?;
    libraries(root, program)
}

/// Adds the shared libraries that a program of this machine is linked to; none for a static one.
pub(super) fn libraries(root: &Path, program: &Path) -> Result<()> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        let Some(path) = path.filter(|path| !within(root, path).exists()) else { continue };
        let to = within(root, path);
        fs::create_dir_all(to.parent().unwrap_or(root))?;
        fs::copy(path, &to).with_context(|| path.to_owned())?;
    }
    Ok(())
}
