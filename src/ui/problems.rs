//! The list of files that could not be read, by reason: found by a word, shown where they lie, tried again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use eframe::egui::{self, Align, Button, Context, Label, Layout, RichText, ScrollArea, Sense, TextEdit, Ui};
use tr::tr;

use super::state::{Action, OpenLibrary};
use super::{command_button, count, one_line, theme};
use crate::catalog::Problem;
use crate::command::Command;
use crate::language::translate;
use crate::worker::Request;

/// Height of a row, in points.
const ROW: f32 = 28.0;

/// What the panel has in hand.
#[derive(Default)]
pub(crate) struct Problems {
    /// What paths and reasons have to contain.
    text: String,
    /// Reasons whose files are folded away.
    folded: HashSet<String>,
    listing: Listing,
}

/// The rows, and what they were made of.
#[derive(Default)]
struct Listing {
    problems: Arc<[Problem]>,
    text: String,
    folded: HashSet<String>,
    rows: Vec<Row>,
    files: usize,
}

/// A line of the list.
#[derive(Debug, PartialEq)]
enum Row {
    Reason {
        reason: String,
        files: usize,
    },
    File {
        /// Among the problems.
        number: usize,
        /// What the reason leaves out.
        detail: String,
    },
}

impl Listing {
    /// The largest groups first, their files by path.
    fn new(problems: &Arc<[Problem]>, text: &str, folded: &HashSet<String>) -> Self {
        let wanted = text.to_lowercase();
        let mut groups = BTreeMap::<String, Vec<Row>>::new();
        for (number, problem) in problems.iter().enumerate() {
            let whole = translate(&problem.reason);
            let says = |said: &str| said.to_lowercase().contains(&wanted);
            if says(&problem.path.to_string_lossy()) || says(&whole) {
                let (reason, detail) = parted(&whole);
                groups.entry(reason.into()).or_default().push(Row::File { number, detail: detail.into() });
            }
        }
        let files = groups.values().map(Vec::len).sum();
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, files)| std::cmp::Reverse(files.len()));
        let mut rows = Vec::new();
        for (mut reason, mut files) in groups {
            // What is the same for all of them is said once.
            if let Some(Row::File { number, detail: first }) = files.first()
                && files.iter().all(|row| matches!(row, Row::File { detail, .. } if detail == first))
            {
                reason = translate(&problems[*number].reason);
                for row in &mut files {
                    if let Row::File { detail, .. } = row {
                        detail.clear();
                    }
                }
            }
            let is_folded = folded.contains(&reason);
            rows.push(Row::Reason { reason, files: files.len() });
            if !is_folded {
                rows.extend(files);
            }
        }
        Self { problems: Arc::clone(problems), text: text.into(), folded: folded.clone(), rows, files }
    }
}

/// What is wrong, and what exactly: the decoder's own words behind a colon.
fn parted(reason: &str) -> (&str, &str) {
    let parted = reason.split_once(": ").or_else(|| reason.split_once('：'));
    // A colon in brackets belongs to advice.
    parted.filter(|(reason, _)| !reason.contains(['(', '（'])).unwrap_or((reason, ""))
}

