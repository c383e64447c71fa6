//! What the window remembers from one start to the next. A small JSON file, replaced whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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
            order: Order::Folder,
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

    /// The file's content.
    ///
    /// # Errors
    /// When a value has no form in JSON.
    pub(crate) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
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
        std::fs::write(&file, settings.to_bytes().unwrap()).unwrap();
        assert_eq!(Settings::load(&file).unwrap(), settings);
        std::fs::write(&file, b"{\"tile_side\": -5, \"unknown\": 1}").unwrap();
        assert_eq!(Settings::load(&file).unwrap().tile_side, 72.0);
        std::fs::write(&file, b"{").unwrap();
        let message = Settings::load(&file).unwrap_err().to_string();
        assert!(message.ends_with(&file.display().to_string()), "{message}");
    }
}
