//! What only the desktop can do: its file dialogs, its photo viewer, its file manager, its choice of light or dark.
//! Each may take long, so each has a thread for a moment; answers come back through [`Desktop::take`].

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::artefact::EXTENSION;
use crate::decode::EXTENSIONS;

/// Nobody cancels a dialog sooner than this.
const FASTEST_HAND: Duration = Duration::from_millis(300);

/// What the desktop answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Folder(PathBuf),
    Photo(PathBuf),
    /// A model's file to take in.
    Model(PathBuf),
    /// A file of a network's weights.
    Weights(PathBuf),
    /// Where to write the model of this id.
    Export {
        id: String,
        path: PathBuf,
    },
    /// The system prefers dark windows, or light ones.
    Dark(bool),
    Failed(String),
}

/// The desktop, as the window asks it.
pub struct Desktop {
    answers: Receiver<Answer>,
    sender: Sender<Answer>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Desktop {
    /// `wake` is called after every answer.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, answers) = bounded(16);
        Self { answers, sender, wake: Arc::new(wake) }
    }

    /// The answers since the last call.
    pub fn take(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Lets the user choose a folder.
    pub fn choose_folder(&self) {
        self.ask("dialog", || {
            rfd::FileDialog::new().set_title("Open a folder of photos").pick_folder().map(Answer::Folder)
        });
    }

    /// Lets the user choose a photo.
    pub fn choose_photo(&self) {
        self.ask("dialog", || {
            let dialog = rfd::FileDialog::new().set_title("Choose a photo to search with");
            let dialog = dialog.add_filter("Photos", EXTENSIONS).add_filter("All files", &["*"]);
            answer_of_dialog(|| dialog.pick_file().map(Answer::Photo))
        });
    }

    /// Lets the user choose an exported model.
    pub fn choose_model(&self) {
        self.ask("dialog", || {
            let dialog = rfd::FileDialog::new().set_title("Import a model").add_filter("Models", &[EXTENSION]);
            answer_of_dialog(|| dialog.add_filter("All files", &["*"]).pick_file().map(Answer::Model))
        });
    }

    /// Lets the user choose a file of weights.
    pub fn choose_weights(&self) {
        self.ask("dialog", || {
            let dialog = rfd::FileDialog::new().set_title("Load a network's weights");
            let dialog = dialog.add_filter("Weights", &["safetensors", "pt", "pth", "bin"]);
            answer_of_dialog(|| dialog.add_filter("All files", &["*"]).pick_file().map(Answer::Weights))
        });
    }

    /// Lets the user choose where to write a model to.
    pub fn choose_export(&self, id: String, title: &str) {
        let name: String = title.chars().map(|c| if "/\\:*?\"<>|".contains(c) { '-' } else { c }).collect();
        self.ask("dialog", move || {
            let dialog = rfd::FileDialog::new().set_title("Export the model").add_filter("Models", &[EXTENSION]);
            answer_of_dialog(|| {
                let path = dialog.set_file_name(format!("{name}.{EXTENSION}")).save_file()?;
                let path = if path.extension().is_none() { path.with_extension(EXTENSION) } else { path };
                Some(Answer::Export { id, path })
            })
        });
    }

    /// Finds out whether something that was dropped or pasted is a folder or a file.
    pub fn classify(&self, path: PathBuf) {
        self.ask("classify", move || {
            Some(match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => Answer::Folder(path),
                Ok(_) => Answer::Photo(path),
                Err(error) => Answer::Failed(format!("This cannot be opened ({error}): {}", path.display())),
            })
        });
    }

    /// Opens a file in the program that the system uses for it.
    pub fn open(&self, path: PathBuf) {
        self.ask("open", move || {
            let error = open::that_detached(&path).err()?;
            Some(Answer::Failed(format!("No program opened this photo ({error}): {}", path.display())))
        });
    }

    /// Shows a file in the file manager.
    pub fn show_in_file_manager(&self, path: PathBuf) {
        self.ask("file-manager", move || {
            if reveal(&path) {
                return None;
            }
            let folder = path.parent().unwrap_or(&path);
            let error = open::that_detached(folder).err()?;
            Some(Answer::Failed(format!("No file manager opened ({error}): {}", folder.display())))
        });
    }

