//! What the window remembers from one start to the next. A small JSON file, replaced whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Survives};
use crate::device::DeviceChoice;
use crate::language::LanguageChoice;
use crate::query::Order;

/// Light or dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThemeChoice {
    #[default]
    #[serde(rename = "System")]
    System,
    #[serde(rename = "Light")]
    Light,
    #[serde(rename = "Dark")]
    Dark,
}

/// The window's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub theme: ThemeChoice,
    pub language: LanguageChoice,
    /// Width and height of the window, in points.
    pub window: [f32; 2],
    pub maximized: bool,
    /// The side of a thumbnail in the grid, in points.
    pub tile_side: f32,
    /// Results of a query; `None` for all.
    pub results: Option<usize>,
    /// Of photos without a query.
    pub order: Order,
    pub sidebar: bool,
    pub device: DeviceChoice,
    /// How likely results have to be to be shown, by library and model; 0 where it is not told.
    pub thresholds: BTreeMap<String, f32>,
}

/// The smallest and largest thumbnail in the grid, in points.
pub(crate) const TILE_SIDES: std::ops::RangeInclusive<f32> = 72.0..=320.0;

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            language: LanguageChoice::System,
            window: [1280.0, 800.0],
            maximized: false,
            tile_side: 168.0,
            results: Some(100),
            order: Order::Name,
            sidebar: true,
            device: DeviceChoice::Auto,
            thresholds: BTreeMap::new(),
        }
    }
}

/// Why the settings of the last time are not used.
#[derive(Debug, thiserror::Error)]
#[error("The settings could not be read, so the standard ones are used ({error}): {path}", path = .path.display())]
pub struct SettingsError {
    path: PathBuf,
    error: io::Error,
}

impl Settings {
    /// Reads the settings; where there are none yet, they are the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn load(file: &Path) -> Result<Self, SettingsError> {
        let read = std::fs::read(file).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        let mut settings: Self = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            read => read.map_err(|error| SettingsError { path: file.to_owned(), error })?,
        };
        settings.tile_side = settings.tile_side.clamp(*TILE_SIDES.start(), *TILE_SIDES.end());
        settings.window = settings.window.map(|side| side.clamp(400.0, 10_000.0));
        Ok(settings)
    }

    /// How likely results have to be, for a library and model.
    pub(crate) fn threshold(&self, key: &str) -> f32 {
        self.thresholds.get(key).map_or(0.0, |threshold| threshold.clamp(0.0, 1.0))
    }

    /// Writes the settings, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self, file: &Path) -> io::Result<()> {
        atomic_file::write(file, &serde_json::to_vec_pretty(self)?, Survives::Kill)
    }
}

/// Keeps the settings' file as the window's settings are, on a thread of its own. What was told last is on disk when
/// this is dropped.
pub(crate) struct SettingsFile {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    settings: Option<Settings>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for settings to write; `None` at the end.
    fn next(&self) -> Option<Settings> {
        let mut waiting = self.lock();
        loop {
            if let Some(settings) = waiting.settings.take() {
                return Some(settings);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl SettingsFile {
    /// Starts the thread. `failed` is told the first time that they cannot be written.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(file: PathBuf, failed: impl FnOnce(String) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        let write = move || {
            let mut failed = Some(failed);
            while let Some(settings) = theirs.next() {
                if let Err(error) = settings.save(&file)
                    && let Some(failed) = failed.take()
                {
                    failed(format!("The settings cannot be kept ({error}): {}", file.display()));
                }
            }
        };
        let thread = std::thread::Builder::new().name("settings".into()).spawn(write)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has the settings written. Never waits; of several that come while the disk is busy, only the last are written.
    pub(crate) fn save(&self, settings: Settings) {
        self.shared.lock().settings = Some(settings);
        self.shared.changed.notify_one();
    }
}

impl Drop for SettingsFile {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        assert_eq!(Settings::load(&file).unwrap(), Settings::default());
        let settings = Settings {
            theme: ThemeChoice::Dark,
            results: None,
            tile_side: 200.0,
            device: DeviceChoice::Cpu,
            ..Settings::default()
        };
        settings.save(&file).unwrap();
        assert_eq!(Settings::load(&file).unwrap(), settings);
        std::fs::write(&file, b"{\"tile_side\": -5, \"unknown\": 1}").unwrap();
        assert_eq!(Settings::load(&file).unwrap().tile_side, 72.0);
        std::fs::write(&file, b"{").unwrap();
        let message = Settings::load(&file).unwrap_err().to_string();
        assert!(message.ends_with(&file.display().to_string()), "{message}");
    }

    #[test]
    fn the_last_settings_are_on_disk_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        let kept = SettingsFile::start(file.clone(), |_| unreachable!()).unwrap();
        for side in 80..120 {
            kept.save(Settings { tile_side: side as f32, ..Settings::default() });
        }
        drop(kept);
        assert_eq!(Settings::load(&file).unwrap().tile_side, 119.0);
    }
}