/// A window over the grid. `open` becomes false when it is closed.
pub(crate) fn problems_ui(
    ctx: &Context,
    panel: &mut Problems,
    library: &OpenLibrary,
    open: &mut bool,
    actions: &mut Vec<Action>,
) {
    let size = ctx.content_rect().size();
    egui::Window::new(tr!("Problems"))
        .open(open)
        .collapsible(false)
        .default_size(egui::vec2((size.x * 0.8).min(900.0), (size.y * 0.6).min(560.0)))
        .anchor(egui::Align2::CENTER_CENTER, egui::Vec2::ZERO)
        .show(ctx, |ui| {
            if library.problems.is_empty() {
                ui.label(tr!("Every file in this folder could be read"));
                return;
            }
            let listing = &panel.listing;
            let is_stale = !Arc::ptr_eq(&listing.problems, &library.problems) || listing.text != panel.text;
            if is_stale || listing.folded != panel.folded {
                panel.listing = Listing::new(&library.problems, &panel.text, &panel.folded);
            }
            head_ui(ui, panel, library, actions);
            ui.separator();
            let Problems { folded, listing, .. } = panel;
            if listing.rows.is_empty() {
                ui.weak(tr!("No problem contains these words"));
            }
            ui.spacing_mut().item_spacing.y = 0.0;
            let rows = listing.rows.len();
            ScrollArea::vertical().id_salt("problems").auto_shrink(false).show_rows(ui, ROW, rows, |ui, range| {
                for row in &listing.rows[range] {
                    match row {
                        Row::Reason { reason, files } => reason_ui(ui, reason, *files, folded),
                        Row::File { number, detail } => {
                            if let Some(problem) = library.problems.get(*number) {
                                file_ui(ui, problem, detail, library, actions);
                            }
                        }
                    }
                }
            });
        });
}

fn head_ui(ui: &mut Ui, panel: &mut Problems, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let number = library.problems.len();
    let text = tr!(
        "{} file could not be read. The rest of the folder is not affected."
            | "{} files could not be read. The rest of the folder is not affected." % number,
        count(number)
    );
    ui.add(Label::new(text).wrap());
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, Command::CopyProblems, actions);
            let all = ui.add_enabled(can_try(library), Button::new(tr!("Try all again")));
            if all.on_hover_text(tr!("Read these files once more")).clicked() {
                actions.push(Action::Request(Request::Retry(Vec::new())));
            }
            let field = TextEdit::singleline(&mut panel.text).hint_text(tr!("Filter by name or reason"));
            let field = ui.add(field.margin(theme::FIELD_MARGIN).desired_width(ui.available_width()));
            field.accessible_name(tr!("Filter by name or reason"));
        });
    });
    if !panel.text.is_empty() {
        ui.weak(tr!("{} of {}", count(panel.listing.files), count(number)));
    }
}

/// Whether files can be read again now.
fn can_try(library: &OpenLibrary) -> bool {
    library.writable && library.progress.is_none()
}

/// A reason with the number of its files, which a click folds away.
fn reason_ui(ui: &mut Ui, reason: &str, files: usize, folded: &mut HashSet<String>) {
    let is_open = !folded.contains(reason);
    let (rect, response) = ui.allocate_exact_size(egui::vec2(ui.available_width(), ROW), Sense::click());
    let visuals = ui.visuals();
    let fill = if response.hovered() { visuals.widgets.hovered.weak_bg_fill } else { visuals.faint_bg_color };
    ui.painter().rect_filled(rect.shrink2(egui::vec2(0.0, 1.0)), theme::ROUNDING, fill);
    if response.has_focus() {
        let stroke = (1.5, theme::palette(ui).accent);
        ui.painter().rect_stroke(rect, theme::ROUNDING, stroke, egui::StrokeKind::Inside);
    }
    let middle = rect.left_center() + egui::vec2(14.0, 0.0);
    let corners = if is_open {
        [egui::vec2(-5.0, -3.0), egui::vec2(5.0, -3.0), egui::vec2(0.0, 3.5)]
    } else {
        [egui::vec2(-3.0, -5.0), egui::vec2(3.5, 0.0), egui::vec2(-3.0, 5.0)]
    };
    let triangle = corners.map(|corner| middle + corner).to_vec();
    ui.painter().add(egui::Shape::convex_polygon(triangle, visuals.weak_text_color(), egui::Stroke::NONE));
    let small = egui::TextStyle::Small.resolve(ui.style());
    let number = ui.painter().layout_no_wrap(count(files), small, visuals.weak_text_color());
    let at = egui::pos2(rect.right() - number.size().x - theme::GAP, rect.center().y - number.size().y / 2.0);
    let room = at.x - rect.left() - 28.0 - theme::GAP;
    ui.painter().galley(at, number, visuals.weak_text_color());
    let body = egui::TextStyle::Body.resolve(ui.style());
    let text = one_line(ui, reason.to_owned(), body, visuals.text_color(), room);
    let at = egui::pos2(rect.left() + 28.0, rect.center().y - text.size().y / 2.0);
    ui.painter().galley(at, text, visuals.text_color());
    let (enabled, label) = (ui.is_enabled(), format!("{reason}, {files}"));
    response.widget_info(|| egui::WidgetInfo::selected(egui::accesskit::Role::Button, enabled, is_open, &label));
    let response = response.on_hover_text(reason);
    if response.clicked() && !folded.remove(reason) {
        folded.insert(reason.into());
    }
}

