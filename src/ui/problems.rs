//! The list of files that could not be read, each with its reason.

use eframe::egui::{self, Align, Context, Layout, RichText};
use egui_extras::{Column, TableBuilder};
use tr::tr;

use super::state::{Action, OpenLibrary};
use super::{command_button, count};
use crate::catalog::Problem;
use crate::command::Command;
use crate::language::translate;

/// A window over the grid. `open` becomes false when it is closed.
pub(crate) fn problems_ui(ctx: &Context, library: &OpenLibrary, open: &mut bool, actions: &mut Vec<Action>) {
    let size = ctx.content_rect().size();
    egui::Window::new(tr!("Problems"))
        .open(open)
        .collapsible(false)
        .default_size(egui::vec2((size.x * 0.7).min(900.0), (size.y * 0.6).min(560.0)))
        .anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO)
        .show(ctx, |ui| {
            if library.problems.is_empty() {
                ui.label(tr!("Every file in this folder could be read"));
                return;
            }
            ui.horizontal(|ui| {
                let number = library.problems.len();
                ui.label(tr!(
                    "{} file could not be read. The rest of the folder is not affected."
                        | "{} files could not be read. The rest of the folder is not affected." % number,
                    count(number)
                ));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    command_button(ui, Command::CopyProblems, actions);
                });
            });
            ui.separator();
            let height = 24.0;
            TableBuilder::new(ui)
                .striped(true)
                .auto_shrink(false)
                .column(Column::initial(280.0).at_least(120.0).resizable(true).clip(true))
                .column(Column::remainder().clip(true))
                .header(height, |mut header| {
                    for title in [tr!("File"), tr!("What is wrong")] {
                        header.col(|ui| {
                            ui.label(RichText::new(title).strong());
                        });
                    }
                })
                .body(|body| {
                    body.rows(height, library.problems.len(), |mut row| {
                        let problem = &library.problems[row.index()];
                        let path = problem.path.display().to_string();
                        row.col(|ui| {
                            ui.add(egui::Label::new(&path).truncate()).on_hover_text(&path);
                        });
                        row.col(|ui| {
                            let reason = translate(&problem.reason);
                            ui.add(egui::Label::new(&reason).truncate()).on_hover_text(reason);
                        });
                    });
                });
        });
}

/// The list as text, a line each.
pub(crate) fn as_text(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{}\t{}\n", problem.path.display(), translate(&problem.reason))).collect()
}
