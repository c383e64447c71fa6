//! What a Linux desktop tells over D-Bus. A bus or a service that does not answer costs a few seconds, not for ever.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use async_io::Timer;
use futures_lite::future;
use zbus::zvariant::{DynamicType, OwnedValue, Value};
use zbus::{Connection, Message, block_on};

use super::paths::file_uri;

/// How long an answer may take; a file manager that has to be started takes a moment.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the file manager to show the file selected in its folder; tells whether it does.
pub(super) fn show_in_file_manager(path: &Path) -> bool {
    let (service, object) = ("org.freedesktop.FileManager1", "/org/freedesktop/FileManager1");
    call(service, object, service, "ShowItems", &(vec![file_uri(path)], "")).is_ok()
}

/// Shows a notification.
pub(super) fn notify(title: &str, body: &str) -> zbus::Result<()> {
    let service = "org.freedesktop.Notifications";
    let hints = HashMap::from([("desktop-entry", Value::from("florascope"))]);
    // It replaces none, has no buttons, and stays as long as such things stay here. Some services take the body for HTML.
    let body = body.replace('&', "&amp;").replace('<', "&lt;");
    let arguments = ("Florascope", 0u32, "florascope", title, body, Vec::<&str>::new(), hints, -1i32);
    call(service, "/org/freedesktop/Notifications", service, "Notify", &arguments).map(drop)
}

/// Whether the desktop prefers dark windows; `None` where it does not say.
pub(super) fn prefers_dark() -> Option<bool> {
    let (service, object) = ("org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop");
    let setting = ("org.freedesktop.appearance", "color-scheme");
    let reply = call(service, object, "org.freedesktop.portal.Settings", "Read", &setting).ok()?;
    let value: OwnedValue = reply.body().deserialize().ok()?;
    match innermost(&value) {
        Value::U32(1) => Some(true),
        Value::U32(2) => Some(false),
        _ => None,
    }
}

/// The portal wraps its settings once more than it has to.
fn innermost<'a>(value: &'a Value<'a>) -> &'a Value<'a> {
    match value {
        Value::Value(inner) => innermost(inner),
        value => value,
    }
}

fn call(
    service: &str,
    object: &str,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<Message> {
    let ask = async {
        let bus = Connection::session().await?;
        bus.call_method(Some(service), object, Some(interface), method, arguments).await
    };
    let give_up = async {
        Timer::after(PATIENCE).await;
        Err(zbus::Error::Failure(format!("{service} does not answer")))
    };
    block_on(future::or(ask, give_up))
}
