//! What Wayland hands over: files dropped on the window, and the clipboard in all its forms. The window toolkit, winit 0.30,
//! takes no drops there, so this listens beside it, on the same connection with a queue and a thread of its own.
//!
//! The protocol is wayland.xml's `wl_data_device`: an offer names its forms; whoever takes one is given a pipe to read.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::Sender;
use rustix::pipe::{PipeFlags, pipe_with};
use wayland_client::backend::{Backend, WaylandError};
use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::{DndAction, WlDataDeviceManager};
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, delegate_noop, event_created_child};

use super::listener::{Call, Calls, Listener};
use super::offer::{Way, take, take_text, usable};
use super::{Answer, Wake};

/// Offers know what is done with them since this version.
const KNOWS_ACTIONS: u32 = 3;

/// Listens to a display.
///
/// # Errors
/// When the system gives no pipe or no thread.
///
/// # Safety
/// `display` is a `wl_display` that outlives the listener.
pub(super) unsafe fn listen(display: NonNull<c_void>, answers: Sender<Answer>, wake: Wake) -> io::Result<Listener> {
    // SAFETY: the caller's promise; the listener waits for its thread, which alone has the connection.
    let backend = unsafe { Backend::from_foreign_display(display.as_ptr().cast()) };
    Listener::start(answers, wake, move |calls| run(&Connection::from_backend(backend), calls))
}

/// The forms of an offer.
type Forms = Mutex<Vec<String>>;

/// What has happened and was not dealt with yet, and what is offered.
#[derive(Default)]
struct State {
    /// What hovers above the window.
    over: Option<WlDataOffer>,
    /// What the clipboard offers.
    clipboard: Option<WlDataOffer>,
    /// What was dropped.
    dropped: Vec<WlDataOffer>,
    /// Whether something hovers, where that has changed.
    hovering: Option<bool>,
}

/// Until the window goes.
fn run(connection: &Connection, calls: &Calls) -> io::Result<()> {
    let (globals, mut queue) = registry_queue_init::<State>(connection).map_err(io::Error::other)?;
    let handle = queue.handle();
    let manager: WlDataDeviceManager = globals.bind(&handle, 1..=3, ()).map_err(io::Error::other)?;
    let seat: WlSeat = globals.bind(&handle, 1..=5, ()).map_err(io::Error::other)?;
    let device = manager.get_data_device(&seat, &handle, ());
    let mut state = State::default();
    loop {
        queue.dispatch_pending(&mut state).map_err(io::Error::other)?;
        if let Some(hovering) = state.hovering.take() {
            calls.answer(Answer::Hovering(hovering));
        }
        for offer in state.dropped.drain(..) {
            calls.answer(fetch(Way::Drop, connection, &offer, calls));
            if offer.version() >= KNOWS_ACTIONS {
                offer.finish();
            }
            offer.destroy();
        }
        queue.flush().map_err(io::Error::other)?;
        let Some(reading) = queue.prepare_read() else { continue };
        match calls.wait(reading.connection_fd())? {
            Call::Ready => match reading.read() {
                Err(WaylandError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => result.map(drop).map_err(io::Error::other)?,
            },
            Call::Paste(text) => {
                // Others wait for whoever has prepared to read.
                drop(reading);
                let offer = state.clipboard.as_ref();
                calls.answer(pasted(offer.map(|offer| fetch(Way::Clipboard, connection, offer, calls)), text));
            }
            Call::End => break,
        }
    }
    state.over.into_iter().chain(state.clipboard).for_each(|offer| offer.destroy());
    if device.version() >= 2 {
        device.release();
    }
    queue.flush().map_err(io::Error::other)
}

/// What the clipboard holds; `text` is what the window toolkit found there. Some compositors, weston among them, let only
/// one of a program's listeners have it: the toolkit's.
fn pasted(answer: Option<Answer>, text: Option<String>) -> Answer {
    match (answer, text) {
        (None | Some(Answer::Failed(_)), Some(text)) => take_text(Way::Clipboard, &text),
        (Some(answer), _) => answer,
        (None, None) => take(Way::Clipboard, &[], |_| Ok(Vec::new())),
    }
}

impl State {
    /// Says what would be done with what hovers: it is copied, where it can be used at all.
    fn hover(&mut self, serial: u32, offer: Option<WlDataOffer>) {
        let Some(offer) = offer else { return };
        offer.accept(serial, usable(&forms(&offer)).map(ToOwned::to_owned));
        if offer.version() >= KNOWS_ACTIONS {
            offer.set_actions(DndAction::Copy, DndAction::Copy);
        }
        self.over = Some(offer);
        self.hovering = Some(true);
    }
}

/// The forms of an offer.
fn forms(offer: &WlDataOffer) -> Vec<String> {
    let forms = offer.data::<Forms>();
    forms.map(|forms| forms.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
}

fn fetch(way: Way, connection: &Connection, offer: &WlDataOffer, calls: &Calls) -> Answer {
    take(way, &forms(offer), |form| {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        offer.receive(form.to_owned(), theirs.as_fd());
        connection.flush().map_err(io::Error::other)?;
        drop(theirs);
        calls.read(pipe)
    })
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
                    state.hovering = Some(false);
                }
            }
            wl_data_device::Event::Drop => {
                state.dropped.extend(state.over.take());
                state.hovering = Some(false);
            }
            wl_data_device::Event::Selection { id } => {
                let before = std::mem::replace(&mut state.clipboard, id);
                before.iter().for_each(WlDataOffer::destroy);
            }
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
