//! A desktop for tests: the finished program in a real window on a screen of its own, used as a person would, with a
//! mouse, a keyboard, drags from another window and a clipboard. What the window shows is read from the file that the
//! program's hidden option `--describe-window` keeps (`src/ui/describe.rs`).
//!
//! Every test starts its own [`Screen`], so tests may run side by side. There is no window manager: the window sits at
//! the screen's upper left corner, without a frame.
//!
//! What this hand does comes faster than a person's: several acts may fall into one frame. So wait for what an act
//! brings about before the next: for the focus before typing, for a menu before choosing from it.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use image::RgbImage;
use serde::Deserialize;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::*;
use x11rb::protocol::{Event, xtest::ConnectionExt as _};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// How often something awaited is looked at.
const GLANCE: Duration = Duration::from_millis(15);
/// The pause between two moves of a hand.
const MOVE: Duration = Duration::from_millis(15);
/// How long the other side of a drag may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a program may take until its window stands, and to end after its window was closed.
const START: Duration = Duration::from_secs(60);

/// Looks again and again until there is something to return, or the time is over.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(GLANCE);
    }
}

/// A screen that nobody sees: an X server of its own, which ends with this value.
pub struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    /// Starts a screen of so many pixels on a free display.
    pub fn start(width: u16, height: u16) -> Self {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-screen", "0", &format!("{width}x{height}x24")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start Xvfb ({error}): run `make setup`, which installs it"));
        let mut number = String::new();
        let ready = BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut number);
        let mut screen = Self { server, display: format!(":{}", number.trim()) };
        if ready.is_err() || number.trim().is_empty() {
            panic!("Xvfb did not start: {:?}", screen.server.wait());
        }
        screen
    }

    /// The name that programs find the screen by, such as `:99`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Copies something, as another program would, in all these formats: `[("image/png", bytes)]`,
    /// `[("UTF8_STRING", text)]`. The clipboard is empty again when the returned value is dropped.
    pub fn copy(&self, formats: &[(&str, &[u8])]) -> Clipboard {
        Clipboard(Some(Source::new(&self.display, "CLIPBOARD", formats).serve()))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What is larger is handed to another program in parts of so many bytes.
const PART: usize = 50_000;

/// What another program has copied; see [`Screen::copy`].
pub struct Clipboard(Option<Serving>);

impl Drop for Clipboard {
    fn drop(&mut self) {
        self.0.take().map(Serving::stop);
    }
}

/// One thing that the window shows, as a screen reader would hear it.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Stays the same while the thing is there.
    pub id: String,
    /// The name of an AccessKit role: `Button`, `Label`, `TextInput`, `CheckBox`, …
    pub role: String,
    /// The name of the thing; empty for a `Label`, whose text is its value.
    pub label: String,
    /// The text of a `Label` or the contents of a `TextInput`.
    pub value: String,
    /// The text that an empty text field shows.
    pub hint: String,
    /// The number of a slider, progress bar or number field.
    pub number: Option<f64>,
    /// Left, top, right and bottom in pixels from the window's upper left corner; may lie outside of what is scrolled
    /// into view.
    pub rect: [f64; 4],
    pub focused: bool,
    pub selected: bool,
    pub disabled: bool,
}

impl Node {
    /// Whether its label or value contains this.
    pub fn says(&self, part: &str) -> bool {
        self.label.contains(part) || self.value.contains(part)
    }
}

/// What the window shows in one frame, in reading order.
#[derive(Clone, Debug, Deserialize)]
pub struct View {
    /// Width and height in pixels.
    pub size: [f64; 2],
    /// Counts up; it jumps over frames that looked the same.
    pub frame: u64,
    /// Pixels per point.
    pub scale: f64,
    pub nodes: Vec<Node>,
}

impl View {
    /// The first node of this role that says this.
    pub fn node(&self, role: &str, part: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.role == role && node.says(part))
    }

    /// All nodes of this role.
    pub fn nodes<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    /// Whether anything says this.
    pub fn has_text(&self, part: &str) -> bool {
        self.nodes.iter().any(|node| node.says(part))
    }

    /// All texts, one a line, for messages.
    pub fn texts(&self) -> String {
        let line = |node: &Node| format!("  {} {:?} {:?}\n", node.role, node.label, node.value);
        self.nodes.iter().map(line).collect()
    }
}

