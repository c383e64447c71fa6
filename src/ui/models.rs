//! The models on this computer: what each was made from, how good it was measured to be, which one is in use; and what
//! can be done with them.

use std::collections::BTreeSet;

use eframe::egui::{self, Align, Button, Context, Frame, Grid, Key, Layout, Response, RichText, ScrollArea, Ui};
use time::OffsetDateTime;
use tr::tr;

use super::dates::day_text;
use super::state::{Action, ModelComparison, OpenLibrary, State};
use super::train::evaluation::measures::{Tendency, tendency};
use super::train::recipe_name;
use super::{command_button, megabytes, photos_of, theme, window_over_grid};
use crate::artefact::{BUILT_IN, GENERAL, Interval, ModelId, ModelSummary, Score, TaskResult};
use crate::command::Command;
use crate::compare::Compared;
use crate::desktop::Purpose;
use crate::language::translate;
use crate::model::Architecture;
use crate::system::now;
use crate::text::sanitise_line;
use crate::train::wording::task_name;
use crate::tune::rate_text;
use crate::worker::Request;

/// Width of the window and of its columns, in points.
const WIDTH: f32 = 800.0;
const QUALITY_WIDTH: f32 = 236.0;
const FIGURE_WIDTH: f32 = 54.0;
const ACTIONS_WIDTH: f32 = 128.0;
/// Height of the line under the list.
const FOOT: f32 = 36.0;
/// Days after which a date is told instead of how long ago it was.
const RECENT_DAYS: u64 = 7;

/// What the panel has in hand.
#[derive(Default)]
pub(crate) struct Models {
    pub(crate) open: bool,
    edit: Option<Edit>,
    /// The model that the library is changing to.
    pub(crate) wanted: Option<ModelId>,
    /// What is to be compared.
    ticked: BTreeSet<ModelId>,
}

/// What is being done to one model, by its id.
enum Edit {
    Rename {
        id: ModelId,
        title: String,
        begun: bool,
    },
    /// Waiting for a yes.
    Delete(ModelId),
}

impl Models {
    fn is_deleting(&self, id: &str) -> bool {
        matches!(&self.edit, Some(Edit::Delete(deleting)) if deleting == id)
    }
}

/// A window over the grid.
pub(crate) fn models_ui(ctx: &Context, panel: &mut Models, state: &State, actions: &mut Vec<Action>) {
    let mut open = panel.open;
    let height = (ctx.content_rect().height() - 160.0).clamp(160.0, 560.0);
    window_over_grid(tr!("Models"), &mut open).show(ctx, |ui| {
        ui.set_width(WIDTH.min(ctx.content_rect().width() - 80.0));
        text_and_buttons(ui, tr!("A model decides which photos look alike. Training makes new ones."), |ui| {
            command_button(ui, Command::LoadWeights, actions);
            command_button(ui, Command::ImportModel, actions);
        });
        ui.add_space(theme::GAP);
        let height = height - FOOT;
        ScrollArea::vertical().min_scrolled_height(height).max_height(height).show(ui, |ui| {
            comparison_ui(ui, state);
            for model in state.models.iter() {
                let usage =
                    Usage::of(model, state.model_in_use.as_deref(), panel.wanted.as_deref(), state.library.as_ref());
                let speed = state.speeds.get(&model.card.architecture).copied();
                model_ui(ui, model, usage, speed, panel, actions);
            }
        });
        compare_ui(ui, state, panel, actions);
    });
    panel.open = open;
    if !open {
        panel.edit = None;
    }
}

/// What the open library does with a model.
#[derive(Clone, PartialEq)]
enum Usage {
    InUse,
    Wanted,
    Possible,
    /// Why it cannot be used, in words.
    Impossible(String),
}

impl Usage {
    fn of(model: &ModelSummary, in_use: Option<&str>, wanted: Option<&str>, library: Option<&OpenLibrary>) -> Self {
        match library {
            None => Self::Impossible(tr!("Open a folder first")),
            Some(_) if in_use == Some(model.id.as_str()) => Self::InUse,
            Some(_) if wanted == Some(model.id.as_str()) => Self::Wanted,
            Some(library) if library.obstacle.is_some() => {
                Self::Impossible(tr!("The program's data cannot be written"))
            }
            Some(library) if !library.writable => {
                Self::Impossible(tr!("Another Florascope window has this folder open"))
            }
            Some(_) => Self::Possible,
        }
    }
}

