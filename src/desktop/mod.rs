//! What only the desktop can do: its file dialogs, its photo viewer, its file manager, its choice of light or dark.
//! Each may take long, so each has a thread for a moment; answers come back through [`Desktop::take`].

#[cfg(target_os = "linux")]
mod dbus;
#[cfg(target_os = "linux")]
mod listener;
mod offer;
mod paths;
#[cfg(target_os = "linux")]
mod wayland;
#[cfg(target_os = "linux")]
mod x11;

use std::path::{Path, PathBuf};
#[cfg(not(target_os = "linux"))]
use std::process::{Command, Stdio};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use image::RgbImage;
use raw_window_handle::{HasDisplayHandle, HasWindowHandle};
#[cfg(target_os = "linux")]
use raw_window_handle::{RawDisplayHandle, RawWindowHandle};
use rfd::FileDialog;

use self::offer::{Way, take_text};
pub use self::paths::{file_uri, pasted_path};
use tr::tr;

use crate::artefact::{EXTENSION, ModelId};
use crate::decode::EXTENSIONS;
use crate::metadata::FileFacts;
use crate::searches::Kept;

/// What a path is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A folder to open.
    Folder,
    /// A photo to search with.
    Photo,
    /// A model's file to import.
    Model,
    /// A file of a network's weights.
    Weights,
    /// Where to write the model of this id and title.
    Export { id: ModelId, title: String },
}

/// A path with what is to be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Folder(PathBuf),
    Photo(PathBuf),
    /// Several at once.
    Photos(Arc<[PathBuf]>),
    Model(PathBuf),
    Weights(PathBuf),
    Export {
        id: ModelId,
        path: PathBuf,
    },
}

/// What the desktop answers.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// What was dropped or pasted.
    Dropped(Choice),
    /// What the program was started with.
    Argument(Choice),
    /// What was typed, or why that cannot be used.
    Typed(Result<Choice, String>),
    /// The end of a dialog; `None` where nothing was chosen, or the system has no dialog.
    Dialog(Option<Choice>),
    /// Whether something is being dragged above the window.
    Hovering(bool),
    /// Files or folders that were dropped or pasted.
    Paths(Vec<PathBuf>),
    /// A picture that was dropped or pasted, as [`crate::query::Query::Picture`] keeps it.
    Pasted(Arc<[u8]>),
    /// The folders that were opened before, the last one first.
    Recent(Vec<PathBuf>),
    /// The searches of before in the library of this folder.
    Searches {
        folder: PathBuf,
        searches: Vec<Kept>,
    },
    /// The picture of a photo that waits for a folder, or why it cannot be searched with.
    WaitingPicture(Result<RgbImage, String>),
    /// What a file tells of itself beyond the catalog.
    FileFacts(FileFacts),
    /// The system prefers dark windows, or light ones.
    Dark(bool),
    Failed(String),
}

/// The desktop, as the window asks it.
pub(crate) struct Desktop {
    // Goes first, so that no thread that is waited for waits to be heard.
    answers: Receiver<Answer>,
    sender: Sender<Answer>,
    wake: Wake,
    /// Hears of drops and the clipboard where the window toolkit does not.
    #[cfg(target_os = "linux")]
    listener: Option<listener::Listener>,
}

/// Has the window look at the answers.
type Wake = Arc<dyn Fn() + Send + Sync>;

