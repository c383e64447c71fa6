//! The other side: the host, which forks workers, and the workers, which decode. They are confined before they see a file:
//! they can open, make and send nothing, reach no network, and have a bound of memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use rustix::process::{Resource, Rlimit, Signal, getpid, set_parent_process_death_signal, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use super::super::{DecodeError, decode_here, heif, raw};
use super::{Reply, Request, receive, tell};

/// All that a worker may have: the largest picture, in the forms that it takes on its way.
const MAX_BYTES: u64 = 3 << 30;
/// For ever: it waits for work.
const UNTIL_ASKED: Duration = Duration::from_secs(u32::MAX as u64);

/// The way to the program, in a worker.
static SOCKET: OnceLock<OwnedFd> = OnceLock::new();

/// Forks a worker for each message, until the program ends.
pub(super) fn host(socket: &OwnedFd) -> ! {
    // SAFETY: these change this process only, which has one thread: interrupting the program at a terminal is the
    // program's to hear, and children that end are not waited for.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
    }
    // Killed with the program, whatever a decoder is doing.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // Neither the terminal nor a drive is held, whatever happens to the program.
    let _ = std::env::set_current_dir("/");
    if let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&nothing);
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
    let mut is_ready = false;
    while let Some([to_program, input, output]) = handed(socket) {
        // At the first photo rather than at the start, which they would make longer.
        if !std::mem::replace(&mut is_ready, true) {
            heif::preload();
            raw::preload();
        }
        // SAFETY: this process has one thread.
        if unsafe { libc::fork() } == 0 {
            work(to_program, input.into(), output.into());
        }
    }
    leave()
}

/// Without the program's own clean-up, which is the program's.
fn leave() -> ! {
    // SAFETY: it ends this process at once.
    unsafe { libc::_exit(0) }
}

/// What a worker is to use. `None` when the program has ended.
fn handed(socket: &OwnedFd) -> Option<[OwnedFd; 3]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).ok()?;
    if received.bytes == 0 {
        return None;
    }
    let files = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    files.flatten().collect::<Vec<_>>().try_into().ok()
}

fn work(socket: OwnedFd, input: File, output: File) -> ! {
    let socket = SOCKET.get_or_init(|| socket);
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let is_confined = confine().is_ok();
    if tell(socket, &Reply::Ready { process: getpid().as_raw_nonzero().get(), is_confined }).is_err() {
        leave();
    }
    while let Ok(Some(request)) = receive::<Request>(socket, UNTIL_ASKED) {
        let reply = answer(&request, &input, &output);
        if tell(socket, &reply).is_err() {
            break;
        }
    }
    leave()
}

fn answer(request: &Request, input: &File, output: &File) -> Reply {
    let done = || {
        // SAFETY: the program writes to it only while this waits for it; what is mapped is never shortened.
        let bytes = unsafe {
            let start =
                mmap(std::ptr::null_mut(), request.bytes.max(1), ProtFlags::READ, MapFlags::SHARED, input.as_fd(), 0)
                    .map_err(std::io::Error::from)?;
            std::slice::from_raw_parts(start.cast::<u8>(), request.bytes)
        };
        misbehave(bytes);
        let decoded = decode_here(bytes, request.wanted);
        // SAFETY: nothing borrows it any more.
        let _ = unsafe { rustix::mm::munmap(bytes.as_ptr().cast_mut().cast(), request.bytes.max(1)) };
        let decoded = decoded?;
        output.write_all_at(&decoded.picture, 0)?;
        Ok(decoded)
    };
    match done() {
        Ok(decoded) => {
            let (width, height) = decoded.picture.dimensions();
            Reply::Done { width, height, damage: decoded.damage, size: decoded.size }
        }
        Err(DecodeError::Io(_)) => Reply::Refused(DecodeError::TooMuchMemory),
        Err(error) => Reply::Refused(error),
    }
}

/// In a worker: waits until the program lets it decode a large picture.
pub(in super::super) fn wait_for_turn() {
    if let Some(socket) = SOCKET.get()
        && tell(socket, &Reply::Large).is_ok()
    {
        let _ = recv(socket, &mut [0_u8; 8][..], RecvFlags::empty());
    }
}

/// Tests ask a decoder to do the worst.
#[cfg(debug_assertions)]
fn misbehave(bytes: &[u8]) {
    if bytes.starts_with(b"florascope test: crash") {
        std::process::abort();
    }
    if bytes.starts_with(b"florascope test: hang") {
        loop {
            std::hint::spin_loop();
        }
    }
    if bytes.starts_with(b"florascope test: eat") {
        let mut eaten = Vec::new();
        loop {
            eaten.push(vec![1_u8; 64 << 20]);
        }
    }
    if bytes.starts_with(b"florascope test: write") && File::create("/tmp/florascope-test-written").is_ok() {
        std::process::abort();
    }
    if bytes.starts_with(b"florascope test: speak") && std::net::TcpListener::bind("127.0.0.1:0").is_ok() {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
fn misbehave(_: &[u8]) {}

/// Gives up everything that decoding does not need.
fn confine() -> Result<(), Box<dyn std::error::Error>> {
    let bound = Rlimit { current: Some(MAX_BYTES), maximum: Some(MAX_BYTES) };
    setrlimit(Resource::Data, bound)?;
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, nothing)?;
    // What the allocator, threads of decoders and the way to the program need.
    let allowed = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_pwrite64,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clone,
        libc::SYS_clone3,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_tgkill,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules: BTreeMap<i64, Vec<_>> = allowed.into_iter().map(|call| (call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}
