//! The window's panels, one file each. They draw what `state.rs` holds and send actions; all they change themselves is
//! what they alone have in hand: a text that is being typed, which of two lists is open.

pub(crate) mod about;
pub(crate) mod answer;
pub(crate) mod dates;
pub mod describe;
pub(crate) mod details;
pub(crate) mod drop_target;
pub mod frame_log;
pub mod grid;
pub(crate) mod header;
pub(crate) mod icons;
pub(crate) mod large;
pub(crate) mod libraries;
pub(crate) mod models;
pub(crate) mod moved;
pub(crate) mod nothing;
pub(crate) mod path_prompt;
pub(crate) mod problems;
pub(crate) mod shortcuts;
pub(crate) mod sidebar;
pub mod state;
pub(crate) mod status;
pub(crate) mod strip;
pub mod textures;
pub(crate) mod theme;
pub(crate) mod toasts;
pub(crate) mod top_bar;
pub mod train;
pub(crate) mod welcome;
pub(crate) mod zoom;

use std::sync::Arc;
use std::time::Duration;

use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{self, Color32, FontId, Galley, Response, RichText, Ui};
use tr::tr;

use crate::command::Command;
use icons::Icon;
use state::Action;

/// A window in the middle, over the grid, as large as what is in it. `open` becomes false when it is closed.
pub(crate) fn window_over_grid(title: String, open: &mut bool) -> egui::Window<'_> {
    let window = egui::Window::new(title).open(open).collapsible(false).resizable(false);
    window.anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO)
}

/// A button for a command, with its tooltip and shortcut.
pub(crate) fn command_button(ui: &mut Ui, command: Command, actions: &mut Vec<Action>) -> Response {
    let button = egui::Button::new(command.info().text);
    add_command(ui, command, button, true, actions)
}

/// The same, for the one thing to do next.
pub(crate) fn primary_button(ui: &mut Ui, command: Command, actions: &mut Vec<Action>) -> Response {
    let palette = theme::palette(ui);
    let text = RichText::new(command.info().text).color(palette.on_accent).size(theme::PRIMARY_SIZE);
    let button = egui::Button::new(text).fill(palette.accent).min_size(egui::vec2(180.0, 40.0));
    add_command(ui, command, button, true, actions)
}

/// A command's own button, which may be disabled.
pub(crate) fn add_command(
    ui: &mut Ui,
    command: Command,
    button: egui::Button<'_>,
    enabled: bool,
    actions: &mut Vec<Action>,
) -> Response {
    let mut response = ui.add_enabled(enabled, button);
    // One that was open would stay over a dialog that opens.
    if ui.ctx().memory(|memory| memory.allows_interaction(ui.layer_id())) {
        response = response.on_hover_text(tooltip_of(ui, command));
    }
    if response.clicked() {
        actions.push(Action::Command(command));
    }
    response
}

/// What a command does, and its shortcut.
pub(crate) fn tooltip_of(ui: &Ui, command: Command) -> String {
    let info = command.info();
    match info.shortcuts.first() {
        Some(shortcut) => format!("{} ({})", info.tooltip, keys(ui.ctx(), *shortcut)),
        None => info.tooltip,
    }
}

/// A command as a square button with an icon, of this side in points.
pub(crate) fn icon_command(
    ui: &mut Ui,
    icon: Icon,
    command: Command,
    enabled: bool,
    side: f32,
    actions: &mut Vec<Action>,
) {
    let button = icons::sized_icon_button(ui, icon, &command.info().text, enabled, side);
    if button.on_hover_text(tooltip_of(ui, command)).clicked() {
        actions.push(Action::Command(command));
    }
}

/// A text on one line that is no wider than this; what is cut off is told by an ellipsis.
pub(crate) fn one_line(ui: &Ui, text: String, font: FontId, color: Color32, room: f32) -> Arc<Galley> {
    let mut job = LayoutJob::simple_singleline(text, font, color);
    job.wrap = TextWrapping::truncate_at_width(room.max(0.0));
    ui.painter().layout_job(job)
}

/// A text of so many letters at most, with an ellipsis for what is cut off.
pub(crate) fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(['…']).collect()
}

/// A command as a line of a menu, its shortcut at the right.
pub(crate) fn menu_item(ui: &mut Ui, command: Command, enabled: bool, actions: &mut Vec<Action>) {
    let info = command.info();
    let mut button = egui::Button::new(info.text);
    if let Some(shortcut) = info.shortcuts.first() {
        button = button.shortcut_text(keys(ui.ctx(), *shortcut));
    }
    if add_command(ui, command, button, enabled, actions).clicked() {
        ui.close();
    }
}

/// A shortcut as it stands on the keys.
pub(crate) fn keys(ctx: &egui::Context, shortcut: egui::KeyboardShortcut) -> String {
    let named = [
        ("Questionmark", "?"),
        ("Slash", "/"),
        ("Escape", "Esc"),
        ("Plus", "+"),
        ("Minus", "−"),
        ("Equals", "="),
        ("Period", "."),
    ];
    let mut text = ctx.format_shortcut(&shortcut);
    for (name, key) in named {
        if let Some(held) = text.strip_suffix(name) {
            text = format!("{held}{key}");
        }
    }
    text
}

/// A number with thin spaces between its thousands, for people.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn photos_of(number: usize) -> String {
    tr!("{} photo" | "{} photos" % number, count(number))
}

pub(crate) fn files_of(number: usize) -> String {
    tr!("{} file" | "{} files" % number, count(number))
}

pub(crate) fn problems_of(number: usize) -> String {
    tr!("{} problem" | "{} problems" % number, count(number))
}

/// A duration as one would say it: no more exact than it can be known.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..90 => tr!("{} s", seconds.max(1)),
        seconds @ 90..5400 => tr!("{} min", (seconds + 30) / 60),
        seconds => tr!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A number of bytes for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes as f64 / 1e6 {
        megabytes if megabytes < 0.1 => format!("{:.0} KB", megabytes * 1e3),
        megabytes if megabytes < 10.0 => format!("{megabytes:.1} MB"),
        megabytes if megabytes < 1000.0 => format!("{megabytes:.0} MB"),
        megabytes => format!("{:.1} GB", megabytes / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1234567), "1\u{2009}234\u{2009}567");
        assert_eq!([photos_of(1), photos_of(2000)], ["1 photo", "2\u{2009}000 photos"]);
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        assert_eq!(megabytes(40_200), "40 KB");
        assert_eq!(megabytes(1_440_000), "1.4 MB");
        assert_eq!(megabytes(89_600_000), "90 MB");
        assert_eq!(megabytes(2_345_000_000), "2.3 GB");
    }
}