/// The program, running, with its window. It is killed when this value is dropped.
pub struct Window {
    display: String,
    conn: RustConnection,
    root: u32,
    id: u32,
    child: RefCell<Child>,
    folder: tempfile::TempDir,
}

impl Window {
    /// Starts the program, adding `--describe-window FILE` to its arguments, and waits for its window.
    pub fn launch(screen: &Screen, command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        command.arg("--describe-window").arg(folder.path().join("window.json"));
        Self::start(screen, command, folder)
    }

    /// The same without the description, which takes time in each frame: nothing can be waited for or looked up.
    pub fn launch_unobserved(screen: &Screen, command: &mut Command) -> Self {
        Self::start(screen, command, tempfile::tempdir().expect("a temporary folder"))
    }

    /// The same inside of the one window that is on the screen, a Wayland compositor's; `adopt` says to the command where
    /// that is.
    pub fn launch_inside(screen: &Screen, adopt: impl Fn(&mut Command), command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        command.arg("--describe-window").arg(folder.path().join("window.json"));
        Self::spawn(screen, adopt, command, folder, |window, _| {
            window.conn.query_tree(window.root).expect("X").reply().expect("X").children.into_iter().next_back()
        })
    }

    fn start(screen: &Screen, command: &mut Command, folder: tempfile::TempDir) -> Self {
        let on_screen = |command: &mut Command| {
            command.env("DISPLAY", screen.display()).env_remove("WAYLAND_DISPLAY").env_remove("WAYLAND_SOCKET");
        };
        Self::spawn(screen, on_screen, command, folder, |window, pid| {
            let all = window.conn.query_tree(window.root).expect("X").reply().expect("X").children;
            all.into_iter().find(|id| window.property(*id, "_NET_WM_PID").as_deref() == Some(&pid.to_ne_bytes()[..]))
        })
    }

    fn spawn(
        screen: &Screen,
        place: impl Fn(&mut Command),
        command: &mut Command,
        folder: tempfile::TempDir,
        find: impl Fn(&Self, u32) -> Option<u32>,
    ) -> Self {
        place(command);
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = command
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("NO_AT_BRIDGE", "1")
            .env("XMODIFIERS", "@im=none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let (conn, number) = x11rb::connect(Some(screen.display())).expect("a connection to Xvfb");
        let root = conn.setup().roots[number].root;
        let pid = child.id();
        let mut window = Self { display: screen.display.clone(), conn, root, id: 0, child: child.into(), folder };
        window.id = window.wait("the program's window", START, |window| find(window, pid));
        window.focus();
        window
    }

    /// Waits until the closure finds what it looks for in what the window shows.
    ///
    /// Panics when that takes too long or the program ends, telling what was awaited and what there was instead.
    pub fn wait_for<T>(&self, what: &str, limit: Duration, mut find: impl FnMut(&View) -> Option<T>) -> T {
        self.wait(what, limit, |window| window.look().and_then(|view| find(&view)))
    }

    /// Waits until something is seen in the picture of the screen, which may come a moment after `wait_for` returns.
    pub fn wait_for_picture<T>(&self, what: &str, limit: Duration, mut find: impl FnMut(&RgbImage) -> Option<T>) -> T {
        self.wait(what, limit, |window| find(&window.picture()))
    }

    /// What the window shows now.
    pub fn view(&self) -> View {
        self.wait_for("the first frame", START, |view| Some(view.clone()))
    }

    /// What the program has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.borrow().id()
    }

    /// The title in the window's bar.
    pub fn title(&self) -> String {
        String::from_utf8_lossy(&self.property(self.id, "_NET_WM_NAME").unwrap_or_default()).into_owned()
    }

    fn look(&self) -> Option<View> {
        let text = fs::read(self.folder.path().join("window.json")).ok()?;
        Some(serde_json::from_slice(&text).expect("a description of the window"))
    }

    fn wait<T>(&self, what: &str, limit: Duration, mut find: impl FnMut(&Self) -> Option<T>) -> T {
        let mut ended = None;
        let found = until(limit, || {
            let found = find(self).map(Ok);
            ended = self.child.borrow_mut().try_wait().expect("the program's state");
            found.or(ended.map(Err))
        });
        if let Some(Ok(found)) = found {
            return found;
        }
        let why =
            ended.map_or(format!("it did not come in {limit:?}"), |status| format!("the program ended: {status}"));
        let shown = self.look().map_or("  nothing\n".into(), |view| view.texts());
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n  ");
        panic!("waiting for {what}: {why}\nthe window shows:\n{shown}the program printed:\n  {tail}");
    }

