//! What X11 hands over: anything dropped on the window, and the clipboard in all its forms. The window toolkit, winit 0.30,
//! takes files with names in UTF-8 and nothing else, and of the clipboard text before pictures; so this listens beside it,
//! on a connection of its own.
//!
//! Drags follow the freedesktop.org XDND protocol, version 5: a window names, in its property `XdndProxy`, another that
//! hears of drags in its stead. A program that does not know of that talks to the toolkit, as if this were not there. Both
//! drags and the clipboard are selections of the X Inter-Client Communication Conventions (ICCCM, section 2).

use std::io;
use std::time::Instant;

use crossbeam_channel::Sender;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, Property, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::listener::{Call, Calls, Listener, check_size, patience, whole};
use super::offer::{Way, take, take_text, usable};
use super::{Answer, Wake};

x11rb::atom_manager! {
    Atoms: AtomsCookie {
        CLIPBOARD,
        FLORASCOPE_SELECTION,
        INCR,
        TARGETS,
        XdndActionCopy,
        XdndAware,
        XdndDrop,
        XdndEnter,
        XdndFinished,
        XdndLeave,
        XdndPosition,
        XdndProxy,
        XdndSelection,
        XdndStatus,
        XdndTypeList,
    }
}

/// The version of XDND that is spoken.
const VERSION: u32 = 5;
/// In an answer to a drag: it would be taken, and should go on telling where it is.
const TAKEN: u32 = 0b11;

/// Listens for what is meant for a window.
///
/// # Errors
/// When the system gives no pipe or no thread.
pub(super) fn listen(window: Window, answers: Sender<Answer>, wake: Wake) -> io::Result<Listener> {
    Listener::start(answers, wake, move |calls| Proxy::new(window)?.run(calls))
}

struct Proxy {
    connection: RustConnection,
    atoms: Atoms,
    /// Of the program, as its users see it.
    window: Window,
    /// Hears of drags in its stead, and is handed what is asked for. Never seen.
    hearing: Window,
}

/// What hovers above the window.
struct Drag {
    source: Window,
    forms: Vec<String>,
}

impl Proxy {
    fn new(window: Window) -> io::Result<Self> {
        let (connection, screen) = x11rb::connect(None).map_err(io::Error::other)?;
        let root = connection.setup().roots[screen].root;
        let proxy = connection.generate_id().map_err(io::Error::other)?;
        let atoms = Atoms::new(&connection).map_err(io::Error::other)?.reply().map_err(io::Error::other)?;
        let this = Self { connection, atoms, window, hearing: proxy };
        this.announce(root).map_err(io::Error::other)?;
        Ok(this)
    }

    /// Makes the window that hears, and says that it does.
    fn announce(&self, root: Window) -> Result<(), x11rb::errors::ReplyError> {
        let (connection, proxy) = (&self.connection, self.hearing);
        let look = CreateWindowAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        connection.create_window(0, proxy, root, -1, -1, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &look)?.check()?;
        for window in [proxy, self.window] {
            let set = |name, kind, value| connection.change_property32(PropMode::REPLACE, window, name, kind, &[value]);
            set(self.atoms.XdndProxy, AtomEnum::WINDOW, proxy)?.check()?;
            set(self.atoms.XdndAware, AtomEnum::ATOM, VERSION)?.check()?;
        }
        Ok(())
    }

    /// Until the window goes.
    fn run(self, calls: &Calls) -> io::Result<()> {
        let mut drag = None;
        loop {
            while let Some(event) = self.connection.poll_for_event().map_err(io::Error::other)? {
                if let Event::ClientMessage(message) = event {
                    self.hear(&message, &mut drag, calls)?;
                }
            }
            match calls.wait(self.connection.stream())? {
                Call::Ready => {}
                Call::Paste(text) => calls.answer(self.clipboard(text, calls)),
                Call::End => return Ok(()),
            }
        }
    }

    /// A step of a drag.
    fn hear(&self, message: &ClientMessageEvent, drag: &mut Option<Drag>, calls: &Calls) -> io::Result<()> {
        let ([source, flags, time, ..], kind) = (message.data.as_data32(), message.type_);
        let is_this = drag.as_ref().is_some_and(|drag| drag.source == source);
        if kind == self.atoms.XdndEnter {
            // Whoever offers more than three forms keeps a list of them.
            let forms = if flags & 1 == 1 {
                self.atoms_in(source, self.atoms.XdndTypeList)?
            } else {
                message.data.as_data32()[2..].to_vec()
            };
            *drag = Some(Drag { source, forms: self.names(&forms)? });
            calls.answer(Answer::Hovering(true));
        } else if kind == self.atoms.XdndPosition && is_this {
            // What cannot be used is taken too: only then can be said why.
            self.tell(source, self.atoms.XdndStatus, [TAKEN, 0, 0, self.atoms.XdndActionCopy])?;
        } else if kind == self.atoms.XdndLeave && is_this {
            *drag = None;
            calls.answer(Answer::Hovering(false));
        } else if kind == self.atoms.XdndDrop && is_this {
            let forms = drag.take().map(|drag| drag.forms).unwrap_or_default();
            calls.answer(Answer::Hovering(false));
            let answer = take(Way::Drop, &forms, |form| self.read(self.atoms.XdndSelection, form, time, calls));
            calls.answer(answer);
            let taken = u32::from(usable(&forms).is_some());
            self.tell(source, self.atoms.XdndFinished, [taken, self.atoms.XdndActionCopy, 0, 0])?;
        }
        Ok(())
    }

