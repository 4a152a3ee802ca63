//! What is to be started, how its program is found, and why it could not be started.

use super::output::LineSink;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A child to be started. Its standard input is always `/dev/null`.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// What logs and errors call it: `consul`, `envoy`.
    pub name: String,
    /// A path, or a bare name that is looked up on our own `PATH`.
    pub program: PathBuf,
    /// Arguments, without the program's own name. Never a secret: everybody can read an argv.
    pub args: Vec<OsString>,
    /// The WHOLE environment: nothing is inherited (see [`filtered_env`](super::filtered_env)).
    pub env: Vec<(OsString, OsString)>,
    /// Where its standard output and error go.
    pub output: Output,
    /// Written to `/proc/PID/oom_score_adj` (-1000 to 1000; higher is killed first), best effort.
    pub oom_score_adj: Option<i32>,
}

/// Where a child's standard output and error go. Neither form ever blocks the child.
#[derive(Clone)]
pub enum Output {
    /// Line by line to a sink, which may refuse a line but must not block.
    Lines(LineSink),
    /// Kept, at most `max` bytes of each stream; what comes after is read and thrown away.
    Capture {
        /// Bytes kept of each stream.
        max: usize,
    },
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(_) => f.write_str("Lines"),
            Self::Capture { max } => f.debug_struct("Capture").field("max", max).finish(),
        }
    }
}

/// Why a child could not be started. Every form names the child and its program.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error("{name}: {program} not found{searched}", program = program.display())]
    NotFound {
        /// The child.
        name: String,
        /// As it was asked for.
        program: PathBuf,
        /// Empty for a path; for a bare name, ` on PATH (...)`.
        searched: String,
    },
    /// It is there, but cannot be executed.
    #[error("{name}: {program} cannot be executed: {reason}", program = program.display())]
    NotExecutable {
        /// The child.
        name: String,
        /// The file that was found.
        program: PathBuf,
        /// In words.
        reason: String,
    },
    /// The system refused: out of memory, processes or files.
    #[error("{name}: {program} could not be started: {source}", program = program.display())]
    Os {
        /// The child.
        name: String,
        /// The file that was found.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl SpawnError {
    /// From what fork or exec of `found` said.
    pub(super) fn from_exec(name: &str, found: &Path, source: io::Error) -> Self {
        let (name, program) = (name.to_owned(), found.to_owned());
        match source.kind() {
            // exec says ENOENT also when the file is there and its `#!` interpreter or its ELF loader is not,
            // as with a glibc Envoy in a musl image.
            io::ErrorKind::NotFound if found.exists() => {
                let reason = "its interpreter or dynamic loader does not exist".to_owned();
                Self::NotExecutable { name, program, reason }
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self::NotFound { name, program, searched: String::new() }
            }
            io::ErrorKind::PermissionDenied => {
                Self::NotExecutable { name, program, reason: "permission denied".to_owned() }
            }
            // musl only, with which we ship: glibc's execvp hands such a file to /bin/sh instead.
            _ if source.raw_os_error() == Some(nix::libc::ENOEXEC) => Self::NotExecutable {
                name,
                program,
                reason: "not a program for this machine (wrong architecture?)".to_owned(),
            },
            _ => Self::Os { name, program, source },
        }
    }
}

/// The file that `program` means: itself if it has a slash, else the first executable file of that name on
/// `path`. With only files that are not executable on it, the first of those, so that exec can say why.
pub(super) fn find(
    name: &str,
    program: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, SpawnError> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let path = path.unwrap_or_default();
    let mut fallback = None;
    if !program.as_os_str().is_empty() {
        for dir in std::env::split_paths(path) {
            // An empty entry is the current folder (POSIX, 8.3); the slash keeps exec from searching again.
            let file = Path::new(".").join(dir).join(program);
            match file.metadata() {
                Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                    return Ok(file);
                }
                Ok(_) => fallback = fallback.or(Some(file)),
                Err(_) => {}
            }
        }
    }
    fallback.ok_or_else(|| SpawnError::NotFound {
        name: name.to_owned(),
        program: program.to_owned(),
        searched: format!(" on PATH ({})", path.to_string_lossy()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_bare_names_on_the_path_and_leaves_paths_alone() {
        let dir = tempfile::tempdir().expect("tempdir");
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").expect("write");
        let path = std::env::join_paths([dir.path(), Path::new("/bin")]).expect("join");

        assert_eq!(find("x", Path::new("/a/b"), None).expect("path"), Path::new("/a/b"));
        assert_eq!(find("x", Path::new("sh"), Some(&path)).expect("sh"), Path::new("/bin/sh"));
        assert_eq!(find("x", Path::new("plain"), Some(&path)).expect("fallback"), plain);
        let error =
            find("envoy", Path::new("no-such"), Some(OsStr::new("/bin"))).expect_err("none");
        assert_eq!(error.to_string(), "envoy: no-such not found on PATH (/bin)");
        assert!(matches!(find("x", Path::new(""), Some(&path)), Err(SpawnError::NotFound { .. })));
    }
}