    /// Finds out whether the system prefers dark windows; no answer where it does not say.
    pub fn ask_for_theme(&self) {
        self.ask("theme", || prefers_dark().map(Answer::Dark));
    }

    fn ask(&self, name: &str, work: impl FnOnce() -> Option<Answer> + Send + 'static) {
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Some(answer) = work() {
                let _ = sender.send(answer);
                wake();
            }
        });
        if let Err(error) = started {
            log::error!("A thread could not be started: {error}");
        }
    }
}

/// A dialog that could not be shown looks like one that was cancelled, only faster than any hand.
fn answer_of_dialog(show: impl FnOnce() -> Option<Answer>) -> Option<Answer> {
    let started = Instant::now();
    show().or_else(|| {
        (started.elapsed() < FASTEST_HAND).then(|| {
            let advice = "install xdg-desktop-portal or zenity. Folders and photos can also be dropped on the window";
            Answer::Failed(format!("The system has no file dialog; {advice}"))
        })
    })
}

/// Asks the file manager to show the file selected in its folder.
fn reveal(path: &Path) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        let mut command = Command::new("open");
        command.arg("-R").arg(path);
        command
    } else if cfg!(windows) {
        let mut command = Command::new("explorer");
        command.arg("/select,").arg(path);
        command
    } else {
        let mut command = Command::new("dbus-send");
        command.args(["--session", "--print-reply", "--reply-timeout=3000"]);
        command.args(["--dest=org.freedesktop.FileManager1", "/org/freedesktop/FileManager1"]);
        command.arg("org.freedesktop.FileManager1.ShowItems");
        command.args([format!("array:string:{}", file_uri(path)), "string:".into()]);
        command
    };
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A path as a `file:` address. A comma, too, is encoded: `dbus-send` takes it for the end of an item.
pub fn file_uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in crate::photo::path_to_bytes(path) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => uri.push(char::from(byte)),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

/// A path out of pasted text: a plain absolute path, or a `file:` address as file managers copy it. `None` for any
/// other text.
pub fn pasted_path(text: &str) -> Option<PathBuf> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !matches!(*line, "copy" | "cut"))?;
    let Some(encoded) = line.strip_prefix("file://") else {
        return Some(PathBuf::from(line)).filter(|path| path.is_absolute());
    };
    let encoded = &encoded.as_bytes()[encoded.find('/')?..];
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(&byte) = encoded.get(at) {
        let hex = encoded.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                at += 3;
            }
            None => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    Some(crate::photo::bytes_to_path(&bytes))
}

/// The desktop's setting on Linux; elsewhere the window toolkit knows it.
fn prefers_dark() -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let output = Command::new("dbus-send")
        .args(["--session", "--print-reply=literal", "--reply-timeout=1000", "--dest=org.freedesktop.portal.Desktop"])
        .args(["/org/freedesktop/portal/desktop", "org.freedesktop.portal.Settings.Read"])
        .args(["string:org.freedesktop.appearance", "string:color-scheme"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    match String::from_utf8_lossy(&output.stdout).split_whitespace().last() {
        Some("1") => Some(true),
        Some("2") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_text_may_be_a_path() {
        let path = |text| pasted_path(text).map(|path| path.display().to_string());
        assert_eq!(path("/home/a/rose 1.jpg").as_deref(), Some("/home/a/rose 1.jpg"));
        assert_eq!(path("copy\nfile:///home/a/rose%201.jpg\n").as_deref(), Some("/home/a/rose 1.jpg"));
        assert_eq!(path("file://localhost/a%2Cb.jpg").as_deref(), Some("/a,b.jpg"));
        assert_eq!(path("100% roses"), None);
    }

    #[test]
    fn an_address_leads_back_to_its_path() {
        let path = Path::new("/garden, north/100%/r\u{f6}schen.jpg");
        assert_eq!(file_uri(path), "file:///garden%2C%20north/100%25/r%C3%B6schen.jpg");
        assert_eq!(pasted_path(&file_uri(path)).as_deref(), Some(path));
    }
}