    fn property(&self, window: u32, name: &str) -> Option<Vec<u8>> {
        let property = self.conn.get_property(false, window, atom(&self.conn, name), AtomEnum::ANY, 0, 1024);
        property.expect("X").reply().ok().map(|reply| reply.value).filter(|value| !value.is_empty())
    }

    // ---- the mouse; places are in pixels from the window's upper left corner

    /// Moves the pointer here.
    pub fn move_to(&self, x: i16, y: i16) {
        let (x, y) = self.on_screen(x, y);
        self.fake(MOTION_NOTIFY_EVENT, 0, x, y);
    }

    /// Clicks here with the left button.
    pub fn click(&self, x: i16, y: i16) {
        self.move_to(x, y);
        self.press(1);
    }

    /// Clicks twice here, so quickly that both clicks may fall into one frame.
    pub fn double_click(&self, x: i16, y: i16) {
        self.click(x, y);
        self.press(1);
    }

    /// Clicks in the middle of the part of a node that lies in the window.
    pub fn click_node(&self, node: &Node) {
        let (x, y) = self.middle(node);
        self.click(x, y);
    }

    /// Turns the wheel here by so many notches, towards the hand if positive, so that what lies below comes up.
    /// winit 0.30 takes each for two lines, as it counts the press and the release of the wheel's button.
    pub fn scroll(&self, x: i16, y: i16, notches: i32) {
        self.move_to(x, y);
        for _ in 0..notches.abs() {
            self.press(if notches > 0 { 5 } else { 4 });
        }
    }

    /// Presses the left button at one place, moves to another and lets go: for sliders and scroll bars. On a machine so busy that
    /// all of it falls into one frame, egui sees no drag.
    pub fn drag(&self, from: (i16, i16), to: (i16, i16)) {
        self.hold(from.0, from.1);
        for (x, y) in path(from, to) {
            thread::sleep(MOVE);
            self.move_to(x, y);
        }
        self.let_go();
    }

    /// Presses the left button here and keeps it down.
    pub fn hold(&self, x: i16, y: i16) {
        self.move_to(x, y);
        self.fake(BUTTON_PRESS_EVENT, 1, 0, 0);
    }

    /// Lets go of the left button.
    pub fn let_go(&self) {
        self.fake(BUTTON_RELEASE_EVENT, 1, 0, 0);
    }

    /// The middle of the part of a node that lies in the window.
    pub fn middle(&self, node: &Node) -> (i16, i16) {
        let (width, height) = self.size();
        let [left, top, right, bottom] = node.rect;
        let (left, top, right, bottom) =
            (left.max(0.0), top.max(0.0), right.min(width.into()), bottom.min(height.into()));
        assert!(left < right && top < bottom, "not in the window: {node:?}");
        ((f64::midpoint(left, right)) as i16, (f64::midpoint(top, bottom)) as i16)
    }

    /// The window's width and height in pixels.
    pub fn size(&self) -> (u16, u16) {
        let shape = self.conn.get_geometry(self.id).expect("X").reply().expect("the window");
        (shape.width, shape.height)
    }

    /// Makes the window so many pixels wide and high, as a window manager would when its edge is dragged.
    pub fn resize(&self, width: u16, height: u16) {
        let size = ConfigureWindowAux::new().width(u32::from(width)).height(u32::from(height));
        self.conn.configure_window(self.id, &size).expect("X");
        self.conn.sync().expect("X");
    }

    /// Clicks here with the right button.
    pub fn click_right(&self, x: i16, y: i16) {
        self.move_to(x, y);
        self.press(3);
    }

    fn press(&self, button: u8) {
        self.fake(BUTTON_PRESS_EVENT, button, 0, 0);
        self.fake(BUTTON_RELEASE_EVENT, button, 0, 0);
    }

    fn fake(&self, kind: u8, detail: u8, x: i16, y: i16) {
        self.conn.xtest_fake_input(kind, detail, x11rb::CURRENT_TIME, self.root, x, y, 0).expect("XTEST");
        self.conn.sync().expect("X");
    }

