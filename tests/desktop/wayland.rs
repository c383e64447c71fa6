//! A Wayland desktop for tests: weston inside a [`Screen`], and another program's window on it, from which something is
//! dragged (left button) or copied (right button).

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wayland_client::globals::{GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::{DndAction, WlDataDeviceManager};
use wayland_client::protocol::wl_data_offer::WlDataOffer;
use wayland_client::protocol::wl_data_source::{self, WlDataSource};
use wayland_client::protocol::wl_pointer::{self, ButtonState, WlPointer};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::protocol::{
    wl_buffer::WlBuffer, wl_compositor::WlCompositor, wl_shm, wl_shm::WlShm, wl_shm_pool::WlShmPool,
};
use wayland_client::{Connection, Dispatch, QueueHandle, WEnum, delegate_noop, event_created_child};
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::XdgToplevel;
use wayland_protocols::xdg::shell::client::xdg_wm_base::{self, XdgWmBase};

use super::desktop::{PATIENCE, Screen, Window, until};

/// Linux's names of a mouse's buttons.
const LEFT: u32 = 0x110;
const RIGHT: u32 = 0x111;
/// Width and height of the other program's window.
const SIDE: i32 = 160;

/// A compositor on a screen of tests; it ends with this value.
pub struct Compositor {
    weston: Child,
    folder: tempfile::TempDir,
}

impl Compositor {
    /// Starts weston over the whole screen; `None` where it is not installed.
    pub fn start(screen: &Screen, width: u16, height: u16) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("weston.ini"), "[shell]\npanel-position=none\nlocking=false\n")
            .expect("a file");
        let weston = Command::new("weston")
            .args(["--backend=x11-backend.so", "--use-pixman", "--socket=wayland-test", "--idle-time=0"])
            .args([format!("--width={width}"), format!("--height={height}")])
            .arg(format!("--config={}", folder.path().join("weston.ini").display()))
            .env("DISPLAY", screen.display())
            .env("XDG_RUNTIME_DIR", folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("log")).expect("a log"))
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let compositor = Self { weston, folder };
        let socket = compositor.folder.path().join("wayland-test");
        until(PATIENCE, || socket.exists().then_some(())).expect("weston's socket");
        Some(compositor)
    }

    /// Makes a program's window open here.
    pub fn adopt(&self, command: &mut Command) {
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("WAYLAND_DISPLAY", "wayland-test").env_remove("DISPLAY");
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("wayland-test")
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        let _ = self.weston.kill();
        let _ = self.weston.wait();
    }
}

/// What another program's window hears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Heard {
    /// The pointer is above it.
    Pointer,
    Copied,
    Finished,
    Cancelled,
}

/// Another program's window, which hands something over in these forms.
pub struct OtherWindow {
    heard: Receiver<Heard>,
    thread: Option<JoinHandle<()>>,
    connection: Connection,
}

impl OtherWindow {
    /// Opens it, above all others.
    pub fn open(compositor: &Compositor, forms: &[(&str, &[u8])]) -> Self {
        let stream = std::os::unix::net::UnixStream::connect(compositor.socket()).expect("weston's socket");
        let connection = Connection::from_socket(stream).expect("Wayland");
        let (sender, heard) = sync_channel(64);
        let forms = forms.iter().map(|(form, content)| ((*form).to_owned(), content.to_vec())).collect();
        let theirs = connection.clone();
        let thread = thread::Builder::new().name("other window".into()).spawn(move || run(&theirs, forms, sender));
        Self { heard, thread: Some(thread.expect("a thread")), connection }
    }

    /// Waits until it hears this.
    pub fn wait_for(&self, wanted: Heard) {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(heard) if heard == wanted => return,
                Ok(Heard::Cancelled) => panic!("it was not taken"),
                Ok(_) => {}
                Err(error) => panic!("{wanted:?}: {error}"),
            }
        }
    }

    /// Moves the pointer over the screen until it is above this window, and gives the place.
    pub fn find(&self, window: &Window) -> (i16, i16) {
        let (width, height) = window.size();
        let step = SIDE as usize / 2;
        until(PATIENCE, || {
            for y in (20..height as i16).step_by(step) {
                for x in (20..width as i16).step_by(step) {
                    window.move_to(x, y);
                    if self.heard.recv_timeout(Duration::from_millis(30)) == Ok(Heard::Pointer) {
                        return Some((x, y));
                    }
                }
            }
            None
        })
        .expect("the other window")
    }
}

