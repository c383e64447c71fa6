//! What Wayland hands over: files dropped on the window, and the clipboard in all its forms. The window toolkit, winit 0.30,
//! takes no drops there, so this listens beside it, on the same connection with a queue and a thread of its own.
//!
//! The protocol is wayland.xml's `wl_data_device`: an offer names its forms; whoever takes one is given a pipe to read.

use std::ffi::c_void;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use wayland_client::backend::Backend;
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::{DndAction, WlDataDeviceManager};
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop, event_created_child};

use super::offer::{Way, take, take_text, usable};
use super::{Answer, Wake, answer_later};

/// Another program that hands something over says nothing for so long at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest thing that is taken, in bytes: a picture of 100 megapixels without compression.
const LARGEST: usize = 400 << 20;
/// Offers know what is done with them since this version.
const KNOWS_ACTIONS: u32 = 3;

/// Listens until it is dropped.
pub(super) struct Exchange {
    shared: Arc<Shared>,
    connection: Connection,
    thread: Option<JoinHandle<()>>,
    /// The thread ends when this closes.
    stop: Option<OwnedFd>,
}

/// The forms of an offer.
type Forms = Mutex<Vec<String>>;

/// What the clipboard offers.
#[derive(Default)]
struct Shared(Mutex<Option<WlDataOffer>>);

