//! Everything that the keyboard can do.

use eframe::egui::{Context, Grid, RichText, ScrollArea};
use tr::tr;

use super::window_over_grid;
use crate::command::{Command, grid_keys};

/// A window over the grid. `open` becomes false when it is closed.
pub(crate) fn shortcuts_ui(ctx: &Context, open: &mut bool) {
    window_over_grid(tr!("Keyboard shortcuts"), open).show(ctx, |ui| {
        let room = ctx.content_rect().height() - 120.0;
        ScrollArea::vertical().min_scrolled_height(room).max_height(room).show(ui, |ui| {
            Grid::new("shortcuts").num_columns(3).spacing([24.0, 6.0]).striped(true).show(ui, |ui| {
                for command in Command::ALL {
                    let info = command.info();
                    if info.shortcuts.is_empty() {
                        continue;
                    }
                    let keys: Vec<String> = info.shortcuts.iter().map(|shortcut| super::keys(ctx, *shortcut)).collect();
                    ui.label(RichText::new(keys.join(&format!("  {}  ", tr!("or")))).strong());
                    ui.label(info.text);
                    ui.weak(info.tooltip);
                    ui.end_row();
                }
                for (keys, what) in grid_keys() {
                    ui.label(RichText::new(keys).strong());
                    ui.label("");
                    ui.weak(what);
                    ui.end_row();
                }
            });
        });
    });
}
