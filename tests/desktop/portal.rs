//! A desktop's service for file dialogs, as far as a program that asks for one sees it, on a bus of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use florascope::desktop::file_uri;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, block_on, conn, interface};

type Options = std::collections::HashMap<String, OwnedValue>;

/// The service, with no dialog open. Its bus ends with this value.
pub struct Portal {
    bus: Bus,
    connection: Connection,
    /// The dialogs that were asked for.
    asked: Receiver<OwnedObjectPath>,
    dialog: std::cell::OnceCell<OwnedObjectPath>,
}

impl Portal {
    /// Starts a bus and the service on it; `None`, and a word about it, where no bus is installed.
    pub fn start() -> Option<Self> {
        let bus = Bus::start()?;
        let (sender, asked) = sync_channel(1);
        let connection = block_on(async {
            conn::Builder::address(bus.address())?
                .serve_at("/org/freedesktop/portal/desktop", FileChooser { asked: sender })?
                .name("org.freedesktop.portal.Desktop")?
                .build()
                .await
        });
        Some(Self { bus, connection: connection.expect("a service"), asked, dialog: Default::default() })
    }

    /// Where programs find the bus.
    pub fn address(&self) -> &str {
        self.bus.address()
    }

    /// Waits until a dialog is asked for.
    pub fn wait_until_asked(&self) {
        let dialog = self.asked.recv_timeout(Duration::from_secs(60)).expect("a request for a dialog");
        self.dialog.set(dialog).expect("one dialog");
    }

    /// Ends the dialog as if this had been chosen in it.
    pub fn answer(&self, path: &Path) {
        let dialog = self.dialog.get().expect("a dialog");
        let chosen = std::collections::HashMap::from([("uris", Value::from(vec![file_uri(path)]))]);
        block_on(async {
            let emitter = SignalEmitter::new(&self.connection, dialog)?;
            emitter.emit("org.freedesktop.portal.Request", "Response", &(0u32, chosen)).await
        })
        .expect("an answer");
    }
}

/// A bus for one test.
pub struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    /// Starts it; `None`, and a word about it, where none is installed.
    pub fn start() -> Option<Self> {
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--nofork", "--print-address"]).stdin(Stdio::null()).stderr(Stdio::null());
        let Ok(mut daemon) = command.stdout(Stdio::piped()).spawn() else {
            eprintln!("SKIPPED: there is no dbus-daemon");
            return None;
        };
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().expect("a pipe")).read_line(&mut address).expect("the bus's address");
        Some(Self { daemon, address: address.trim().to_owned() })
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

struct FileChooser {
    asked: SyncSender<OwnedObjectPath>,
}

#[interface(name = "org.freedesktop.portal.FileChooser")]
impl FileChooser {
    fn open_file(
        &self,
        #[zbus(header)] header: zbus::message::Header<'_>,
        _parent: &str,
        _title: &str,
        options: Options,
    ) -> OwnedObjectPath {
        let sender = header.sender().expect("a sender").trim_start_matches(':').replace('.', "_");
        let Value::Str(token) = &*options["handle_token"] else { panic!("{options:?}") };
        let path = format!("/org/freedesktop/portal/desktop/request/{sender}/{token}");
        let path = OwnedObjectPath::try_from(path).expect("a path");
        self.asked.send(path.clone()).expect("a test that waits");
        path
    }
}
