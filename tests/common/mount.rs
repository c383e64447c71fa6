//! File systems that are read-only or full, for one thread and all that it starts.

use std::path::Path;

use rustix::fs::statvfs;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Gives this thread, and those that it starts from now on, file systems of their own, which end with them; `false`, and a
/// word about it, where that is not permitted.
pub fn own_mounts() -> bool {
    // SAFETY: this thread's own view of the file systems is all that is no longer shared.
    let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
    let private = || mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    match unshared.and_then(|()| private()) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("SKIPPED: no file system can be mounted here ({error})");
            false
        }
    }
}

/// Makes a folder read-only.
pub fn make_read_only(folder: &Path) {
    mount(folder, folder, "", MountFlags::BIND, None).unwrap();
    mount_remount(folder, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
}

/// Puts a small disk with the same files in place of a folder, and fills it.
pub fn make_full(folder: &Path) {
    let kept = folder.with_extension("kept");
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
        assert!(status.success());
    };
    std::fs::create_dir(&kept).unwrap();
    copy(folder, &kept);
    mount("tmpfs", folder, "tmpfs", MountFlags::empty(), Some(c"size=32m")).unwrap();
    copy(&kept, folder);
    std::fs::remove_dir_all(kept).unwrap();
    let full = std::fs::write(folder.join("the rest"), vec![1; 40 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(statvfs(folder).unwrap().f_bavail, 0);
}