impl Exchange {
    /// Starts the thread. Drops and what hovers come as answers.
    ///
    /// # Errors
    /// When the system gives no pipe or no thread.
    ///
    /// # Safety
    /// `display` is a `wl_display` that outlives this.
    pub(super) unsafe fn start(display: NonNull<c_void>, answers: Sender<Answer>, wake: Wake) -> io::Result<Self> {
        // SAFETY: the caller's promise.
        let backend = unsafe { Backend::from_foreign_display(display.as_ptr().cast()) };
        let connection = Connection::from_backend(backend);
        let shared = Arc::<Shared>::default();
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let state = State { connection: connection.clone(), shared: Arc::clone(&shared), answers, wake, over: None };
        let run = move || {
            if let Err(error) = state.run(&stopped) {
                log::warn!("Drops and the clipboard are not heard of any more: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("wayland".into()).spawn(run)?;
        Ok(Self { shared, connection, thread: Some(thread), stop: Some(stop) })
    }

    /// Fetches what the clipboard holds; `text` is what the window toolkit found there. To be called on a thread that may
    /// wait.
    pub(super) fn clipboard(&self, text: Option<String>) -> impl FnOnce() -> Answer + Send + 'static {
        let (offer, connection) = (self.shared.get(), self.connection.clone());
        move || {
            let answer = offer.map(|offer| fetch(Way::Clipboard, &connection, &offer));
            match (answer, text) {
                // Some compositors, weston among them, let only one of a program's listeners have it: the toolkit's.
                (None | Some(Answer::Failed(_)), Some(text)) => take_text(Way::Clipboard, &text),
                (Some(answer), _) => answer,
                (None, None) => take(Way::Clipboard, &[], |_| Ok(Vec::new())),
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn get(&self) -> Option<WlDataOffer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, offer: Option<WlDataOffer>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), offer);
        before.iter().for_each(WlDataOffer::destroy);
    }
}

struct State {
    connection: Connection,
    shared: Arc<Shared>,
    answers: Sender<Answer>,
    wake: Wake,
    /// What hovers above the window.
    over: Option<WlDataOffer>,
}

impl State {
    /// Until the other end of `stopped` closes.
    fn run(mut self, stopped: &OwnedFd) -> io::Result<()> {
        let (globals, mut queue) = registry_queue_init::<Self>(&self.connection).map_err(io::Error::other)?;
        let handle = queue.handle();
        let manager: WlDataDeviceManager = globals.bind(&handle, 1..=3, ()).map_err(io::Error::other)?;
        let seat: WlSeat = globals.bind(&handle, 1..=5, ()).map_err(io::Error::other)?;
        let device = manager.get_data_device(&seat, &handle, ());
        loop {
            queue.dispatch_pending(&mut self).map_err(io::Error::other)?;
            queue.flush().map_err(io::Error::other)?;
            let Some(reading) = queue.prepare_read() else { continue };
            let socket = reading.connection_fd();
            let mut ready = [PollFd::new(&socket, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                result => result.map(drop)?,
            }
            let [socket, stop] = ready.map(|one| !one.revents().is_empty());
            if stop {
                break;
            }
            if socket {
                match reading.read() {
                    Err(wayland_client::backend::WaylandError::Io(error))
                        if error.kind() == io::ErrorKind::WouldBlock => {}
                    result => result.map(drop).map_err(io::Error::other)?,
                }
            }
        }
        self.shared.set(None);
        if device.version() >= 2 {
            device.release();
        }
        queue.flush().map_err(io::Error::other)
    }

    fn tell(&self, answer: Answer) {
        // When nobody listens any more the window is being closed.
        let _ = self.answers.send(answer);
        (self.wake)();
    }

    /// Says what would be done with what hovers: it is copied, where it can be used at all.
    fn hover(&mut self, serial: u32, offer: Option<WlDataOffer>) {
        let Some(offer) = offer else { return };
        offer.accept(serial, usable(&forms(&offer)).map(ToOwned::to_owned));
        if offer.version() >= KNOWS_ACTIONS {
            offer.set_actions(DndAction::Copy, DndAction::Copy);
        }
        self.over = Some(offer);
        self.tell(Answer::Hovering(true));
    }

    /// Takes what was dropped, on a thread of its own.
    fn take_drop(&mut self) {
        let Some(offer) = self.over.take() else { return };
        self.tell(Answer::Hovering(false));
        let connection = self.connection.clone();
        answer_later(&self.answers, &self.wake, "drop", move || {
            let answer = fetch(Way::Drop, &connection, &offer);
            if offer.version() >= KNOWS_ACTIONS {
                offer.finish();
            }
            offer.destroy();
            let _ = connection.flush();
            Some(answer)
        });
    }
}

/// The forms of an offer.
fn forms(offer: &WlDataOffer) -> Vec<String> {
    let forms = offer.data::<Forms>();
    forms.map(|forms| forms.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}

fn fetch(way: Way, connection: &Connection, offer: &WlDataOffer) -> Answer {
    take(way, &forms(offer), |form| {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        offer.receive(form.to_owned(), theirs.as_fd());
        connection.flush().map_err(io::Error::other)?;
        drop(theirs);
        read(pipe)
    })
}

/// All of a pipe.
///
/// # Errors
/// When it holds too much, or its other end neither writes nor closes it.
fn read(pipe: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(pipe);
    let (mut bytes, mut part, until) = (Vec::new(), vec![0; 1 << 16], Instant::now() + PATIENCE);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        if poll(&mut [PollFd::new(&file, PollFlags::IN)], Some(&timeout))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer"));
        }
        let count = file.read(&mut part)?;
        if count == 0 && bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing came"));
        }
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&part[..count]);
        if bytes.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
        }
    }
}

impl Dispatch<WlDataDevice, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_data_device::Event::Enter { serial, id, .. } => state.hover(serial, id),
            wl_data_device::Event::Leave => {
                if let Some(offer) = state.over.take() {
                    offer.destroy();
                    state.tell(Answer::Hovering(false));
                }
            }
            wl_data_device::Event::Drop => state.take_drop(),
            wl_data_device::Event::Selection { id } => state.shared.set(id),
            _ => {}
        }
    }

    event_created_child!(State, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, Forms::default()),
    ]);
}

impl Dispatch<WlDataOffer, Forms> for State {
    fn event(
        _: &mut Self,
        _: &WlDataOffer,
        event: wl_data_offer::Event,
        forms: &Forms,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_data_offer::Event::Offer { mime_type } = event {
            forms.lock().unwrap_or_else(PoisonError::into_inner).push(mime_type);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for State {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(State: ignore WlSeat);
delegate_noop!(State: WlDataDeviceManager);
