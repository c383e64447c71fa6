//! What the program is, what it runs on and is built on; to be read, and copied into a report.

use std::path::Path;

use eframe::egui::{self, Align, Context, Label, Layout, RichText, ScrollArea, Ui};
use tr::tr;

use super::state::{Action, State};
use super::{command_button, theme, window_over_grid};
use crate::about::{Part, crate_version, libraries, licences, program, system};
use crate::command::Command;
use crate::language::translate;

/// Width of the window and of the column of names, in points.
const WIDTH: f32 = 640.0;
const NAMES_WIDTH: f32 = 190.0;
/// Crates whose versions say most about a mistake.
const CRATES: [&str; 4] = ["egui", "winit", "tch", "image"];

/// What is told, made once when the panel opens.
pub(crate) struct About {
    facts: Vec<(&'static str, String)>,
    libraries: Vec<Part>,
    licences: Vec<(String, String)>,
}

impl About {
    /// With the log and the reports in this folder.
    pub(crate) fn new(state: &State, logs: &Path) -> Self {
        let device = state.model.as_ref().map_or("no model has been loaded yet".into(), |model| model.device.clone());
        let facts = vec![
            ("Version", program()),
            ("Computes on", device),
            ("System", system()),
            ("Log and reports", logs.display().to_string()),
        ];
        Self { facts, libraries: libraries(), licences: licences() }
    }

    /// For a report: nothing of the user's but the path of the log.
    pub(crate) fn details(&self) -> String {
        let facts = self.facts.iter().map(|(what, value)| format!("{what}: {value}\n"));
        let parts = self.libraries.iter().filter(|part| !part.version.is_empty());
        let parts = parts.map(|part| format!("{}: {}\n", part.name, part.version));
        let crates = CRATES.iter().filter_map(|name| Some(format!("{name}: {}\n", crate_version(name)?)));
        facts.chain(parts).chain(crates).collect()
    }
}

/// That the program ended unexpectedly, and where the report of it lies.
pub(crate) fn crash_text(report: &Path) -> String {
    tr!(
        "Florascope ended unexpectedly the last time, or a part of it failed. What was indexed is kept, and nothing was \
         sent. For whoever is to look into it, a report lies at {}",
        report.display()
    )
}

/// A window over the grid. `about` becomes `None` when it is closed.
pub(crate) fn about_ui(ctx: &Context, about: &mut Option<About>, actions: &mut Vec<Action>) {
    let Some(shown) = about else { return };
    let mut open = true;
    let height = (ctx.content_rect().height() - 240.0).clamp(120.0, 480.0);
    window_over_grid(tr!("About Florascope"), &mut open).show(ctx, |ui| {
        ui.set_width(WIDTH.min(ctx.content_rect().width() - 80.0));
        ui.horizontal(|ui| {
            ui.label(RichText::new(program()).heading());
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                command_button(ui, Command::CopyDetails, actions);
            });
        });
        ui.weak(tr!("Nothing leaves this computer: no photo, no report, no count of anything."));
        ui.add_space(theme::GAP);
        ScrollArea::vertical().min_scrolled_height(height).max_height(height).show(ui, |ui| contents_ui(ui, shown));
    });
    if !open {
        *about = None;
    }
}

fn contents_ui(ui: &mut Ui, about: &About) {
    rows_ui(ui, about.facts.iter().skip(1).map(|(what, value)| (translate(what), translate(value))));
    heading(ui, tr!("Built on"));
    let parts = about.libraries.iter().map(|part| {
        let version = if part.version.is_empty() { String::new() } else { format!("{}, ", part.version) };
        (part.name.clone(), format!("{version}{}", part.licence))
    });
    rows_ui(ui, parts);
    heading(ui, tr!("Fonts, and Rust crates by their licence"));
    rows_ui(ui, about.licences.iter().cloned());
    heading(ui, tr!("Licence"));
    ui.label(tr!("Florascope is under the MIT licence or the Apache licence 2.0, at your choice."));
    for (name, text) in [
        (tr!("MIT licence"), include_str!("../../LICENSE-MIT")),
        (tr!("Apache licence 2.0"), include_str!("../../LICENSE-APACHE")),
    ] {
        ui.collapsing(name, |ui| ui.add(Label::new(RichText::new(text).small()).wrap()));
    }
}

fn heading(ui: &mut Ui, text: String) {
    ui.add_space(theme::WIDE_GAP);
    ui.label(RichText::new(text).strong().size(theme::TITLE_SIZE));
}

fn rows_ui(ui: &mut Ui, rows: impl Iterator<Item = (String, String)>) {
    let names = NAMES_WIDTH.min(ui.available_width() / 3.0);
    let values = ui.available_width() - names - theme::WIDE_GAP;
    for (name, value) in rows {
        ui.horizontal_top(|ui| {
            cell_ui(ui, names, RichText::new(name));
            cell_ui(ui, values, RichText::new(value).weak());
        });
    }
}

fn cell_ui(ui: &mut Ui, width: f32, text: RichText) {
    ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        ui.add(Label::new(text).wrap().selectable(true));
    });
}
