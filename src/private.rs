//! Files that hold secrets: readable by us alone, and never seen half-written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Puts `bytes` at `path` with mode 0600 by renaming a finished file over it, so that a reader (Envoy watches for
/// the rename) sees the old content or the new one, never a part. Where exactly this is there already nothing is
/// written, so that a child that was started before can be started again on a disk that is full or read-only.
///
/// # Errors
/// What the file system says; the temporary file is removed then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if is_there(path, bytes).unwrap_or(false) {
        return Ok(());
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a path of a file"))?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.{number}", std::process::id()));
    let temporary = path.with_file_name(temporary);

    let result = create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        drop(file);
        std::fs::rename(&temporary, path)
    });
    if result.is_err() {
        // The first error is the one worth telling.
        let _leftover = std::fs::remove_file(&temporary);
    }
    result
}

/// A file of ours that holds `bytes` with mode 0600; a link to one is none.
fn is_there(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let there = std::fs::symlink_metadata(path)?;
    Ok(there.is_file()
        && there.mode() & 0o7777 == 0o600
        && there.uid() == nix::unistd::geteuid().as_raw()
        && there.len() == bytes.len() as u64
        && std::fs::read(path)? == bytes)
}

fn create(path: &Path) -> io::Result<File> {
    // `create_new` also refuses a link that somebody else put there.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask can only take bits away; make the mode exact.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Makes the folder `path`, and its parents, with mode 0700 unless it is there already.
///
/// # Errors
/// What the file system says.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn replaces_the_content_keeps_to_0600_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.json");
        std::fs::write(&path, "old and longer").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_there_already_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token.json");
        let inode = || std::fs::symlink_metadata(&path).unwrap().ino();
        write_private(&path, b"same").unwrap();
        let first = inode();
        write_private(&path, b"same").unwrap();
        assert_eq!(inode(), first);
        for (what, change) in [
            ("content", &(|| std::fs::write(&path, "Same").unwrap()) as &dyn Fn()),
            ("mode", &|| {
                std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap()
            }),
            ("a link", &|| {
                let target = dir.path().join("target");
                std::fs::rename(&path, &target).unwrap();
                std::os::unix::fs::symlink(target, &path).unwrap();
            }),
        ] {
            change();
            let before = inode();
            write_private(&path, b"same").unwrap();
            assert_ne!(inode(), before, "{what}");
            assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"same".to_vec(), 0o600));
        }
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("folder");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("x"), "").unwrap();
        write_private(&target, b"new").unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_private_folder_is_0700_and_may_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
