//! A desktop's service for notifications, as far as a program that sends one sees it, on a bus of its own.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use zbus::zvariant::OwnedValue;
use zbus::{Connection, block_on, conn, interface};

use super::portal::Bus;

/// The service. Its bus ends with this value.
pub struct Notifications {
    bus: Bus,
    _connection: Connection,
    sent: Receiver<(String, String)>,
}

impl Notifications {
    /// Starts a bus and the service on it; `None`, and a word about it, where no bus is installed.
    pub fn start() -> Option<Self> {
        let bus = Bus::start()?;
        let (sender, sent) = sync_channel(8);
        let connection = block_on(async {
            conn::Builder::address(bus.address())?
                .serve_at("/org/freedesktop/Notifications", Service { sent: sender })?
                .name("org.freedesktop.Notifications")?
                .build()
                .await
        });
        Some(Self { bus, _connection: connection.expect("a service"), sent })
    }

    /// Where programs find the bus.
    pub fn address(&self) -> &str {
        self.bus.address()
    }

    /// Waits for a notification: its title and its text.
    pub fn wait(&self) -> (String, String) {
        self.sent.recv_timeout(Duration::from_secs(120)).expect("a notification")
    }

    /// Whether there is one that nobody has waited for.
    pub fn has_more(&self) -> bool {
        self.sent.try_recv().is_ok()
    }
}

struct Service {
    sent: SyncSender<(String, String)>,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Service {
    #[expect(clippy::too_many_arguments, reason = "so the protocol has it")]
    fn notify(
        &self,
        _program: &str,
        _replaces: u32,
        _icon: &str,
        title: String,
        text: String,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        self.sent.send((title, text)).expect("a test that waits");
        1
    }
}