/// The line under the list: what to compare, and the button that begins it.
fn compare_ui(ui: &mut Ui, state: &State, panel: &mut Models, actions: &mut Vec<Action>) {
    panel.ticked.retain(|id| state.models.iter().any(|model| model.id == *id));
    let obstacle = match &state.library {
        None => Some(tr!("Open a folder first")),
        Some(library) if library.obstacle.is_some() => Some(tr!("The program's data cannot be written")),
        Some(library) if !library.writable => Some(tr!("Another Florascope window has this folder open")),
        Some(_) if state.comparison.running => Some(tr!("Models are being compared")),
        Some(_) if panel.ticked.is_empty() => Some(tr!("Tick models first")),
        Some(_) => None,
    };
    ui.add_space(theme::GAP);
    text_and_buttons(ui, tr!("Which is best for this folder? Tick models and compare them."), |ui| {
        let button = ui.add_enabled(obstacle.is_none(), Button::new(tr!("Compare models")));
        let hint = tr!("Search with labelled photos of this folder among the others, with each of these models");
        if button.on_hover_text(hint).on_disabled_hover_text(obstacle.unwrap_or_default()).clicked() {
            let models = state.models.iter().map(|model| &model.id).filter(|id| panel.ticked.contains(*id));
            actions.push(Action::Request(Request::CompareModels(models.cloned().collect())));
        }
    });
}

/// Buttons at the right, from right to left, and beside them a text in as many lines as it takes.
fn text_and_buttons(ui: &mut Ui, text: String, buttons: impl FnOnce(&mut Ui)) {
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            buttons(ui);
            ui.with_layout(Layout::left_to_right(Align::Center).with_main_wrap(true), |ui| ui.weak(text));
        });
    });
}

/// What came of the last comparison, side by side.
fn comparison_ui(ui: &mut Ui, state: &State) {
    let ModelComparison { rows, running } = &state.comparison;
    if rows.is_empty() && !running {
        return;
    }
    let palette = theme::palette(ui);
    let frame = Frame::new().fill(ui.visuals().faint_bg_color).corner_radius(theme::ROUNDING);
    frame.inner_margin(theme::MARGIN).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(RichText::new(tr!("On this folder")).strong().size(theme::TITLE_SIZE));
        Grid::new("comparison").num_columns(4).spacing([theme::WIDE_GAP, 4.0]).show(ui, |ui| {
            let titles = [tr!("Model"), tr!("Top-1 accuracy"), tr!("MAP@R"), tr!("Photos a second")];
            titles.into_iter().for_each(|title| drop(ui.weak(title)));
            ui.end_row();
            // What is compared of a model, and how it is written.
            let cells = |row: &Compared| {
                let [recall, map] = [|score: &Score| score.recall_at_1, |score: &Score| score.map_at_r]
                    .map(|of| row.score.as_ref().map(|score| (of(score).value, in_percent(&of(score)))));
                [recall, map, Some((row.photos_a_second, rate_text(row.photos_a_second)))]
            };
            let all: Vec<_> = rows.iter().map(cells).collect();
            for (row, own) in rows.iter().zip(&all) {
                let model = state.models.iter().find(|model| model.id == row.model);
                let title = model.map_or_else(|| row.model.to_string(), title_of);
                let title = if row.has_learnt_these { format!("{title} *") } else { title };
                ui.add(egui::Label::new(title).truncate());
                for (column, cell) in own.iter().enumerate() {
                    let Some((value, text)) = cell else {
                        ui.weak(tr!("Not measured"));
                        continue;
                    };
                    let is_best =
                        all.iter().filter_map(|other| other[column].as_ref()).all(|(other, _)| other <= value);
                    let text = RichText::new(text);
                    ui.label(if is_best && rows.len() > 1 { text.strong().color(palette.accent) } else { text });
                }
                ui.end_row();
            }
        });
        if *running {
            ui.horizontal(|ui| {
                ui.spinner();
                ui.weak(tr!("Comparing models"));
            });
        }
        let queries = rows.first().map_or(0, |row| row.queries);
        if queries > 0 {
            ui.weak(tr!("{} of this folder, each searched among the others", photos_of(queries as usize)));
        } else if !rows.is_empty() {
            ui.weak(tr!("To compare accuracy, photos have to lie in folders named after their species"));
        }
        if rows.iter().any(|row| row.has_learnt_these) {
            ui.weak(tr!("* was trained on these photos, which flatters it"));
        }
    });
    ui.add_space(theme::GAP);
}

