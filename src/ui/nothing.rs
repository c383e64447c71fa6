//! What stands in place of photos where there are none: why, and what to do.

use eframe::egui::{self, Align, Layout, Rect, Ui};
use tr::tr;

use super::grid::empty_ui;
use super::state::{Action, Answer, OpenLibrary, State};
use super::{command_button, theme};
use crate::command::Command;
use crate::job::Outcome;
use crate::language::translate;

/// Of the row of buttons under the text, in points.
const BUTTONS: egui::Vec2 = egui::vec2(460.0, 30.0);

/// Says why no photos are shown, where none are.
pub(crate) fn nothing_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let Some(text) = reason(state, library) else { return };
    empty_ui(ui, &text);
    let commands: &[Command] = match &state.answer {
        Answer::Failed(_) => &[Command::ChoosePhoto, Command::ClearQuery],
        _ if !state.all_hits.is_empty() || state.waiting || library.progress.is_some() || library.loading => &[],
        _ if state.is_search() || !state.filter.is_all() => &[Command::ClearQuery],
        _ => &[Command::CheckFolder, Command::OpenFolder],
    };
    let room = ui.available_rect_before_wrap();
    let place = Rect::from_center_size(room.center() + egui::vec2(0.0, 56.0), BUTTONS.min(room.size()));
    let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(place).layout(Layout::top_down(Align::Center)));
    ui.horizontal(|ui| {
        // Centred: as wide as they were drawn the last time.
        let id = ui.scope_id().with("width");
        let width = ui.data(|data| data.get_temp::<f32>(id)).unwrap_or_default();
        ui.add_space(((place.width() - width) / 2.0).max(0.0));
        let shown = ui.scope(|ui| {
            ui.spacing_mut().item_spacing.x = theme::GAP;
            if commands.contains(&Command::CheckFolder) {
                let text = Command::ShowInFileManager.info().text;
                if ui.button(text).on_hover_text(tr!("Show this folder in the file manager")).clicked() {
                    actions.push(Action::ShowInFileManager(library.library.root.clone()));
                }
            }
            for command in commands {
                command_button(ui, *command, actions);
            }
        });
        ui.data_mut(|data| data.insert_temp(id, shown.response.rect.width()));
    });
}

/// Why there are no photos to be seen, where that is so.
fn reason(state: &State, library: &OpenLibrary) -> Option<String> {
    match &state.answer {
        Answer::Failed(message) => Some(translate(message)),
        _ if state.waiting && state.is_search() => Some(tr!("Searching…")),
        Answer::Hits(hits) if hits.is_empty() => Some(match &state.filter {
            _ if !state.all_hits.is_empty() => tr!("All results are hidden; move the slider to see them"),
            _ if library.progress.is_some() || library.loading => {
                tr!("Reading your photos: the first appear in a few seconds")
            }
            filter if !filter.words.trim().is_empty() => {
                tr!("No photo has \"{}\" in its name", filter.words.trim())
            }
            filter if !filter.is_all() => tr!("No photos in this part of the library"),
            _ if matches!(library.outcome, Some(Outcome::Cancelled { .. })) => {
                tr!("Nothing has been indexed yet; choose \"Resume\"")
            }
            _ if library.problems.is_empty() => tr!("No photos in this folder"),
            _ => tr!("None of the files in this folder could be read as a photo; see \"Problems\""),
        }),
        Answer::Hits(_) | Answer::None => None,
    }
}
