//! A drive that does not answer, played by a file system of this process's own: it speaks the kernel's FUSE protocol.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// The name of its one file, number 2, in the root, number 1.
const NAME: &[u8] = b"stalled.jpg";
/// The size of that, in bytes.
const SIZE: u64 = 1000;

fn attributes(node: u64) -> Vec<u8> {
    let (mode, size) = if node == 1 { (0o040_755_u32, 0_u64) } else { (0o100_644, SIZE) };
    let mut bytes = [node, size, 1, 1, 1, 1].map(u64::to_le_bytes).concat();
    bytes.extend([0, 0, 0, mode, 1, 0, 0, 0, 512, 0].map(u32::to_le_bytes).concat());
    bytes
}

/// What the kernel is told through, and the reads that it waits for: `None` once all are refused.
struct Connection {
    device: File,
    reads: Mutex<Option<Vec<u64>>>,
}

impl Connection {
    fn answer(&self, unique: u64, error: i32, answer: &[u8]) {
        let mut bytes = (16 + answer.len() as u32).to_le_bytes().to_vec();
        bytes.extend((-error).to_le_bytes());
        bytes.extend(unique.to_le_bytes());
        bytes.extend(answer);
        // Whoever asked may be gone.
        let _ = (&self.device).write(&bytes);
    }
}

/// The file system, until this is dropped.
pub struct Stalled {
    connection: Arc<Connection>,
    place: PathBuf,
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // A process with a thread that waits for a read does not end.
        let reads = self.connection.reads.lock().unwrap().take();
        reads.into_iter().flatten().for_each(|unique| self.connection.answer(unique, 5, &[]));
        unmount(&self.place, UnmountFlags::DETACH).unwrap();
    }
}

/// Answers the kernel until the file system is unmounted; but never what is in the file.
fn serve(connection: &Connection) {
    let mut request = vec![0; 1 << 18];
    while let Ok(length) = (&connection.device).read(&mut request) {
        let word = |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap());
        let (operation, unique, node) = (word(4), long(8), long(16));
        let valid = [0_u64; 2].map(u64::to_le_bytes).concat();
        let (error, answer): (i32, Vec<u8>) = match operation {
            // Lookup, with the name behind the header.
            1 if request[40..length].starts_with(NAME) => (
                0,
                [2, 0, 0, 0].map(u64::to_le_bytes).concat().into_iter().chain([0; 8]).chain(attributes(2)).collect(),
            ),
            1 => (2, Vec::new()),
            3 => (0, [valid, attributes(node)].concat()),
            // What is read past the kernel's own cache can be interrupted.
            14 => (0, [0_u64, 1].map(u64::to_le_bytes).concat()),
            27 => (0, vec![0; 16]),
            // Init: version 7.31.
            26 => (0, [[7_u32, 31, 4096, 0, 0, 1 << 16].map(u32::to_le_bytes).concat(), vec![0; 40]].concat()),
            28 if long(48) == 0 => {
                let mut entry = [2_u64, 1].map(u64::to_le_bytes).concat();
                entry.extend([NAME.len() as u32, 8].map(u32::to_le_bytes).concat());
                entry.extend(NAME);
                entry.resize(entry.len().next_multiple_of(8), 0);
                (0, entry)
            }
            28 | 18 | 25 | 29 => (0, Vec::new()),
            // There is no answer to a read, unless the program that reads is ended; and none to be forgotten.
            36 => {
                connection.answer(long(40), 4, &[]);
                continue;
            }
            15 => match &mut *connection.reads.lock().unwrap() {
                Some(reads) => {
                    reads.push(unique);
                    continue;
                }
                None => (5, Vec::new()),
            },
            2 | 42 => continue,
            _ => (38, Vec::new()),
        };
        connection.answer(unique, error, &answer);
    }
}

/// Mounts it, for threads with mounts of their own ([`super::mount::own_mounts`]); `None`, and a word about it, where that is
/// not permitted.
pub fn mount_stalled(place: &Path) -> Option<Stalled> {
    let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
        eprintln!("SKIPPED: there is no /dev/fuse here");
        return None;
    };
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let options = std::ffi::CString::new(options).unwrap();
    if let Err(error) = mount("stalled", place, "fuse", MountFlags::empty(), Some(options.as_c_str())) {
        eprintln!("SKIPPED: FUSE cannot be used here ({error})");
        return None;
    }
    let connection = Arc::new(Connection { device, reads: Mutex::new(Some(Vec::new())) });
    let server = Arc::clone(&connection);
    std::thread::Builder::new().name("fuse".into()).spawn(move || serve(&server)).unwrap();
    Some(Stalled { connection, place: place.to_owned() })
}