/// "86.4 % ± 1.2".
fn in_percent(interval: &Interval) -> String {
    format!("{:.1} % ± {:.1}", interval.value * 100.0, (interval.high - interval.low) * 50.0)
}

fn model_ui(
    ui: &mut Ui,
    model: &ModelSummary,
    usage: Usage,
    speed: Option<f64>,
    panel: &mut Models,
    actions: &mut Vec<Action>,
) {
    let accent = theme::palette(ui).accent;
    let border = ui.visuals().widgets.noninteractive.bg_stroke.color;
    let stroke = if usage == Usage::InUse { (1.5, accent) } else { (1.5, border.gamma_multiply(0.5)) };
    let frame = Frame::new().fill(ui.visuals().faint_bg_color).stroke(stroke).corner_radius(theme::ROUNDING);
    let drawn = frame.inner_margin(theme::MARGIN).show(ui, |ui| {
        ui.horizontal_top(|ui| {
            let mut ticked = panel.ticked.contains(&model.id);
            let tick = ui.scope(|ui| {
                // On the card an empty box would have the colour of what it lies on.
                let outline = ui.visuals().weak_text_color();
                ui.visuals_mut().widgets.inactive.bg_stroke = egui::Stroke::new(1.0, outline);
                ui.checkbox(&mut ticked, "").on_hover_text(tr!("Compare this model with others"))
            });
            if tick.inner.accessible_name(tr!("Compare {}", title_of(model))).changed() {
                if ticked {
                    panel.ticked.insert(model.id.clone())
                } else {
                    panel.ticked.remove(&model.id)
                };
            }
            let width = ui.available_width() - ACTIONS_WIDTH - theme::WIDE_GAP;
            let beside = width - QUALITY_WIDTH - theme::WIDE_GAP;
            if beside >= QUALITY_WIDTH {
                column(ui, beside, |ui| name_ui(ui, model, speed, panel, actions));
                ui.add_space(theme::GAP);
                column(ui, QUALITY_WIDTH, |ui| quality_ui(ui, model));
            } else {
                column(ui, width, |ui| {
                    name_ui(ui, model, speed, panel, actions);
                    quality_ui(ui, model);
                });
            }
            ui.add_space(theme::GAP);
            ui.allocate_ui_with_layout(egui::vec2(ACTIONS_WIDTH, 28.0), Layout::right_to_left(Align::Center), |ui| {
                buttons_ui(ui, model, usage, panel, actions);
            });
        });
        if panel.is_deleting(&model.id) {
            ui.add_space(theme::GAP);
            confirmation_ui(ui, model, panel, actions);
        }
    });
    let spoken = tr!("Model {}", title_of(model));
    drawn.response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Group, true, &spoken));
}

fn column(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.allocate_ui_with_layout(egui::vec2(width, 0.0), Layout::top_down(Align::Min), |ui| {
        ui.set_width(width);
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.spacing_mut().interact_size.y = 18.0;
        contents(ui);
    });
}

fn name_ui(ui: &mut Ui, model: &ModelSummary, speed: Option<f64>, panel: &mut Models, actions: &mut Vec<Action>) {
    match &mut panel.edit {
        Some(Edit::Rename { id, title, begun }) if *id == model.id => {
            let field = egui::TextEdit::singleline(title).desired_width(f32::INFINITY).char_limit(60);
            let response = ui.add(field).accessible_name(tr!("Name of the model"));
            if !std::mem::replace(begun, true) {
                response.request_focus();
            } else if response.lost_focus() {
                let kept = ui.input(|input| input.key_pressed(Key::Escape)) || sanitise_line(title, 60).is_empty();
                if !kept && *title != model.card.title {
                    let title = std::mem::take(title);
                    actions.push(Action::Request(Request::RenameModel { id: model.id.clone(), title }));
                }
                panel.edit = None;
            }
        }
        _ => {
            let title = RichText::new(title_of(model)).strong().size(theme::TITLE_SIZE);
            ui.add(egui::Label::new(title).truncate());
        }
    }
    let mut lines = origin(model);
    // The last line is the shortest.
    if let (Some(speed), Some(line)) = (speed, lines.last_mut()) {
        *line += &tr!(", {} photos/s here", rate_text(speed));
    }
    for line in lines {
        ui.add(egui::Label::new(RichText::new(&line).weak()).truncate()).on_hover_text(line);
    }
}

