//! What goes to standard output and standard error: lines for people, JSON for programs.
//!
//! A file may be called anything. People see its name with all that a terminal would obey, and all that is no text,
//! spelt out; programs get its bytes, too, where these are no text.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::Path;

use base64ct::{Base64, Encoding};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::catalog::Problem;
use crate::job::Progress;
use crate::metadata::Metadata;
use crate::photo::path_to_bytes;
use crate::scan::{Account, OtherKind};
use crate::text::escape;

/// A progress bar on a terminal; nothing elsewhere, and nothing with `--json`.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(json: bool) -> Self {
        let visible = !json && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self(ProgressBar::with_draw_target(None, target))
    }

    pub(super) fn show(&self, progress: &Progress) {
        let style = match progress.total {
            Some(_) => "{msg} {bar:30} {pos}/{len}",
            None => "{msg} {pos} {spinner}",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            self.0.set_style(style);
        }
        if let Some(total) = progress.total {
            self.0.set_length(total);
        }
        self.0.set_position(progress.done);
        let rate = progress.rate.map(|rate| format!(", {rate:.0} a second")).unwrap_or_default();
        let left = progress.time_left().map(|left| format!(", {} s left", left.as_secs())).unwrap_or_default();
        self.0.set_message(format!("{}{rate}{left}", progress.stage.text()));
    }

    /// A line above the bar; also where there is none.
    pub(super) fn line(&self, text: &str) {
        self.0.suspend(|| print_error(text));
    }

    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Puts a path into a JSON object: as text, and where that loses something also its bytes, in Base64, under `NAME_bytes`.
pub(super) fn put_path(object: &mut Value, name: &str, path: &Path) {
    object[name] = json!(path.to_string_lossy());
    if path.to_str().is_none() {
        let bytes = path_to_bytes(path);
        let mut base64 = vec![0; Base64::encoded_len(&bytes)];
        // The room is exact.
        object[format!("{name}_bytes").as_str()] = json!(Base64::encode(&bytes, &mut base64).ok());
    }
}

/// Puts what is known of a photo into a JSON object; null where it is not known.
pub(super) fn put_metadata(object: &mut Value, metadata: &Metadata) {
    let Metadata { taken, camera, size, place } = metadata;
    object["taken"] = json!(taken.map(|taken| taken.to_string()));
    object["camera"] = json!(camera.as_deref());
    object["width"] = json!(size.map(|(width, _)| width));
    object["height"] = json!(size.map(|(_, height)| height));
    object["latitude"] = json!(place.map(|place| place.latitude));
    object["longitude"] = json!(place.map(|place| place.longitude));
}

/// A path on one line, with escapes for what is no text and for what is not printed.
pub(super) fn path_to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path_to_bytes(path).utf8_chunks() {
        text += &escape(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

pub(super) fn problems_json(problems: &[Problem]) -> Vec<Value> {
    let as_json = |problem: &Problem| {
        let mut one = json!({ "reason": problem.reason });
        put_path(&mut one, "path", &problem.path);
        one
    };
    problems.iter().map(as_json).collect()
}

/// Puts what a folder holds beside photos into a JSON object.
pub(super) fn put_account(object: &mut Value, account: &Account) {
    object["others"] = json!(account.others);
    let folder = |path: &Path| {
        let mut one = json!({});
        put_path(&mut one, "path", path);
        one
    };
    object["passed_over"] = account.passed_over.iter().map(|path| folder(&path.0)).collect();
    let away = |(path, photos): (&Path, u64)| {
        let mut one = folder(path);
        one["photos"] = json!(photos);
        one
    };
    object["away"] = account.away().map(away).collect();
}

/// What a folder holds beside photos: a line each for files, folders that were passed over, and drives that are away.
pub(super) fn print_account(account: &Account) -> std::io::Result<()> {
    let name = |kind: OtherKind| match kind {
        OtherKind::Videos => ("video", "videos"),
        OtherKind::Sidecars => ("sidecar file", "sidecar files"),
        OtherKind::Documents => ("document", "documents"),
        OtherKind::Sounds => ("sound", "sounds"),
        OtherKind::Other => ("other file", "other files"),
        OtherKind::Hidden => ("hidden file", "hidden files"),
        OtherKind::Links => ("link to what is here already", "links to what is here already"),
    };
    let counted = account.others.iter().map(|(kind, number)| count_of(*number, name(*kind).0, name(*kind).1));
    let counted: Vec<String> = counted.collect();
    if !counted.is_empty() {
        print_lines(&format!("Besides: {}", counted.join(", ")))?;
    }
    if !account.passed_over.is_empty() {
        let folders = count_of(account.passed_over.len() as u64, "folder", "folders");
        let names: Vec<String> = account.passed_over.iter().map(|path| path_to_text(&path.0)).collect();
        print_lines(&format!("Passed over: {folders}: {}", names.join(", ")))?;
    }
    for (path, photos) in account.away() {
        let photos = count_of(photos, "photo", "photos");
        print_lines(&format!("Away: {photos} on the drive at {}", path_to_text(path)))?;
    }
    Ok(())
}

pub(super) fn print_problems(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{}: {}", path_to_text(&problem.path), escape(&problem.reason));
    }
}

/// A message on standard error; it may name a file.
pub fn print_error(message: &str) {
    eprintln!("{}", escape(message));
}

/// Standard output may be a pipe that closes early; that is not this program's failure.
pub(super) fn print_lines(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

pub(super) fn print_json(value: &Value) -> std::io::Result<()> {
    print_lines(&format!("{value:#}"))
}

/// On one line, for streams of events.
pub(super) fn print_line_json(value: &Value) -> std::io::Result<()> {
    print_lines(&value.to_string())
}

/// A number of things, in the singular where it is one.
pub(super) fn count_of(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A number of bytes.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The day of a time in seconds since 1970, in universal time.
pub(super) fn day(time: u64) -> String {
    let time = i64::try_from(time).ok().and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    time.map_or_else(|| "at an unknown time".into(), |time| time.date().to_string())
}

/// A share from 0 to 1.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::bytes_to_path;

    #[test]
    fn a_name_is_one_line_and_moves_no_cursor() {
        let text = |bytes: &[u8]| path_to_text(&bytes_to_path(bytes));
        assert_eq!(text("Röschen/日本 👨‍👩‍👧.jpg".as_bytes()), "Röschen/日本 👨‍👩‍👧.jpg");
        assert_eq!(text(b"a\x1b[31m\nb\x07\x7f.jpg"), "a\\u{1b}[31m\\nb\\u{7}\\u{7f}.jpg");
        assert_eq!(text("a\u{202e}gpj.exe".as_bytes()), "a\\u{202e}gpj.exe");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_can_be_had_from_both() {
        let path = bytes_to_path(b"ros\xe9/\xff.jpg");
        assert_eq!(path_to_text(&path), "ros\\xe9/\\xff.jpg");
        let mut object = json!({});
        put_path(&mut object, "path", &path);
        assert_eq!(object["path"], "ros\u{fffd}/\u{fffd}.jpg");
        assert_eq!(object["path_bytes"], "cm9z6S//LmpwZw==");
        put_path(&mut object, "text", Path::new("rosé.jpg"));
        assert_eq!(object["text"], "rosé.jpg");
        assert!(object.get("text_bytes").is_none());
    }
}
