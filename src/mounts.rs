//! Which file systems are mounted where, as the kernel tells it: without a question to a drive that may not answer.

use std::path::{Path, PathBuf};

/// File systems in the network, and those of programs: none of them tells of changes that others make, and any of them may
/// take for ever to answer.
const REMOTE: &[&str] = &[
    "nfs",
    "nfs3",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "9p",
    "virtiofs",
    "lustre",
    "davfs",
    "ncpfs",
    "coda",
    "orangefs",
    "vboxsf",
    "vmhgfs",
    "prl_fs",
    "fuse",
    "fuseblk",
];
/// Those of programs on drives of this computer, which do tell.
const LOCAL_FUSE: &[&str] = &["fuseblk", "fuse.ntfs-3g", "fuse.exfat", "fuse.gocryptfs", "fuse.encfs"];

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// Tells a drive from another one that is mounted in the same place later.
    pub(crate) identity: String,
    /// Such as "ext4".
    kind: String,
}

impl Mount {
    /// Whether it is not known to tell of every change.
    pub(crate) fn is_silent(&self) -> bool {
        let is_remote = REMOTE.contains(&self.kind.as_str()) || self.kind.starts_with("fuse.");
        is_remote && !LOCAL_FUSE.contains(&self.kind.as_str())
    }
}

/// All that is mounted; nothing where the system does not tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounts(Vec<Mount>);

impl Mounts {
    /// As it is now.
    pub(crate) fn read() -> Self {
        let mut mounts = Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default());
        for mount in &mut mounts.0 {
            // Two memory sticks have the same name one after the other; only of drives of this computer is more asked.
            if mount.identity.starts_with('/') && !mount.identity.starts_with("//") && !mount.is_silent() {
                mount.identity = format!("{} {}", mount.identity, file_system_id(&mount.point));
            }
        }
        mounts
    }

    /// See proc(5): `36 35 98:0 /root /point options optional… - kind source options`.
    fn parse(text: &[u8]) -> Self {
        let mut mounts: Vec<Mount> = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b' ');
            let (Some(root), Some(point)) = (fields.nth(3), fields.next()) else { continue };
            let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
            let (Some(kind), Some(source)) = (fields.next(), fields.next()) else { continue };
            // A place where something is mounted once it is looked into.
            if kind == b"autofs" {
                continue;
            }
            let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
            let point = crate::photo::bytes_to_path(&unescaped(point));
            // What is mounted over another hides that.
            mounts.retain(|mount| mount.point != point);
            let identity = format!("{} {}", text(source), text(root));
            mounts.push(Mount { point, identity, kind: text(kind) });
        }
        Self(mounts)
    }

    /// The one that a path without links lies on.
    pub(crate) fn of(&self, path: &Path) -> Option<&Mount> {
        let holding = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        holding.max_by_key(|mount| mount.point.components().count())
    }

    /// Those inside of a folder.
    pub(crate) fn below(&self, folder: &Path) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(move |mount| mount.point != folder && mount.point.starts_with(folder))
    }
}

#[cfg(target_os = "linux")]
fn file_system_id(point: &Path) -> String {
    rustix::fs::statvfs(point).map_or_else(|_| String::new(), |system| format!("{:x}", system.f_fsid))
}

#[cfg(not(target_os = "linux"))]
fn file_system_id(_: &Path) -> String {
    String::new()
}

/// White space and backslashes stand there as `\040`.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_lies_on_the_innermost_mount() {
        let text = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            40 22 0:50 / /home/ann/My\\040drive rw shared:1 master:2 - fuse.sshfs ann@host: rw\n\
            41 22 0:51 / /home/ann/auto rw - autofs systemd-1 rw\n\
            42 22 8:17 / /home/ann/stick rw - vfat /dev/sdb1 rw\n\
            43 22 8:33 /photos /home/ann/stick rw - vfat /dev/sdc1 rw\nnonsense\n";
        let mounts = Mounts::parse(text);
        let kind = |path: &str| mounts.of(Path::new(path)).map(|mount| mount.kind.as_str());
        assert_eq!(kind("/home/ann/My drive/a.jpg"), Some("fuse.sshfs"));
        assert_eq!(kind("/home/ann/My drives/a.jpg"), Some("ext4"));
        assert!(mounts.of(Path::new("/home/ann/My drive")).unwrap().is_silent());
        let below: Vec<_> = mounts.below(Path::new("/home/ann")).map(|mount| mount.identity.as_str()).collect();
        assert_eq!(below, ["ann@host: /", "/dev/sdc1 /photos"]);
        assert!(!mounts.of(Path::new("/home/ann/stick")).unwrap().is_silent());
    }

    #[test]
    fn the_root_is_mounted() {
        assert_eq!(Mounts::read().of(Path::new("/")).map(|mount| mount.point.as_path()), Some(Path::new("/")));
    }
}