impl Desktop {
    /// `wake` is called after every answer.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (sender, answers) = bounded(16);
        Self {
            answers,
            sender,
            wake: Arc::new(wake),
            #[cfg(target_os = "linux")]
            listener: None,
        }
    }

    /// Listens for drops and the clipboard on behalf of a window, as far as its toolkit does not.
    ///
    /// # Safety
    /// The display that the window is on outlives this.
    pub(crate) unsafe fn listen(&mut self, window: &(impl HasDisplayHandle + HasWindowHandle)) {
        #[cfg(target_os = "linux")]
        {
            let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
            let display = window.display_handle().map(|handle| handle.as_raw());
            let started = match (display, window.window_handle().map(|handle| handle.as_raw())) {
                // SAFETY: the caller's promise.
                (Ok(RawDisplayHandle::Wayland(handle)), _) => unsafe { wayland::listen(handle.display, sender, wake) },
                (_, Ok(RawWindowHandle::Xlib(handle))) => x11::listen(handle.window as u32, sender, wake),
                (_, Ok(RawWindowHandle::Xcb(handle))) => x11::listen(handle.window.get(), sender, wake),
                _ => return,
            };
            match started {
                Ok(listener) => self.listener = Some(listener),
                Err(error) => log::warn!("Drops and the clipboard are not heard of: {error}"),
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = window;
    }

    /// Fetches what the clipboard holds, of which the window toolkit has found `text`; `false` where more than that is for
    /// the toolkit to fetch.
    pub(crate) fn paste(&self, text: Option<&str>) -> bool {
        #[cfg(target_os = "linux")]
        if self.listener.as_ref().is_some_and(|listener| listener.paste(text.map(ToOwned::to_owned))) {
            return true;
        }
        let Some(text) = text.map(ToOwned::to_owned) else { return false };
        self.run("paste", move || Some(take_text(Way::Clipboard, &text)));
        true
    }

    /// The answers since the last call.
    pub(crate) fn take(&self) -> Vec<Answer> {
        self.answers.try_iter().collect()
    }

    /// Lets the user choose a file or folder in the system's dialog. Answers once with [`Answer::Dialog`], or, where the
    /// system's service for dialogs hangs, never.
    pub(crate) fn ask_for_path(&self, purpose: Purpose) {
        self.run("dialog", || Some(Answer::Dialog(choose(purpose))));
    }

    /// Finds out whether what was dropped or pasted is a folder or files: the first folder, or else all files.
    pub(crate) fn classify(&self, paths: Vec<PathBuf>) {
        self.run("classify", move || {
            let mut photos = Vec::new();
            for path in paths {
                match paths::folder_or_photo(path.clone()) {
                    Ok(Choice::Photo(path)) => photos.push(path),
                    Ok(choice) => return Some(Answer::Dropped(choice)),
                    Err(why) => return Some(Answer::Failed(format!("{why}: {}", path.display()))),
                }
            }
            match photos.as_slice() {
                [] => None,
                [photo] => Some(Answer::Dropped(Choice::Photo(photo.clone()))),
                _ => Some(Answer::Dropped(Choice::Photos(photos.into()))),
            }
        });
    }

    /// Finds out whether the program was started with a folder or a photo. What cannot be looked at is taken for a folder:
    /// whoever opens it says why that cannot be done.
    pub(crate) fn classify_argument(&self, path: PathBuf) {
        self.run("classify", move || {
            let choice = paths::folder_or_photo(path.clone()).unwrap_or(Choice::Folder(path));
            Some(Answer::Argument(choice))
        });
    }

    /// Finds out what a path that was typed leads to.
    pub(crate) fn check_typed(&self, text: String, purpose: Purpose) {
        self.run("classify", move || Some(Answer::Typed(paths::typed(&text, &purpose))));
    }

    /// Opens a file in the program that the system uses for it.
    pub(crate) fn open(&self, path: PathBuf) {
        self.run("open", move || {
            let error = open::that_detached(&path).err()?;
            Some(Answer::Failed(format!("No program opened this photo ({error}): {}", path.display())))
        });
    }

    /// Shows a file in the file manager.
    pub(crate) fn show_in_file_manager(&self, path: PathBuf) {
        self.run("file-manager", move || {
            if reveal(&path) {
                return None;
            }
            let folder = path.parent().unwrap_or(&path);
            let error = open::that_detached(folder).err()?;
            Some(Answer::Failed(format!("No file manager opened ({error}): {}", folder.display())))
        });
    }

    /// Tells a user who looks elsewhere of something, where the desktop has a way for that.
    pub(crate) fn notify(&self, title: String, body: String) {
        self.run("notification", move || {
            notify(&title, &body);
            None
        });
    }

    /// Finds out whether the system prefers dark windows; no answer where it does not say.
    pub(crate) fn ask_for_theme(&self) {
        self.run("theme", || prefers_dark().map(Answer::Dark));
    }

    /// A way to say what went wrong elsewhere.
    pub(crate) fn teller(&self) -> impl FnOnce(String) + Send + 'static {
        let (answers, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        move |message| {
            // Full only where nobody has looked at the answers for long.
            let _ = answers.try_send(Answer::Failed(message));
            wake();
        }
    }

    /// Does something that may take long on a thread of its own; what it gives is among the answers.
    pub(crate) fn run(&self, name: &str, work: impl FnOnce() -> Option<Answer> + Send + 'static) {
        let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Some(answer) = work() {
                let _ = sender.send(answer);
                wake();
            }
        });
        if let Err(error) = started {
            // Full only where nobody has looked at the answers for long.
            let _ = self.sender.try_send(Answer::Failed(format!("A thread could not be started: {error}")));
            (self.wake)();
        }
    }
}

/// Shows the system's dialog until the user has chosen. `None` also where it has none: that cannot be told apart here.
fn choose(purpose: Purpose) -> Option<Choice> {
    let dialog = FileDialog::new();
    let all_files = |dialog: FileDialog| dialog.add_filter(tr!("All files"), &["*"]);
    match purpose {
        Purpose::Folder => dialog.set_title(tr!("Open a folder of photos")).pick_folder().map(Choice::Folder),
        Purpose::Photo => {
            let dialog = dialog.set_title(tr!("Choose a photo to search with")).add_filter(tr!("Photos"), EXTENSIONS);
            all_files(dialog).pick_file().map(Choice::Photo)
        }
        Purpose::Model => {
            let dialog = dialog.set_title(tr!("Import a model")).add_filter(tr!("Models"), &[EXTENSION]);
            all_files(dialog).pick_file().map(Choice::Model)
        }
        Purpose::Weights => {
            let dialog = dialog.set_title(tr!("Load a network's weights"));
            let dialog = dialog.add_filter(tr!("Weights"), &["safetensors", "pt", "pth", "bin"]);
            all_files(dialog).pick_file().map(Choice::Weights)
        }
        Purpose::Export { id, title } => {
            let dialog = dialog.set_title(tr!("Export the model")).add_filter(tr!("Models"), &[EXTENSION]);
            let path = dialog.set_file_name(paths::file_name(&title)).save_file()?;
            Some(Choice::Export { id, path: paths::with_extension(path) })
        }
    }
}

/// Asks the file manager to show the file selected in its folder.
#[cfg(target_os = "linux")]
fn reveal(path: &Path) -> bool {
    dbus::show_in_file_manager(path)
}

#[cfg(not(target_os = "linux"))]
fn reveal(path: &Path) -> bool {
    let (program, option) = if cfg!(target_os = "macos") { ("open", "-R") } else { ("explorer", "/select,") };
    let mut command = Command::new(program);
    let status =
        command.arg(option).arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn notify(title: &str, body: &str) {
    #[cfg(target_os = "linux")]
    if let Err(error) = dbus::notify(title, body) {
        log::info!("The desktop shows no notifications: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    log::info!("{title}: {body}");
}

/// The desktop's setting on Linux; elsewhere the window toolkit knows it.
fn prefers_dark() -> Option<bool> {
    #[cfg(target_os = "linux")]
    return dbus::prefers_dark();
    #[cfg(not(target_os = "linux"))]
    None
}