    fn on_screen(&self, x: i16, y: i16) -> (i16, i16) {
        let place = self.conn.translate_coordinates(self.id, self.root, x, y).expect("X").reply().expect("the window");
        (place.dst_x, place.dst_y)
    }

    // ---- the keyboard

    /// Presses a key: a character, or `Return`, `Escape`, `Tab`, `Delete`, `Left`, `Page_Down`, `F5`, …
    pub fn key(&self, name: &str) {
        self.key_with("", name);
    }

    /// Presses a key while others are held: `key_with("ctrl", "f")`, `key_with("ctrl+shift", "Tab")`. All of it may
    /// fall into one frame, at whose end nothing is held any more: the modifiers to ask are those of the key's event.
    pub fn key_with(&self, held: &str, name: &str) {
        self.focus();
        let (code, shifted) = self.keycode(name);
        let mut down: Vec<u8> = held.split('+').filter(|key| !key.is_empty()).map(|key| self.keycode(key).0).collect();
        let shift = self.keycode("shift").0;
        if shifted && !down.contains(&shift) {
            down.push(shift);
        }
        down.push(code);
        for code in &down {
            self.fake(KEY_PRESS_EVENT, *code, 0, 0);
        }
        for code in down.iter().rev() {
            self.fake(KEY_RELEASE_EVENT, *code, 0, 0);
        }
    }

    /// Clicks on a text field, waits until it has the keyboard, and types ASCII text there.
    pub fn type_into(&self, field: &Node, text: &str) {
        self.click_node(field);
        self.wait_for("a text field to take the keyboard", PATIENCE, |view| {
            view.nodes.iter().find(|node| node.id == field.id && node.focused).map(|_| ())
        });
        self.type_text(text);
    }

    /// Types ASCII text.
    pub fn type_text(&self, text: &str) {
        for letter in text.chars() {
            self.key(letter.encode_utf8(&mut [0; 4]));
        }
    }

    /// The keycode of a key on the screen's keyboard, and whether shift is needed for it.
    fn keycode(&self, name: &str) -> (u8, bool) {
        let symbol = keysym(name);
        let setup = self.conn.setup();
        let (first, count) = (setup.min_keycode, setup.max_keycode - setup.min_keycode + 1);
        let map = self.conn.get_keyboard_mapping(first, count).expect("X").reply().expect("the keyboard");
        for (code, symbols) in (first..).zip(map.keysyms.chunks(map.keysyms_per_keycode.into())) {
            if let Some(level) = symbols.iter().take(2).position(|on_key| *on_key == symbol) {
                return (code, level == 1);
            }
        }
        panic!("the keyboard has no key {name:?}");
    }

    /// Gives the window the keyboard, as a window manager would.
    fn focus(&self) {
        let focused = || self.conn.get_input_focus().ok()?.reply().ok().filter(|reply| reply.focus == self.id);
        self.wait("the window to take the keyboard", PATIENCE, |window| {
            if focused().is_none() {
                // Refused while the window is not on the screen yet.
                let set = window.conn.set_input_focus(InputFocus::PARENT, window.id, x11rb::CURRENT_TIME);
                let _ = set.expect("X").check();
            }
            focused()
        });
    }

