//! A root file system of its own for a child: a folder, and other folders or files mounted into it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

const NOTHING: Option<&CStr> = None;

/// A folder that becomes a child's `/`, where `/proc` must be a folder. Nothing else of this machine is seen in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFs {
    /// The folder.
    pub folder: PathBuf,
    /// It cannot be written to, save for mounts.
    pub read_only: bool,
    /// What is mounted into it, in this order. The mount points must be there.
    pub mounts: Vec<Mount>,
}

/// A folder or file of this machine inside a [`RootFs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// On this machine.
    pub source: PathBuf,
    /// Inside, from `/`.
    pub target: PathBuf,
    /// It cannot be written to by this way.
    pub read_only: bool,
}

/// A [`RootFs`] made ready before the fork.
#[derive(Debug)]
pub(super) struct Root {
    folder: CString,
    read_only: bool,
    mounts: Vec<(CString, CString, bool)>,
}

impl Root {
    pub(super) fn of(root: &RootFs) -> io::Result<Self> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let mounts = root.mounts.iter().map(|mount| {
            let inner = mount.target.strip_prefix("/").unwrap_or(&mount.target);
            Ok((text(&mount.source)?, text(&root.folder.join(inner))?, mount.read_only))
        });
        Ok(Self {
            folder: text(&root.folder)?,
            read_only: root.read_only,
            mounts: mounts.collect::<io::Result<_>>()?,
        })
    }

    /// In the child, in a mount namespace of its own. Only system calls: see `sys`.
    pub(super) fn enter(&self) -> nix::Result<()> {
        bind(&self.folder, &self.folder)?;
        for (source, target, read_only) in &self.mounts {
            bind(source, target)?;
            if *read_only {
                forbid_writes(target)?;
            }
        }
        chdir(self.folder.as_c_str())?;
        // The old root comes to lie over the new one, and is taken off.
        pivot_root(c".", c".")?;
        umount2(c".", MntFlags::MNT_DETACH)?;
        chdir(c"/")
    }

    /// When all is mounted.
    pub(super) fn close(&self) -> nix::Result<()> {
        if self.read_only { forbid_writes(c"/") } else { Ok(()) }
    }
}

fn bind(source: &CStr, target: &CStr) -> nix::Result<()> {
    mount(Some(source), target, NOTHING, MsFlags::MS_BIND, NOTHING)
}

fn forbid_writes(target: &CStr) -> nix::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(NOTHING, target, NOTHING, flags, NOTHING)
}
