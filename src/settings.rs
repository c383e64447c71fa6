//! What the window remembers from one start to the next. A small JSON file, replaced whole.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Survives};
use crate::device::DeviceChoice;

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
    /// Width and height of the window, in points.
    pub window: [f32; 2],
    pub maximized: bool,
    /// The side of a thumbnail in the grid, in points.
    pub tile_side: f32,
    /// Results of a query; `None` for all.
    pub results: Option<usize>,
    pub sidebar: bool,
    pub device: DeviceChoice,
}

/// The smallest and largest thumbnail in the grid, in points.
pub const TILE_SIDES: std::ops::RangeInclusive<f32> = 72.0..=320.0;

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::System,
            window: [1280.0, 800.0],
            maximized: false,
            tile_side: 168.0,
            results: Some(100),
            sidebar: true,
            device: DeviceChoice::Auto,
        }
    }
}

impl Settings {
    /// Reads the settings; where the file is missing or damaged, they are the defaults.
    pub fn load(file: &Path) -> Self {
        let read = std::fs::read(file).ok();
        let mut settings: Self = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        settings.tile_side = settings.tile_side.clamp(*TILE_SIDES.start(), *TILE_SIDES.end());
        settings.window = settings.window.map(|side| side.clamp(400.0, 10_000.0));
        settings
    }

    /// Writes the settings, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        atomic_file::write(file, &serde_json::to_vec_pretty(self)?, Survives::Kill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_and_damage_gives_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        assert_eq!(Settings::load(&file), Settings::default());
        let settings = Settings {
            theme: ThemeChoice::Dark,
            results: None,
            tile_side: 200.0,
            device: DeviceChoice::Cpu,
            ..Settings::default()
        };
        settings.save(&file).unwrap();
        assert_eq!(Settings::load(&file), settings);
        std::fs::write(&file, b"{\"tile_side\": -5, \"unknown\": 1}").unwrap();
        assert_eq!(Settings::load(&file).tile_side, 72.0);
        std::fs::write(&file, b"{").unwrap();
        assert_eq!(Settings::load(&file), Settings::default());
    }
}