    /// Gives the keyboard to another window, as a dialog that opens would take it, until the returned value is dropped.
    pub fn lend_focus(&self) -> Borrowed<'_> {
        let dialog = self.conn.generate_id().expect("X");
        let look = CreateWindowAux::new().override_redirect(1);
        let class = WindowClass::INPUT_ONLY;
        self.conn.create_window(0, dialog, self.root, 0, 0, 1, 1, 0, class, 0, &look).expect("X");
        self.conn.map_window(dialog).expect("X");
        self.conn.set_input_focus(InputFocus::PARENT, dialog, x11rb::CURRENT_TIME).expect("X").check().expect("focus");
        Borrowed { window: self, dialog }
    }

    // ---- drags from another window

    /// Drags files here from another window (to the middle if not told where) and drops them.
    pub fn drop_files(&self, files: &[&Path], at: Option<(i16, i16)>) {
        self.hover_files(files, at).drop_here();
    }

    /// Drags files here from another window and holds them over it.
    pub fn hover_files(&self, files: &[&Path], at: Option<(i16, i16)>) -> Hover<'_> {
        let uris: String = files.iter().map(|file| uri(file) + "\r\n").collect();
        self.hover(&[("text/uri-list", uris.as_bytes())], at)
    }

    /// Drags anything here and holds it over the window: `[("text/plain", b"rose")]`. The window may refuse it.
    pub fn hover(&self, formats: &[(&str, &[u8])], at: Option<(i16, i16)>) -> Hover<'_> {
        self.hover_from(Source::new(&self.display, "XdndSelection", formats), at)
    }

    /// As [`Window::hover_files`], by a program that does not know of windows that hear of drags for others.
    pub fn hover_files_plainly(&self, files: &[&Path]) -> Hover<'_> {
        let uris: String = files.iter().map(|file| uri(file) + "\r\n").collect();
        let source = Source::new(&self.display, "XdndSelection", &[("text/uri-list", uris.as_bytes())]);
        self.hover_from(Source { knows_proxies: false, ..source }, None)
    }

    fn hover_from(&self, source: Source, at: Option<(i16, i16)>) -> Hover<'_> {
        assert!(self.property(self.id, "XdndAware").is_some(), "the window takes no drops");
        let (width, height) = self.size();
        let at = at.unwrap_or((width as i16 / 2, height as i16 / 2));
        let mut types = [0; 3];
        for (to, (from, _)) in types.iter_mut().zip(&source.formats) {
            *to = *from;
        }
        source.tell(self, "XdndEnter", [5 << 24, types[0], types[1], types[2]]);
        let action = atom(&source.conn, "XdndActionCopy");
        let status = atom(&source.conn, "XdndStatus");
        let mut accepted = false;
        for (x, y) in path((0, 0), at) {
            let (x, y) = self.on_screen(x, y);
            let place = u32::from(x as u16) << 16 | u32::from(y as u16);
            source.tell(self, "XdndPosition", [0, place, x11rb::CURRENT_TIME, action]);
            let answer = self.wait("an answer to a drag", PATIENCE, |_| source.answer(status));
            accepted = answer[1] & 1 == 1;
            thread::sleep(MOVE);
        }
        Hover { window: self, accepted, serving: Some(source.serve()) }
    }

    // ---- the picture on the screen

    /// The screen as it is now.
    pub fn picture(&self) -> RgbImage {
        let whole = self.conn.get_geometry(self.root).expect("X").reply().expect("the screen");
        let (width, height) = (whole.width, whole.height);
        let shot = self.conn.get_image(ImageFormat::Z_PIXMAP, self.root, 0, 0, width, height, !0);
        let pixels = shot.expect("X").reply().expect("the picture").data;
        let pixels = pixels.chunks_exact(4).flat_map(|bgrx| [bgrx[2], bgrx[1], bgrx[0]]).collect();
        RgbImage::from_raw(width.into(), height.into(), pixels).expect("24 bit colour")
    }

    /// Saves the screen as a PNG file, once it has stood still for a fifth of a second (after two seconds as it is).
    pub fn screenshot(&self, file: &Path) {
        let mut last = self.picture();
        let mut since = Instant::now();
        let _ = until(Duration::from_secs(2), || {
            let now = self.picture();
            if now != last {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(200)).then_some(())
        });
        last.save(file).expect("a screenshot");
    }

    // ---- the end

    /// Closes the window as its close button would, waits for the program's end and returns how it ended.
    pub fn close(self) -> ExitStatus {
        self.ask_to_close();
        self.ended(START)
    }

    /// Asks the window to close, as its close button would.
    pub fn ask_to_close(&self) {
        let protocol = atom(&self.conn, "WM_DELETE_WINDOW");
        let message = [protocol, x11rb::CURRENT_TIME, 0, 0, 0];
        let message = ClientMessageEvent::new(32, self.id, atom(&self.conn, "WM_PROTOCOLS"), message);
        self.conn.send_event(false, self.id, EventMask::NO_EVENT, message).expect("X");
        self.conn.sync().expect("X");
    }

    /// Waits for the program's end, which something else has brought about.
    pub fn ended(&self, limit: Duration) -> ExitStatus {
        until(limit, || self.child.borrow_mut().try_wait().expect("the program's state"))
            .unwrap_or_else(|| panic!("the program did not end in {limit:?}; it printed:\n{}", self.log()))
    }

    /// Kills the program, as a crash or a power failure would end it.
    pub fn kill(&self) {
        let mut child = self.child.borrow_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The keyboard's focus, while another window has it.
pub struct Borrowed<'a> {
    window: &'a Window,
    dialog: u32,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let _ = self.window.conn.destroy_window(self.dialog);
        self.window.focus();
    }
}

