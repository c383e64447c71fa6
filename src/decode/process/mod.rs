//! Decoders in processes of their own: whatever a file makes a decoder do, a crash, a loop, all memory, costs that file only.
//!
//! ```text
//! main -> fork -> host, before there is any thread -> fork -> worker-1..n, one for each thread that decodes
//! ```
//!
//! A worker is confined (see [`worker`]) and decodes one file at a time: its bytes come in shared memory, its picture goes
//! back the same way. One that ends or takes too long is replaced. The host is forked rather than started anew, so that
//! the libraries are loaded once; workers share its memory. Everything ends with the program.

mod worker;

pub(super) use self::worker::wait_for_turn;

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use image::RgbImage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
    send, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::{AtLeast, DecodeError, Decoded, check_pixels, one_large_picture};

/// Longer than any photo takes on a slow computer; waiting for another large one does not count.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a message may have at most.
const MESSAGE_BYTES: usize = 16 << 10;

/// What a worker is asked.
#[derive(Serialize, Deserialize)]
struct Request {
    bytes: usize,
    wanted: AtLeast,
}

/// What a worker says.
#[derive(Serialize, Deserialize)]
enum Reply {
    /// It may be asked now.
    Ready {
        process: i32,
        is_confined: bool,
    },
    /// The picture is so large that it must be the only one: may it go on?
    Large,
    Done {
        width: u32,
        height: u32,
        damage: Option<String>,
        size: Option<(u32, u32)>,
    },
    Refused(DecodeError),
}

/// The way to the host, and the workers that nobody uses now.
struct Host {
    socket: OwnedFd,
    idle: Mutex<Vec<Worker>>,
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Starts the host. Without it, files are decoded in the program's own process.
///
/// # Safety
/// There must be no other thread yet: a process that is forked from several has only one of them.
///
/// # Errors
/// When the system has no room for another process.
pub unsafe fn start() -> io::Result<()> {
    let (ours, theirs) = pair()?;
    // SAFETY: there is one thread, as the caller promises, so that the child has all that the parent has.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(ours);
            worker::host(&theirs)
        }
        _ => {
            // A second start leaves the first as it is.
            let _ = HOST.set(Host { socket: ours, idle: Mutex::default() });
            Ok(())
        }
    }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Decodes in a worker; `None` where there is none, and cannot be.
pub(super) fn decode(bytes: &[u8], wanted: AtLeast) -> Option<Result<Decoded, DecodeError>> {
    let host = HOST.get()?;
    let idle = || host.idle.lock().unwrap_or_else(PoisonError::into_inner);
    let worker = idle().pop();
    let mut worker = match worker.map_or_else(|| Worker::start(host), Ok) {
        Ok(worker) => worker,
        Err(error) => {
            log::warn!("decoding in the program's own process: {error}");
            return None;
        }
    };
    let result = worker.decode(bytes, wanted);
    // One that has crashed or hangs ends here.
    if !matches!(result, Err(DecodeError::Crashed | DecodeError::TookTooLong(_))) {
        idle().push(worker);
    }
    Some(result)
}

/// A process that decodes. It is ended when this is dropped.
struct Worker {
    socket: OwnedFd,
    process: OwnedFd,
    /// What it is to decode.
    input: File,
    /// The picture.
    output: File,
}

impl Worker {
    fn start(host: &Host) -> io::Result<Self> {
        let (socket, theirs) = pair()?;
        let memory = |name: &str| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let (input, output) = (memory("florascope-input")?, memory("florascope-output")?);
        let handed = [theirs.as_fd(), input.as_fd(), output.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&handed));
        sendmsg(&host.socket, &[io::IoSlice::new(b"w")], &mut ancillary, SendFlags::NOSIGNAL)?;
        drop(theirs);
        match receive(&socket, PATIENCE)? {
            // It has seen no file yet, so that it is who it says.
            Some(Reply::Ready { process, is_confined }) => {
                static WARNING: Once = Once::new();
                if !is_confined {
                    WARNING.call_once(|| log::warn!("the system cannot confine the processes that decode photos"));
                }
                let process = Pid::from_raw(process).ok_or_else(|| io::Error::other("no process"))?;
                Ok(Self { socket, process: pidfd_open(process, PidfdFlags::empty())?, input, output })
            }
            _ => Err(io::Error::other("a process for decoding did not start")),
        }
    }

    fn decode(&mut self, bytes: &[u8], wanted: AtLeast) -> Result<Decoded, DecodeError> {
        if self.input.metadata()?.len() < bytes.len() as u64 {
            self.input.set_len(bytes.len() as u64)?;
        }
        self.input.write_all_at(bytes, 0)?;
        let request = Request { bytes: bytes.len(), wanted };
        if tell(&self.socket, &request).is_err() {
            return Err(DecodeError::Crashed);
        }
        let patience = patience();
        let mut turn = None;
        loop {
            match receive(&self.socket, patience) {
                Ok(Some(Reply::Large)) if turn.is_none() => {
                    turn = Some(one_large_picture());
                    if send(&self.socket, b"go", SendFlags::NOSIGNAL).is_err() {
                        return Err(DecodeError::Crashed);
                    }
                }
                Ok(Some(Reply::Done { width, height, damage, size })) => {
                    check_pixels(width, height)?;
                    let mut picture = RgbImage::new(width, height);
                    self.output.read_exact_at(&mut picture, 0).map_err(|_| DecodeError::Crashed)?;
                    return Ok(Decoded { picture, damage, size });
                }
                Ok(Some(Reply::Refused(error))) => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(DecodeError::TookTooLong(patience.as_secs()));
                }
                // It has ended, or says what makes no sense.
                _ => return Err(DecodeError::Crashed),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended already needs no signal.
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

/// Tests do not wait for a minute.
fn patience() -> Duration {
    let asked = std::env::var("FLORASCOPE_DECODER_SECONDS").ok().filter(|_| cfg!(debug_assertions));
    asked.and_then(|seconds| seconds.parse().ok()).map_or(PATIENCE, Duration::from_secs)
}

fn tell(socket: &OwnedFd, message: &impl Serialize) -> io::Result<()> {
    let message = serde_json::to_vec(message)?;
    if message.len() > MESSAGE_BYTES {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    send(socket, &message, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message; `None` where the other side has ended.
fn receive<T: for<'a> Deserialize<'a>>(socket: &OwnedFd, patience: Duration) -> io::Result<Option<T>> {
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut message = vec![0; MESSAGE_BYTES];
    let (length, _) = recv(socket, &mut message[..], RecvFlags::empty())?;
    if length == 0 { Ok(None) } else { Ok(Some(serde_json::from_slice(&message[..length])?)) }
}