    fn tell(&self, source: Window, kind: u32, data: [u32; 4]) -> io::Result<()> {
        let data = [self.window, data[0], data[1], data[2], data[3]];
        let message = ClientMessageEvent::new(32, source, kind, data);
        self.connection.send_event(false, source, EventMask::NO_EVENT, message).map_err(io::Error::other)?;
        self.connection.flush().map_err(io::Error::other)
    }

    /// What the clipboard holds; `text` is what the window toolkit found there.
    fn clipboard(&self, text: Option<String>, calls: &Calls) -> Answer {
        let forms =
            self.convert(self.atoms.CLIPBOARD, self.atoms.TARGETS, x11rb::CURRENT_TIME, calls).and_then(|bytes| {
                let atoms = bytes.chunks_exact(4).map(|atom| u32::from_ne_bytes([atom[0], atom[1], atom[2], atom[3]]));
                self.names(&atoms.collect::<Vec<_>>())
            });
        match (forms, text) {
            // Whoever does not say what it has was asked for text by the toolkit.
            (Err(_), Some(text)) => take_text(Way::Clipboard, &text),
            (forms, _) => take(Way::Clipboard, &forms.unwrap_or_default(), |form| {
                self.read(self.atoms.CLIPBOARD, form, x11rb::CURRENT_TIME, calls)
            }),
        }
    }

    /// One form of a selection, which is a drag or the clipboard.
    fn read(&self, selection: u32, form: &str, time: u32, calls: &Calls) -> io::Result<Vec<u8>> {
        let form = self.connection.intern_atom(false, form.as_bytes()).map_err(io::Error::other)?;
        whole(self.convert(selection, form.reply().map_err(io::Error::other)?.atom, time, calls)?)
    }

    /// Has the owner of a selection put one form of it into a property, and takes it from there.
    fn convert(&self, selection: u32, form: u32, time: u32, calls: &Calls) -> io::Result<Vec<u8>> {
        let (property, until) = (self.atoms.FLORASCOPE_SELECTION, patience());
        let asked = self.connection.convert_selection(self.hearing, selection, form, property, time);
        asked.map_err(io::Error::other)?;
        let is_answer = |event: &Event| matches!(event, Event::SelectionNotify(answer) if answer.selection == selection && answer.target == form);
        if let Event::SelectionNotify(answer) = self.wait_for(is_answer, until, calls)?
            && answer.property == x11rb::NONE
        {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has nothing of this kind"));
        }
        let (kind, mut bytes) = self.take_property()?;
        if kind != self.atoms.INCR {
            return Ok(bytes);
        }
        // What is large comes in parts; the last one is empty.
        bytes.clear();
        let is_part = |event: &Event| matches!(event, Event::PropertyNotify(part) if part.atom == property && part.state == Property::NEW_VALUE);
        loop {
            self.wait_for(is_part, patience(), calls)?;
            let (_, part) = self.take_property()?;
            if part.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(part);
            check_size(bytes.len())?;
        }
    }

    fn wait_for(&self, is_it: impl Fn(&Event) -> bool, until: Instant, calls: &Calls) -> io::Result<Event> {
        self.connection.flush().map_err(io::Error::other)?;
        loop {
            match self.connection.poll_for_event().map_err(io::Error::other)? {
                Some(event) if is_it(&event) => return Ok(event),
                // A drag that began meanwhile; it will be told again where it is.
                Some(_) => {}
                None => calls.wait_for_other(self.connection.stream(), until)?,
            }
        }
    }

    /// The kind and the bytes of what was put into the property; whoever puts it there in parts goes on when it is gone.
    fn take_property(&self) -> io::Result<(u32, Vec<u8>)> {
        let property = self.atoms.FLORASCOPE_SELECTION;
        let asked = self.connection.get_property(true, self.hearing, property, AtomEnum::ANY, 0, u32::MAX / 4);
        let answer = asked.map_err(io::Error::other)?.reply().map_err(io::Error::other)?;
        Ok((answer.type_, answer.value))
    }

    fn atoms_in(&self, window: Window, property: u32) -> io::Result<Vec<u32>> {
        let asked = self.connection.get_property(false, window, property, AtomEnum::ATOM, 0, 1 << 12);
        let answer = asked.map_err(io::Error::other)?.reply().map_err(io::Error::other)?;
        Ok(answer.value32().into_iter().flatten().collect())
    }

    fn names(&self, atoms: &[u32]) -> io::Result<Vec<String>> {
        let known = atoms.iter().filter(|atom| **atom != x11rb::NONE);
        let asked: Result<Vec<_>, _> = known.map(|atom| self.connection.get_atom_name(*atom)).collect();
        let answers = asked.map_err(io::Error::other)?.into_iter().filter_map(|name| name.reply().ok());
        Ok(answers.map(|name| String::from_utf8_lossy(&name.name).into_owned()).collect())
    }
}
