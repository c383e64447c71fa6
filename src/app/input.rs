//! What the user does with the keyboard, the clipboard and files dropped on the window. Clicks belong to the panels.

use std::path::PathBuf;

use eframe::egui::{self, ColorImage, Context, Event as Input, Key};
use image::RgbImage;
use tr::tr;

use super::App;
use crate::command::Command;
use crate::desktop::Answer;
use crate::query::pasted_picture;
use crate::ui::state::{Action, Toast, View};

/// Photos of one plant that are searched with at a time.
const MOST_AT_ONCE: usize = 20;

impl App {
    pub(super) fn take_drops(&mut self, ctx: &Context) {
        let dropped =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect::<Vec<_>>());
        self.take_paths(dropped);
        if self.was_typing || self.path_prompt.is_open() {
            return;
        }
        for input in ctx.input(|input| input.events.clone()) {
            match input {
                Input::PasteImage(_) if self.desktop.paste(None) => self.has_pasted = true,
                Input::Paste(text) => self.has_pasted = self.desktop.paste(Some(&text)),
                // The toolkit keeps the pressed Ctrl+V for itself, and tells nothing where it knows none of the forms: then
                // the key is let go without having been pressed.
                Input::Key { key: Key::V, pressed: true, .. } => self.has_pasted = true,
                Input::Key { key: Key::V, pressed: false, .. } if !std::mem::take(&mut self.has_pasted) => {
                    self.desktop.paste(None);
                }
                Input::PasteImage(picture) => self.desktop.run("paste", move || Some(pasted(&picture))),
                Input::Copy if self.state.selected_hit().is_some() => {
                    self.perform(ctx, vec![Action::Command(Command::CopyPath)]);
                }
                _ => {}
            }
        }
    }

    /// What was dropped or pasted.
    pub(super) fn take_paths(&mut self, paths: Vec<PathBuf>) {
        if paths.len() > MOST_AT_ONCE {
            let text = tr!("{} files at once; the first {} are used", paths.len(), MOST_AT_ONCE);
            self.state.say(Toast::new(text, false));
        }
        if !paths.is_empty() {
            self.desktop.classify(paths.into_iter().take(MOST_AT_ONCE).collect());
        }
    }

    /// What the keys that were pressed ask for.
    pub(super) fn keyboard(&mut self, ctx: &Context) -> Vec<Action> {
        let mut actions = Vec::new();
        // Space and Enter belong to a button that has the focus, and the arrows walk among buttons.
        // As of the last frame: egui has already dealt with the focus when this is asked.
        let focused = self.widget_had_focus;
        let menu_is_open = egui::Popup::is_any_open(ctx);
        if self.was_in_search_field && ctx.input(|input| input.key_pressed(Key::Escape)) {
            if !self.state.filter.words.is_empty() {
                actions.push(Action::SetWords(String::new()));
            }
            return actions;
        }
        for command in Command::ALL {
            let is_plain = |shortcut: &egui::KeyboardShortcut| shortcut.modifiers.is_none();
            for shortcut in command.info().shortcuts {
                let belongs_to_focus = matches!(shortcut.logical_key, Key::Space | Key::Enter);
                if is_plain(shortcut) && (menu_is_open || (focused && belongs_to_focus)) {
                    continue;
                }
                if self.was_typing && *command == Command::SelectAll {
                    continue;
                }
                // Whoever is asked for a path answers or leaves.
                if self.path_prompt.is_open() && *command != Command::ClearQuery && *command != Command::Quit {
                    continue;
                }
                // All but Ctrl with a key may be meant for the text.
                if self.was_typing && !shortcut.modifiers.command {
                    continue;
                }
                // "?" and "+" come with Shift on many keyboards.
                let pressed = ctx.input_mut(|input| {
                    input.consume_shortcut(shortcut)
                        || (is_plain(shortcut)
                            && matches!(shortcut.logical_key, Key::Questionmark | Key::Plus | Key::Slash)
                            && input.consume_key(egui::Modifiers::SHIFT, shortcut.logical_key))
                });
                if pressed {
                    actions.push(Action::Command(*command));
                }
            }
        }
        if !focused && !menu_is_open && !self.path_prompt.is_open() {
            let extends = ctx.input(|input| input.modifiers.shift);
            let action = if extends { Action::SelectTo } else { Action::Select };
            actions.extend(self.arrows(ctx).map(action));
        }
        actions
    }

    /// Where the arrow keys move the selection.
    fn arrows(&self, ctx: &Context) -> Option<usize> {
        let last = self.state.hits().len().checked_sub(1)?;
        // In the large view there are no rows: up and down walk on by one as well.
        let page = if self.state.view == View::Large { 1 } else { self.grid.rows_in_view as isize };
        let keys = [
            Key::ArrowLeft,
            Key::ArrowRight,
            Key::ArrowUp,
            Key::ArrowDown,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
        ];
        // With or without Shift, which extends the selection.
        let pressed = keys.into_iter().find(|key| {
            let modifiers = [egui::Modifiers::NONE, egui::Modifiers::SHIFT];
            ctx.input_mut(|input| modifiers.iter().any(|modifiers| input.consume_key(*modifiers, *key)))
        })?;
        let Some(selected) = self.state.selection.current() else {
            return Some(if pressed == Key::End { last } else { 0 });
        };
        let rows = |rows: isize| match self.state.view {
            View::Large => selected.saturating_add_signed(rows),
            View::Grid => self.grid.below(selected, rows),
        };
        let to = match pressed {
            Key::ArrowLeft => selected.saturating_sub(1),
            Key::ArrowRight => selected + 1,
            Key::ArrowUp => rows(-1),
            Key::ArrowDown => rows(1),
            Key::PageUp => rows(-page),
            Key::PageDown => rows(page),
            Key::Home => 0,
            _ => last,
        };
        Some(to.min(last))
    }
}

/// A pasted picture as the history keeps it.
fn pasted(picture: &ColorImage) -> Answer {
    let [width, height] = picture.size;
    let rgb = picture
        .pixels
        .iter()
        .flat_map(|pixel| {
            // What shines through is white; the colours have been multiplied already.
            let white = 255 - pixel.a();
            [pixel.r(), pixel.g(), pixel.b()].map(|value| value.saturating_add(white))
        })
        .collect();
    let kept = RgbImage::from_raw(width as u32, height as u32, rgb).map(|picture| pasted_picture(&picture));
    match kept {
        Some(Ok(jpeg)) => Answer::Pasted(jpeg),
        Some(Err(error)) => Answer::Failed(error.to_string()),
        None => Answer::Failed("The picture in the clipboard is damaged".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;

    #[test]
    fn what_shines_through_a_pasted_picture_is_white() {
        let mut picture = ColorImage::filled([16, 16], egui::Color32::TRANSPARENT);
        picture.pixels[128..].fill(egui::Color32::BLACK);
        let Answer::Pasted(jpeg) = pasted(&picture) else { panic!("no picture") };
        let picture = decode(&jpeg).unwrap();
        assert!(picture.get_pixel(8, 1).0.iter().all(|value| *value > 240));
        assert!(picture.get_pixel(8, 14).0.iter().all(|value| *value < 15));
    }
}