/// Something held over a window by the mouse. It leaves the window when this value is dropped.
pub struct Hover<'a> {
    window: &'a Window,
    accepted: bool,
    serving: Option<Serving>,
}

impl Hover<'_> {
    /// Whether the window would take what is held.
    pub fn accepted(&self) -> bool {
        self.accepted
    }

    /// Moves away without dropping.
    #[expect(clippy::unused_self, reason = "what is dropped lets go of the mouse")]
    pub fn leave(self) {}

    /// Lets go, and waits until the window has taken what was held.
    pub fn drop_here(mut self) {
        assert!(self.accepted, "the window refused what was dragged over it");
        let source = self.serving.take().expect("a drag").stop();
        let finished = atom(&source.conn, "XdndFinished");
        source.tell(self.window, "XdndDrop", [0, x11rb::CURRENT_TIME, 0, 0]);
        self.window.wait("the end of a drop", PATIENCE, |_| source.answer(finished));
    }
}

impl Drop for Hover<'_> {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop().tell(self.window, "XdndLeave", [0; 4]);
        }
    }
}

/// Another program's window that offers something, for a drag or on the clipboard.
struct Source {
    conn: RustConnection,
    window: u32,
    formats: Vec<(Atom, Vec<u8>)>,
    /// Not all programs do.
    knows_proxies: bool,
    /// What is being handed out in parts.
    in_parts: RefCell<Option<InParts>>,
}

struct InParts {
    window: u32,
    property: Atom,
    format: Atom,
    rest: Vec<u8>,
}

impl Source {
    fn new(display: &str, selection: &str, formats: &[(&str, &[u8])]) -> Self {
        let (conn, number) = x11rb::connect(Some(display)).expect("a connection to Xvfb");
        let root = conn.setup().roots[number].root;
        let window = conn.generate_id().expect("X");
        let look = CreateWindowAux::new();
        conn.create_window(0, window, root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &look).expect("X");
        let formats = formats.iter().map(|(name, bytes)| (atom(&conn, name), bytes.to_vec())).collect();
        conn.set_selection_owner(window, atom(&conn, selection), x11rb::CURRENT_TIME).expect("X");
        conn.sync().expect("X");
        Self { conn, window, formats, knows_proxies: true, in_parts: RefCell::default() }
    }

    /// Sends a step of a drag to the window it is over, or to the one that hears of drags in its stead.
    fn tell(&self, target: &Window, step: &str, data: [u32; 4]) {
        let data = [self.window, data[0], data[1], data[2], data[3]];
        let message = ClientMessageEvent::new(32, target.id, atom(&self.conn, step), data);
        let proxy = target.property(target.id, "XdndProxy").filter(|_| self.knows_proxies);
        let proxy = proxy.map(|bytes| u32::from_ne_bytes(bytes.try_into().expect("one window")));
        self.conn.send_event(false, proxy.unwrap_or(target.id), EventMask::NO_EVENT, message).expect("X");
        self.conn.sync().expect("X");
    }

    /// Hands out what was asked for since the last call, and returns the other side's answer of this kind, if any.
    fn answer(&self, kind: Atom) -> Option<[u32; 5]> {
        let mut answer = None;
        while let Ok(Some(event)) = self.conn.poll_for_event() {
            match event {
                Event::SelectionRequest(request) => self.hand_out(request),
                Event::PropertyNotify(gone) if gone.state == Property::DELETE => self.hand_out_a_part(),
                Event::ClientMessage(message) if message.type_ == kind => answer = Some(message.data.as_data32()),
                _ => {}
            }
        }
        answer
    }