/// Where a model comes from: one or two lines.
fn origin(model: &ModelSummary) -> Vec<String> {
    let card = &model.card;
    let network = Architecture::EfficientNetLite0.name();
    match model.id.as_str() {
        BUILT_IN => return vec![tr!("{}, taught 102 species of flowers", network), tr!("Built-in")],
        GENERAL => return vec![tr!("{}, trained on ImageNet", network), tr!("Built-in")],
        _ => {}
    }
    let when = date(card.made, now());
    let Some(trained) = &card.trained else {
        return vec![tr!("Weights of {}", card.architecture.name()), format!("{when}, {}", megabytes(model.size))];
    };
    // Perhaps a path of another computer: text, not something to open.
    let folder = sanitise_line(&trained.folder.to_string_lossy(), 200);
    let photos = photos_of(trained.photos as usize);
    let recipe = recipe_name(trained.options.recipe);
    vec![
        tr!("On {photos} in {folder}", photos, folder),
        tr!("{recipe} training, {when}, {}", megabytes(model.size), recipe, when),
    ]
}

/// What a model is called.
pub(super) fn title_of(model: &ModelSummary) -> String {
    match model.id.as_str() {
        BUILT_IN => tr!("Flowers"),
        GENERAL => tr!("General"),
        _ => model.card.title.clone(),
    }
}

fn quality_ui(ui: &mut Ui, model: &ModelSummary) {
    let trained = model.card.trained.as_ref();
    let rows: &[TaskResult] =
        trained.and_then(|trained| trained.evaluation.as_ref()).map_or(&[], |report| &report.rows);
    if rows.is_empty() {
        ui.weak(tr!("Not measured"));
        return;
    }
    // Perhaps a path of another computer.
    if let Some(folder) = trained.and_then(|trained| trained.folder.file_name()) {
        let folder = sanitise_line(&folder.to_string_lossy(), 200);
        ui.add(egui::Label::new(RichText::new(tr!("Measured on {}", folder)).weak()).truncate());
    }
    let hint = tr!(
        "How often the first result is of the right species (Recall@1): with the model in use before, and with this one"
    );
    figures_ui(
        ui,
        RichText::new(tr!("Top-1 accuracy")).weak(),
        [tr!("Before"), tr!("Now")].map(|text| RichText::new(text).weak()),
    )
    .on_hover_text(hint);
    let percent = |share: f64| RichText::new(format!("{:.1} %", share * 100.0));
    for row in rows {
        let [before, after, gain] = [&row.before, &row.after, &row.gain].map(|score| score.recall_at_1);
        let palette = theme::palette(ui);
        let figure = percent(after.value).strong();
        let figure = match tendency(&before, &after, &gain) {
            Tendency::Gain => figure.color(palette.accent),
            Tendency::Loss => figure.color(palette.error),
            Tendency::Unclear => figure,
        };
        figures_ui(ui, translate(task_name(row.task)).into(), [percent(before.value).weak(), figure]);
    }
}

/// A line of the measured quality, its figures in columns at the right.
fn figures_ui(ui: &mut Ui, what: RichText, figures: [RichText; 2]) -> Response {
    ui.horizontal(|ui| {
        ui.label(what);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            for figure in figures.into_iter().rev() {
                let size = egui::vec2(FIGURE_WIDTH, ui.spacing().interact_size.y);
                ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
                    ui.set_width(FIGURE_WIDTH);
                    ui.label(figure);
                });
            }
        });
    })
    .response
}

