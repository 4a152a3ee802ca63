//! A copy of our own binary for the app wrapper in other containers of the task.
//!
//! An image fills an empty ECS volume by itself where a `VOLUME` stands at the mount point; this copy is the way for
//! volumes that are mounted elsewhere. Whoever uses it must wait for `dependsOn: HEALTHY`: START only means RUNNING.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The binary's name.
pub const NAME: &str = "taskmesh";

/// The name under which the binary takes the command line of consul-ecs 0.4.3's app wrapper: entry points lead to
/// `<bootstrapDir>/consul-ecs`.
pub const CONSUL_ECS: &str = "consul-ecs";

/// Copies the running binary to `<dir>/<name>`, mode 0755, by renaming a whole file: another container may be
/// executing the old one. Gives the path.
///
/// # Errors
/// What the file system says; ECS's volumes belong to root unless the image says otherwise.
pub fn copy_into(dir: &Path, name: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let target = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let copied = fs::copy("/proc/self/exe", &temporary).and_then(|_| {
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
        fs::rename(&temporary, &target)
    });
    if copied.is_err() {
        // The first error is the one worth telling.
        let _leftover = fs::remove_file(&temporary);
    }
    copied.map(|()| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_executable_whole_and_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let dir = dir.path().join("bin");
        fs::create_dir(&dir).expect("bin");
        fs::write(dir.join("taskmesh"), "an old one").expect("old");
        let own = fs::metadata("/proc/self/exe").expect("own").len();
        for name in [NAME, CONSUL_ECS] {
            let path = copy_into(&dir, name).expect("copy");
            assert_eq!(path, dir.join(name));
            let meta = fs::metadata(&path).expect("copy");
            assert_eq!((meta.len(), meta.permissions().mode() & 0o777), (own, 0o755));
        }
        assert_eq!(fs::read_dir(&dir).expect("dir").count(), 2, "nothing else is left");
    }
}