    fn hand_out(&self, request: SelectionRequestEvent) {
        let to = if request.property == x11rb::NONE { request.target } else { request.property };
        let targets = atom(&self.conn, "TARGETS");
        let mut reply = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: to,
        };
        if request.target == targets {
            let all: Vec<Atom> = self.formats.iter().map(|(format, _)| *format).chain([targets]).collect();
            self.conn.change_property32(PropMode::REPLACE, request.requestor, to, AtomEnum::ATOM, &all).expect("X");
        } else if let Some((format, bytes)) = self.formats.iter().find(|(format, _)| *format == request.target)
            && bytes.len() > PART
        {
            let attributes = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
            self.conn.change_window_attributes(request.requestor, &attributes).expect("X");
            let (size, incr) = ([bytes.len() as u32], atom(&self.conn, "INCR"));
            self.conn.change_property32(PropMode::REPLACE, request.requestor, to, incr, &size).expect("X");
            *self.in_parts.borrow_mut() =
                Some(InParts { window: request.requestor, property: to, format: *format, rest: bytes.clone() });
        } else if let Some((format, bytes)) = self.formats.iter().find(|(format, _)| *format == request.target) {
            let set = self.conn.change_property8(PropMode::REPLACE, request.requestor, to, *format, bytes);
            set.expect("less than 16 MB");
        } else {
            reply.property = x11rb::NONE;
        }
        let _ = self.conn.send_event(false, request.requestor, EventMask::NO_EVENT, reply);
        let _ = self.conn.sync();
    }

    /// The part before was taken; the last one is empty.
    fn hand_out_a_part(&self) {
        let Some(InParts { window, property, format, rest: mut part }) = self.in_parts.take() else { return };
        let rest = part.split_off(PART.min(part.len()));
        self.conn.change_property8(PropMode::REPLACE, window, property, format, &part).expect("X");
        if !part.is_empty() {
            *self.in_parts.borrow_mut() = Some(InParts { window, property, format, rest });
        }
        let _ = self.conn.flush();
    }

    /// Goes on handing out in the background.
    fn serve(self) -> Serving {
        let (stop, stopped) = mpsc::sync_channel(0);
        let serve = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(GLANCE) {
                self.answer(x11rb::NONE);
            }
            self
        };
        let thread = thread::Builder::new().name("other window".into()).spawn(serve).expect("a thread");
        Serving { stop, thread }
    }
}

struct Serving {
    stop: SyncSender<()>,
    thread: JoinHandle<Source>,
}

impl Serving {
    fn stop(self) -> Source {
        drop(self.stop);
        self.thread.join().expect("the other window")
    }
}

fn atom(conn: &RustConnection, name: &str) -> Atom {
    conn.intern_atom(false, name.as_bytes()).expect("X").reply().expect("X").atom
}

/// Some places on the way of a hand, the last one being its end.
fn path(from: (i16, i16), to: (i16, i16)) -> impl Iterator<Item = (i16, i16)> {
    const STEPS: i32 = 5;
    let between =
        |from: i16, to: i16, step: i32| (i32::from(from) + (i32::from(to) - i32::from(from)) * step / STEPS) as i16;
    (1..=STEPS).map(move |step| (between(from.0, to.0, step), between(from.1, to.1, step)))
}

/// The address of a file, each byte that is not plain ASCII written as `%XX`.
fn uri(file: &Path) -> String {
    let file = std::path::absolute(file).expect("a path");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let encode = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    format!("file://{}", file.as_os_str().as_bytes().iter().map(encode).collect::<String>())
}

/// X's number for a key.
fn keysym(name: &str) -> u32 {
    if let [letter @ b' '..=b'~'] = name.as_bytes() {
        return u32::from(*letter);
    }
    match name {
        "BackSpace" => 0xff08,
        "Tab" => 0xff09,
        "Return" | "\n" => 0xff0d,
        "Escape" => 0xff1b,
        "Home" => 0xff50,
        "Left" => 0xff51,
        "Up" => 0xff52,
        "Right" => 0xff53,
        "Down" => 0xff54,
        "Page_Up" => 0xff55,
        "Page_Down" => 0xff56,
        "End" => 0xff57,
        "Insert" => 0xff63,
        "Delete" => 0xffff,
        "shift" => 0xffe1,
        "ctrl" => 0xffe3,
        "alt" => 0xffe9,
        "super" => 0xffeb,
        "space" => 0x20,
        _ => match name.strip_prefix('F').and_then(|number| number.parse::<u32>().ok()) {
            Some(number @ 1..=12) => 0xffbe + number - 1,
            _ => panic!("what is the key {name:?}?"),
        },
    }
}