fn buttons_ui(ui: &mut Ui, model: &ModelSummary, usage: Usage, panel: &mut Models, actions: &mut Vec<Action>) {
    let title = title_of(model);
    more_ui(ui, model, &usage, panel, actions);
    match &usage {
        Usage::InUse => {
            ui.label(RichText::new(tr!("In use")).strong().color(theme::palette(ui).accent));
        }
        Usage::Wanted => {
            ui.weak(tr!("Preparing…"))
                .on_hover_text(tr!("The current model answers until this one has seen every photo"));
        }
        Usage::Possible | Usage::Impossible(_) => {
            let hint = match &usage {
                Usage::Impossible(reason) => reason.clone(),
                _ => tr!("Search with this model from now on"),
            };
            let button = ui.add_enabled(usage == Usage::Possible, Button::new(tr!("Use")));
            let button = button.on_hover_text(&hint).on_disabled_hover_text(&hint);
            if button.accessible_name(tr!("Use {title}", title)).clicked() {
                actions.push(Action::Request(Request::UseModel(model.id.clone())));
            }
        }
    }
}

fn more_ui(ui: &mut Ui, model: &ModelSummary, usage: &Usage, panel: &mut Models, actions: &mut Vec<Action>) {
    if model.is_built_in() {
        return;
    }
    let menu = ui.menu_button("•••", |ui| {
        ui.set_min_width(140.0);
        if ui.button(tr!("Rename")).clicked() {
            let title = model.card.title.clone();
            panel.edit = Some(Edit::Rename { id: model.id.clone(), title, begun: false });
            ui.close();
        }
        if ui.button(tr!("Export…")).on_hover_text(tr!("Write the model to a file, for another computer")).clicked() {
            let (id, title) = (model.id.clone(), model.card.title.clone());
            actions.push(Action::AskForPath(Purpose::Export { id, title }));
            ui.close();
        }
        let delete =
            ui.add_enabled(matches!(usage, Usage::Possible | Usage::Impossible(_)), Button::new(tr!("Delete…")));
        if delete.on_disabled_hover_text(tr!("It is in use; choose another model first")).clicked() {
            panel.edit = Some(Edit::Delete(model.id.clone()));
            ui.close();
        }
    });
    menu.response.on_hover_text(tr!("Rename, export, delete")).accessible_name(tr!("More for {}", title_of(model)));
}

fn confirmation_ui(ui: &mut Ui, model: &ModelSummary, panel: &mut Models, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let palette = theme::palette(ui);
        ui.label(RichText::new(tr!("Delete this model for good?")).color(palette.error));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button(tr!("Keep")).clicked() {
                panel.edit = None;
            }
            let delete = Button::new(RichText::new(tr!("Delete")).color(palette.error));
            if ui.add(delete).accessible_name(tr!("Delete {}", title_of(model))).clicked() {
                panel.edit = None;
                actions.push(Action::Request(Request::DeleteModel(model.id.clone())));
            }
        });
    });
}

/// A time as one would say it; both in seconds since 1970. Old ones as a date, in universal time.
pub(super) fn date(then: u64, now: u64) -> String {
    let minutes = now.saturating_sub(then) / 60;
    match minutes {
        0 => tr!("just now"),
        minutes @ 1..60 => tr!("{n} minute ago" | "{n} minutes ago" % minutes),
        minutes @ 60..1440 => {
            let hours = minutes / 60;
            tr!("{n} hour ago" | "{n} hours ago" % hours)
        }
        minutes if minutes / 1440 < RECENT_DAYS => {
            let days = minutes / 1440;
            tr!("{n} day ago" | "{n} days ago" % days)
        }
        // From a model's file, so perhaps no time at all.
        _ => i64::try_from(then)
            .ok()
            .and_then(|then| OffsetDateTime::from_unix_timestamp(then).ok())
            .map_or_else(|| tr!("at an unknown time"), |then| day_text(then.date())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_one_would_say_them() {
        let now = 1_795_478_400; // 2026-11-24
        let day = 86_400;
        for (ago, text) in [
            (5, "just now"),
            (60, "1 minute ago"),
            (3 * 3600, "3 hours ago"),
            (day, "1 day ago"),
            (6 * day, "6 days ago"),
            (8 * day, "16 Nov 2026"),
            (365 * day, "24 Nov 2025"),
        ] {
            assert_eq!(date(now - ago, now), text);
        }
        // A clock that was wrong.
        assert_eq!(date(now + 99, now), "just now");
        assert_eq!(date(0, now), "1 Jan 1970");
        assert_eq!(date(11_016 * day, now), "29 Feb 2000");
        assert_eq!(date(u64::MAX, u64::MAX), "just now");
        assert_eq!(date(u64::MAX / 2, u64::MAX), "at an unknown time");
    }
}
