//! Everything that the keyboard can do, and every command that has no key: in two columns, to be searched.

use eframe::egui::{Context, Grid, Key, Label, RichText, ScrollArea, TextEdit, Ui};
use tr::tr;

use super::{theme, window_over_grid};
use crate::command::{Command, Group, grid_keys};
use crate::filter::folded;

/// Widths of a column and of the keys in it, in points.
const COLUMN: f32 = 410.0;
const KEYS: f32 = 150.0;

/// What the window has in hand.
#[derive(Default)]
pub(crate) struct Shortcuts {
    pub(crate) open: bool,
    words: String,
}

/// Commands that belong together.
struct Part {
    title: String,
    /// What to press, what that does, and more words that it is found by.
    lines: Vec<(String, String, String)>,
}

/// A window over the grid.
pub(crate) fn shortcuts_ui(ctx: &Context, shortcuts: &mut Shortcuts) {
    if !shortcuts.open {
        shortcuts.words.clear();
        return;
    }
    let mut open = true;
    let screen = ctx.content_rect();
    let columns = if screen.width() >= 2.0 * COLUMN + 80.0 { 2 } else { 1 };
    let parts = parts(ctx, &shortcuts.words);
    window_over_grid(tr!("Keyboard shortcuts"), &mut open).show(ctx, |ui| {
        ui.set_width((COLUMN * columns as f32).min(screen.width() - 48.0));
        if search_ui(ui, &mut shortcuts.words) {
            shortcuts.open = false;
        }
        let room = (screen.height() - 150.0).min(620.0);
        ui.add_space(theme::GAP);
        ScrollArea::vertical().min_scrolled_height(room).max_height(room).auto_shrink(false).show(ui, |ui| {
            if parts.is_empty() {
                ui.weak(tr!("No command with these words"));
            } else if columns == 1 {
                parts.iter().for_each(|part| part_ui(ui, part));
            } else {
                let (left, right) = parts.split_at(half(&parts));
                ui.columns(2, |columns| {
                    left.iter().for_each(|part| part_ui(&mut columns[0], part));
                    right.iter().for_each(|part| part_ui(&mut columns[1], part));
                });
            }
        });
    });
    shortcuts.open &= open;
}

/// The field for words; tells whether Esc was pressed in it.
fn search_ui(ui: &mut Ui, words: &mut String) -> bool {
    let field = TextEdit::singleline(words).desired_width(f32::INFINITY).hint_text(tr!("Find a command"));
    let response = ui.add(field.margin(theme::FIELD_MARGIN)).accessible_name(tr!("Find a command"));
    let left = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Escape));
    // It has the focus from the first frame on.
    if !left && ui.memory(|memory| memory.focused().is_none()) {
        response.request_focus();
    }
    left
}

/// The groups of commands that have these words in them.
fn parts(ctx: &Context, words: &str) -> Vec<Part> {
    let words = folded(words);
    let has_words = |(keys, text, more): &(String, String, String)| {
        let all = folded(&format!("{keys} {text} {more}"));
        words.split_whitespace().all(|word| all.contains(word))
    };
    let line = |command: &Command| {
        let info = command.info();
        let keys: Vec<String> = info.shortcuts.iter().map(|shortcut| super::keys(ctx, *shortcut)).collect();
        (keys.join(&format!(" {} ", tr!("or"))), info.text, info.tooltip)
    };
    let part = |group: &Group| {
        let mut lines: Vec<_> = Command::ALL.iter().filter(|command| command.group() == *group).map(line).collect();
        // Those without a key come after the others.
        lines.sort_by_key(|(keys, ..)| keys.is_empty());
        Part { title: group.title(), lines }
    };
    let mut parts: Vec<Part> = Group::ALL.iter().map(part).collect();
    let lines = grid_keys().map(|(keys, what)| (keys, what, String::new())).into();
    parts.push(Part { title: tr!("Among the photos"), lines });
    parts.iter_mut().for_each(|part| part.lines.retain(has_words));
    parts.retain(|part| !part.lines.is_empty());
    parts
}

/// How many of them stand in the left one of two columns of about the same length.
fn half(parts: &[Part]) -> usize {
    let length = |parts: &[Part]| parts.iter().map(|part| part.lines.len() + 2).sum::<usize>();
    let all = length(parts);
    (1..=parts.len()).min_by_key(|first| (2 * length(&parts[..*first])).abs_diff(all)).unwrap_or(0)
}

fn part_ui(ui: &mut Ui, part: &Part) {
    ui.label(RichText::new(&part.title).size(theme::TITLE_SIZE).strong());
    let room = ui.available_width() - KEYS - theme::WIDE_GAP;
    let grid = Grid::new(&part.title).num_columns(2).min_col_width(KEYS).spacing([theme::WIDE_GAP, 2.0]);
    grid.show(ui, |ui| {
        for (keys, text, _) in &part.lines {
            let keys = if keys.is_empty() { RichText::new("–").weak() } else { RichText::new(keys).strong() };
            for (text, width) in [(keys, KEYS), (RichText::new(text), room)] {
                ui.scope(|ui| {
                    ui.set_max_width(width);
                    ui.add(Label::new(text).wrap());
                });
            }
            ui.end_row();
        }
    });
    ui.add_space(theme::WIDE_GAP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_and_is_found_by_its_words() {
        let ctx = Context::default();
        let all = parts(&ctx, "");
        let lines = all.iter().flat_map(|part| &part.lines).count();
        assert_eq!(lines, Command::ALL.len() + grid_keys().len());
        let found = parts(&ctx, "FULL f11");
        let texts: Vec<&str> = found.iter().flat_map(|part| &part.lines).map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(texts, ["Full screen"]);
        assert!(parts(&ctx, "no such words").is_empty());
        let first = half(&all);
        assert!(first > 0 && first < all.len());
    }
}
