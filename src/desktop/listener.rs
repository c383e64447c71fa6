//! A thread that hears of drops and the clipboard beside the window toolkit. It ends, and is waited for, when the window
//! goes: nothing of it touches the display after that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Answer, Wake};

/// Another program that hands something over says nothing for so long at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest thing that is taken, in bytes: a picture of 100 megapixels without compression.
const LARGEST: usize = 400 << 20;

/// Listens until it is dropped.
pub(super) struct Listener {
    /// What the window toolkit found in the clipboard, for each time that is to be pasted.
    pastes: Sender<Option<String>>,
    /// A byte wakes the thread; when this closes, it ends.
    bell: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts the thread, which is to return when [`Calls`] says so.
    ///
    /// # Errors
    /// When the system gives no pipe or no thread.
    pub(super) fn start(
        answers: Sender<Answer>,
        wake: Wake,
        run: impl FnOnce(&Calls) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (heard, bell) = pipe_with(PipeFlags::CLOEXEC)?;
        let (pastes, asked) = bounded(4);
        let calls = Calls { heard, pastes: asked, answers, wake };
        let thread = std::thread::Builder::new().name("drops".into()).spawn(move || {
            if let Err(error) = run(&calls) {
                log::warn!("Drops and the clipboard are not heard of any more: {error}");
            }
        })?;
        Ok(Self { pastes, bell: Some(bell), thread: Some(thread) })
    }

    /// Has the clipboard fetched, in which the window toolkit found `text`; `false` where nobody listens any more.
    pub(super) fn paste(&self, text: Option<String>) -> bool {
        // Whoever is pressing the key again and again is answered later.
        let sent = !matches!(self.pastes.try_send(text), Err(TrySendError::Disconnected(_)));
        sent && self.bell.as_ref().is_some_and(|bell| rustix::io::write(bell, &[0]).is_ok())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the window asks of the thread, and where its answers go.
pub(super) struct Calls {
    heard: OwnedFd,
    pastes: Receiver<Option<String>>,
    answers: Sender<Answer>,
    wake: Wake,
}

/// Why a wait is over.
pub(super) enum Call {
    /// There is something to read.
    Ready,
    /// The clipboard is to be fetched; the text is what the window toolkit found there.
    Paste(Option<String>),
    /// The window goes.
    End,
}

impl Calls {
    /// Waits until `socket` can be read or the window asks for something.
    ///
    /// # Errors
    /// When the system cannot wait.
    pub(super) fn wait(&self, socket: impl AsFd) -> io::Result<Call> {
        loop {
            if let Ok(text) = self.pastes.try_recv() {
                return Ok(Call::Paste(text));
            }
            let mut ready = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&self.heard, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let [socket, bell] = ready.map(|one| one.revents());
            if bell.contains(PollFlags::IN) {
                rustix::io::read(&self.heard, &mut [0; 1])?;
            } else if !bell.is_empty() {
                return Ok(Call::End);
            } else if !socket.is_empty() {
                return Ok(Call::Ready);
            }
        }
    }

    /// Waits until another program has written something, which is asked of it now.
    ///
    /// # Errors
    /// When it does not in time, or the window goes.
    pub(super) fn wait_for_other(&self, socket: impl AsFd, until: Instant) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            // That no more calls can come is told whether one asks for it or not.
            let mut ready = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&self.heard, PollFlags::empty())];
            match poll(&mut ready, Some(&timeout)) {
                Err(Errno::INTR) => continue,
                Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer")),
                result => result?,
            };
            let [socket, bell] = ready.map(|one| one.revents());
            if !bell.is_empty() {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the window was closed"));
            }
            if !socket.is_empty() {
                return Ok(());
            }
        }
    }

    /// All of a pipe.
    ///
    /// # Errors
    /// When it holds too much, its other end neither writes nor closes it, or the window goes.
    pub(super) fn read(&self, pipe: OwnedFd) -> io::Result<Vec<u8>> {
        let (mut bytes, mut part, until) = (Vec::new(), vec![0; 1 << 16], patience());
        loop {
            self.wait_for_other(&pipe, until)?;
            let count = rustix::io::read(&pipe, &mut part)?;
            if count == 0 {
                return whole(bytes);
            }
            bytes.extend_from_slice(&part[..count]);
            check_size(bytes.len())?;
        }
    }

    pub(super) fn answer(&self, answer: Answer) {
        // When nobody listens any more the window is being closed.
        let _ = self.answers.send(answer);
        (self.wake)();
    }
}

/// Until when another program may take, that is asked now.
pub(super) fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// What another program handed over, if it did.
///
/// # Errors
/// When nothing came.
pub(super) fn whole(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing came"));
    }
    Ok(bytes)
}

/// # Errors
/// When so many bytes are too many.
pub(super) fn check_size(bytes: usize) -> io::Result<()> {
    if bytes > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(())
}