impl Drop for OtherWindow {
    fn drop(&mut self) {
        // Closing it under the thread ends that one.
        let _ = rustix::net::shutdown(self.connection.backend().poll_fd(), rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, forms: HashMap<String, Vec<u8>>, heard: SyncSender<Heard>) {
    let (globals, mut queue) = registry_queue_init::<State>(connection).expect("Wayland's globals");
    let handle = queue.handle();
    let compositor: WlCompositor = globals.bind(&handle, 1..=4, ()).expect("a compositor");
    let shell: XdgWmBase = globals.bind(&handle, 1..=1, ()).expect("a shell");
    let shm: WlShm = globals.bind(&handle, 1..=1, ()).expect("shared memory");
    let manager: WlDataDeviceManager = globals.bind(&handle, 3..=3, ()).expect("data devices");
    let seat: WlSeat = globals.bind(&handle, 1..=5, ()).expect("a seat");
    let _pointer = seat.get_pointer(&handle, ());
    let device = manager.get_data_device(&seat, &handle, ());
    let mut pixels = tempfile::tempfile().expect("a file");
    let size = SIDE * SIDE * 4;
    pixels.write_all(&vec![0xa0; size as usize]).expect("a file");
    let pool = shm.create_pool(pixels.as_fd(), size, &handle, ());
    let buffer = pool.create_buffer(0, SIDE, SIDE, SIDE * 4, wl_shm::Format::Xrgb8888, &handle, ());
    let surface = compositor.create_surface(&handle, ());
    let shell_surface = shell.get_xdg_surface(&surface, &handle, ());
    let toplevel = shell_surface.get_toplevel(&handle, ());
    toplevel.set_title("Another program".into());
    surface.commit();
    let mut state = State { forms, heard, manager, device, surface, buffer };
    while queue.blocking_dispatch(&mut state).is_ok() {}
}

struct State {
    forms: HashMap<String, Vec<u8>>,
    heard: SyncSender<Heard>,
    manager: WlDataDeviceManager,
    device: WlDataDevice,
    surface: WlSurface,
    buffer: WlBuffer,
}

impl State {
    fn source(&self, handle: &QueueHandle<Self>) -> WlDataSource {
        let source = self.manager.create_data_source(handle, ());
        self.forms.keys().for_each(|form| source.offer(form.clone()));
        source
    }
}

impl Dispatch<WlPointer, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlPointer,
        event: wl_pointer::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        match event {
            wl_pointer::Event::Enter { .. } => {
                let _ = state.heard.try_send(Heard::Pointer);
            }
            wl_pointer::Event::Button { serial, button: LEFT, state: WEnum::Value(ButtonState::Pressed), .. } => {
                let source = state.source(handle);
                source.set_actions(DndAction::Copy);
                state.device.start_drag(Some(&source), &state.surface, None, serial);
            }
            wl_pointer::Event::Button { serial, button: RIGHT, state: WEnum::Value(ButtonState::Pressed), .. } => {
                state.device.set_selection(Some(&state.source(handle)), serial);
                let _ = state.heard.try_send(Heard::Copied);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataSource, ()> for State {
    fn event(
        state: &mut Self,
        _: &WlDataSource,
        event: wl_data_source::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wl_data_source::Event::Send { mime_type, fd } => {
                let _ = File::from(fd).write_all(&state.forms[&mime_type]);
            }
            wl_data_source::Event::DndFinished => {
                let _ = state.heard.try_send(Heard::Finished);
            }
            wl_data_source::Event::Cancelled => {
                let _ = state.heard.try_send(Heard::Cancelled);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataDevice, ()> for State {
    fn event(_: &mut Self, _: &WlDataDevice, _: wl_data_device::Event, (): &(), _: &Connection, _: &QueueHandle<Self>) {
    }

    event_created_child!(State, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, ()),
    ]);
}

impl Dispatch<XdgSurface, ()> for State {
    fn event(
        state: &mut Self,
        surface: &XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_surface::Event::Configure { serial } = event {
            surface.ack_configure(serial);
            state.surface.attach(Some(&state.buffer), 0, 0);
            state.surface.damage(0, 0, SIDE, SIDE);
            state.surface.commit();
        }
    }
}

impl Dispatch<XdgWmBase, ()> for State {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
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

delegate_noop!(State: ignore WlDataOffer);
delegate_noop!(State: ignore WlSeat);
delegate_noop!(State: ignore WlShm);
delegate_noop!(State: ignore WlSurface);
delegate_noop!(State: ignore WlBuffer);
delegate_noop!(State: ignore XdgToplevel);
delegate_noop!(State: WlCompositor);
delegate_noop!(State: WlDataDeviceManager);
delegate_noop!(State: WlShmPool);