/// A file, what is wrong with it in particular, and what can be done about it.
fn file_ui(ui: &mut Ui, problem: &Problem, detail: &str, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let path = problem.path.display().to_string();
    let size = egui::vec2(ui.available_width(), ROW);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        ui.set_min_size(size);
        let link = |ui: &mut Ui, text: String, enabled: bool| {
            let name = format!("{text}: {path}");
            let text = RichText::new(text).small().color(ui.visuals().hyperlink_color);
            ui.add_enabled(enabled, Button::new(text).frame(false)).accessible_name(name).clicked()
        };
        if link(ui, tr!("Try again"), can_try(library)) {
            actions.push(Action::Request(Request::Retry(vec![problem.path.clone()])));
        }
        if link(ui, Command::ShowInFileManager.info().text, true) {
            actions.push(Action::ShowInFileManager(library.library.root.join(&problem.path)));
        }
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            ui.add_space(28.0);
            let whole = if detail.is_empty() { path.clone() } else { format!("{path}\n{detail}") };
            let mut text = egui::text::LayoutJob::default();
            RichText::new(&path).append_to(&mut text, ui.style(), egui::FontSelection::Default, Align::Center);
            let detail = RichText::new(format!("   {detail}")).small().weak();
            detail.append_to(&mut text, ui.style(), egui::FontSelection::Default, Align::Center);
            ui.add(Label::new(text).truncate()).on_hover_text(whole);
        });
    });
}

/// The list as text, a line each.
pub(crate) fn as_text(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{}\t{}\n", problem.path.display(), translate(&problem.reason))).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn problems_are_grouped_by_reason_and_found_by_words() {
        let problem = |path: &str, reason: &str| Problem { path: PathBuf::from(path), reason: reason.into() };
        let problems: Arc<[Problem]> = Arc::from([
            problem("a.jpg", "The file is damaged: bad marker"),
            problem("b.jpg", "The file is empty"),
            problem("c.jpg", "The file is damaged: no table"),
            problem("d.heic", "HEIC is not supported yet (on an iPhone: Settings)"),
        ]);
        let rows = |text: &str, folded: &[&str]| -> Vec<String> {
            let folded = folded.iter().map(|reason| (*reason).to_owned()).collect();
            let show = |row: &Row| match row {
                Row::Reason { reason, files } => format!("{reason} {files}"),
                Row::File { number, detail } => format!("{number} {detail}"),
            };
            Listing::new(&problems, text, &folded).rows.iter().map(show).collect()
        };
        let damaged = "The file is damaged";
        let phone = "HEIC is not supported yet (on an iPhone: Settings)";
        let [damaged_row, phone_row] = [format!("{damaged} 2"), format!("{phone} 1")];
        let rest = [phone_row.as_str(), "3 ", "The file is empty 1", "1 "];
        let all = [[damaged_row.as_str(), "0 bad marker", "2 no table"].as_slice(), &rest].concat();
        assert_eq!(rows("", &[]), all);
        assert_eq!(rows("", &[damaged]), [&[damaged_row.as_str()], rest.as_slice()].concat());
        assert_eq!(rows("NO TABLE", &[]), ["The file is damaged: no table 1", "2 "]);
        assert_eq!(rows("b.jp", &[]), ["The file is empty 1", "1 "]);
        assert_eq!(rows("nothing", &[]), [""; 0]);
    }
}
