//! When it is over: whether the new model is better and how that is known, in words, as a plot, as a table and by a few
//! searches before and after; and the choice between the two models.

use std::sync::Arc;

use eframe::egui::{self, Color32, Label, Pos2, Rect, RichText, Sense, Stroke, Ui};
use egui_plot::{GridMark, HoverPosition, Line, Points};

use super::{FOOT, Run, explain, notice_ui, primary, secondary, section, still_plot};
use crate::job::Progress;
use crate::photo::Photo;
use crate::pictures::Wish;
use crate::train::report::{Example, Interval, Proof, ProofRow, Score, Task};
use crate::ui::grid::paint_cover;
use crate::ui::state::{Action, OpenLibrary, State};
use crate::ui::textures::{Picture, Textures};
use crate::ui::{count_of, theme};
use crate::worker::TrainingEnd;

/// What came of a training.
pub fn proof_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    end: &TrainingEnd,
    textures: &mut Textures,
) {
    match end {
        TrainingEnd::Stopped => {
            verdict_ui(ui, Mark::Neutral, "Stopped");
            explain(ui, "There is no new model; the present one stays in use.");
            if state.train.resumable.is_some() {
                explain(ui, "The training can go on from where it was.");
            }
        }
        TrainingEnd::Failed { message } => {
            verdict_ui(ui, Mark::Bad, "The training failed");
            notice_ui(ui, message, theme::palette(ui).error);
            ui.add_space(theme::GAP);
            explain(
                ui,
                "The model in use is as it was, and so are your photos. Try again; if it fails again, choose the quick \
                 recipe, or another device under \"Advanced\".",
            );
        }
        TrainingEnd::Done { id, stopped_early, .. } => {
            let Some(proof) = &run.proof else { return };
            let (headline, rest) = proof.verdict.split_once(". ").unwrap_or((&proof.verdict, ""));
            let mark = if proof.better { Mark::Good } else { Mark::Neutral };
            verdict_ui(ui, mark, headline.trim_end_matches('.'));
            if !rest.is_empty() {
                // A figure and its sign stay on one line.
                ui.add(Label::new(rest.replace(" %", "\u{a0}%")).wrap());
            }
            if *stopped_early {
                explain(ui, "Stopped early: this is the best of what it had learnt until then.");
            }
            use_ui(ui, state, library, id);
            for row in &proof.rows {
                row_ui(ui, row);
            }
            if !proof.rows.is_empty() {
                explain(ui, how(proof));
                examples_ui(ui, proof, library, textures);
            }
        }
    }
    for text in &run.notices {
        ui.add_space(theme::GAP);
        notice_ui(ui, text, theme::palette(ui).warning);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Good,
    Bad,
    Neutral,
}

fn verdict_ui(ui: &mut Ui, mark: Mark, text: &str) {
    ui.horizontal_top(|ui| {
        let (place, _) = ui.allocate_exact_size(egui::Vec2::splat(24.0), Sense::hover());
        paint_mark(ui, place.center(), 11.0, mark);
        ui.add(Label::new(RichText::new(text).size(16.0).strong()).wrap());
    });
    ui.add_space(4.0);
}

/// A tick, a cross or a dash: told apart by shape as well as by colour.
fn paint_mark(ui: &Ui, centre: Pos2, radius: f32, mark: Mark) {
    let palette = theme::palette(ui);
    let fill = match mark {
        Mark::Good => palette.accent,
        Mark::Bad => palette.error,
        Mark::Neutral => ui.visuals().weak_text_color(),
    };
    let at = |x: f32, y: f32| centre + egui::vec2(x, y) * radius;
    let lines: &[&[Pos2]] = match mark {
        Mark::Good => &[&[at(-0.45, 0.05), at(-0.1, 0.4), at(0.5, -0.35)]],
        Mark::Bad => &[&[at(-0.35, -0.35), at(0.35, 0.35)], &[at(-0.35, 0.35), at(0.35, -0.35)]],
        Mark::Neutral => &[&[at(-0.45, 0.0), at(0.45, 0.0)]],
    };
    ui.painter().circle_filled(centre, radius, fill);
    for line in lines {
        ui.painter().line(line.to_vec(), Stroke::new((radius * 0.2).max(1.5), palette.on_accent));
    }
}

/// Which of the two models answers now.
fn use_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, id: &str) {
    if state.train.changing {
        explain(ui, "The model is being changed; until that is done the present one answers.");
        let done = library.progress.as_ref().and_then(Progress::fraction).unwrap_or(0.0);
        let bar = egui::ProgressBar::new(done).desired_height(10.0).fill(theme::palette(ui).accent);
        ui.add(bar).accessible_name("Changing the model");
    } else if state.is_in_use(id) {
        explain(ui, "The new model is in use.");
    } else {
        explain(ui, "The present model is in use.");
    }
}

/// How it was measured.
fn how(proof: &Proof) -> String {
    let split = match proof.folds {
        _ if proof.without_labels() => {
            "Measured with altered copies of your photos, which it has not learnt from.".to_owned()
        }
        0 | 1 => "Measured with photos that were set aside before, and that it has not learnt from.".to_owned(),
        folds => format!("Measured {folds} times, each time with other photos set aside that it has not learnt from."),
    };
    format!("{split} The ranges hold the true value in 95 of 100 cases.")
}

/// A figure of both models.
struct Measure {
    /// What it is for people.
    words: &'static str,
    /// As the literature calls it.
    short: &'static str,
    before: Interval,
    after: Interval,
}

fn measures(row: &ProofRow) -> Vec<Measure> {
    let of = |words, short, score: fn(&Score) -> Interval| Measure {
        words,
        short,
        before: score(&row.before),
        after: score(&row.after),
    };
    let mut measures = vec![
        of("First result right", "R@1", |score| score.recall_at_1),
        of("Among the first five", "R@5", |score| score.recall_at_5),
    ];
    if !row.task.has_one_answer() {
        measures.push(of("Whole ranking", "MAP@R", |score| score.map_at_r));
    }
    measures
}

/// One task: what it is, a plot, and the numbers.
fn row_ui(ui: &mut Ui, row: &ProofRow) {
    let title = super::task_name(row.task);
    let hint = match row.task {
        Task::SeenSpecies => "New photos of species that it has learnt",
        Task::UnseenSpecies => "Photos of species that it has never seen",
        Task::AlteredViews => "Strongly altered photos, each to find its own",
    };
    ui.add_space(theme::GAP);
    section(ui, title);
    let (queries, gallery) = (row.queries as usize, row.gallery as usize);
    explain(
        ui,
        format!("{hint}: {} among {}", count_of(queries, "search", "searches"), count_of(gallery, "photo", "photos")),
    );
    legend_ui(ui);
    plot_ui(ui, row, title);
    ui.scope(|ui| table_ui(ui, row));
}

fn colors(ui: &Ui) -> [Color32; 2] {
    [ui.visuals().weak_text_color(), theme::palette(ui).accent]
}

fn legend_ui(ui: &mut Ui) {
    ui.horizontal(|ui| {
        for (color, text) in colors(ui).into_iter().zip(["Before", "After"]) {
            let (dot, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 5.0, color);
            ui.label(RichText::new(text).small());
            ui.add_space(theme::GAP);
        }
    });
}

/// Values with their ranges, the one before above the one after.
fn plot_ui(ui: &mut Ui, row: &ProofRow, title: &str) {
    let measures = measures(row);
    let lowest = measures.iter().flat_map(|m| [m.before.low, m.after.low]).fold(1.0, f64::min) * 100.0;
    let names: Vec<&str> = measures.iter().map(|measure| measure.short).collect();
    let lines = names.len();
    let [before_color, after_color] = colors(ui);
    let least = (lowest / 10.0).floor() * 10.0;
    // Far enough apart for a number under each line.
    let step = match 100.0 - least {
        ..=20.0 => 5.0,
        ..=50.0 => 10.0,
        _ => 25.0,
    };
    let plot = still_plot(ui, ("proof", title))
        .height(42.0 * lines as f32)
        .show_grid([true, false])
        .include_x(least)
        .include_x(100.0)
        .include_y(0.5)
        .include_y(0.5 - lines as f64)
        // The last number needs room at its right.
        .set_margin_fraction(egui::vec2(0.06, 0.0))
        .y_axis_min_width(52.0)
        .y_grid_spacer(move |_| (0..lines).map(|line| GridMark { value: -(line as f64), step_size: 1.0 }).collect())
        .y_axis_formatter(move |mark, _| names.get(-mark.value as usize).copied().unwrap_or_default().to_owned())
        .x_grid_spacer(move |_| {
            let values = (0..=20).map(|line| f64::from(line) * step).filter(|value| (least..=100.0).contains(value));
            // The size of the step decides how visible number and line are: all are meant to be seen.
            values.map(|value| GridMark { value, step_size: 100.0 }).collect()
        })
        .x_axis_formatter(|mark, _| format!("{:.0} %", mark.value))
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint { plot_name, position, .. } => {
                Some(format!("{plot_name}: {:.1} %", position.x))
            }
            HoverPosition::Elsewhere { .. } => None,
        });
    let response = plot.show(ui, |plot| {
        for (line, Measure { before, after, .. }) in measures.into_iter().enumerate() {
            let middle = -(line as f64);
            for (name, interval, y, color) in
                [("Before", before, middle + 0.17, before_color), ("After", after, middle - 0.17, after_color)]
            {
                let range = vec![[interval.low * 100.0, y], [interval.high * 100.0, y]];
                plot.line(Line::new(name, range).color(color).width(2.5).allow_hover(false));
                plot.points(Points::new(name, [interval.value * 100.0, y]).color(color).radius(4.5));
            }
        }
    });
    let spoken = format!("{title}: plot of the values in the table under it");
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, &spoken));
}

fn table_ui(ui: &mut Ui, row: &ProofRow) {
    /// Width of a column of numbers.
    const NUMBERS: f32 = 96.0;
    let words = (ui.available_width() - 2.0 * (NUMBERS + theme::GAP)).max(80.0);
    ui.spacing_mut().item_spacing.y = 0.0;
    let line = |ui: &mut Ui, fill: bool, height: f32, cells: [&[RichText]; 3]| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(ui.available_width(), height), Sense::hover());
        if fill {
            ui.painter().rect_filled(rect, theme::ROUNDING, ui.visuals().faint_bg_color);
        }
        let mut left = rect.left() + theme::GAP;
        for (lines, width) in cells.into_iter().zip([words, NUMBERS, NUMBERS]) {
            let cell = Rect::from_min_size(egui::pos2(left, rect.top()), egui::vec2(width, height))
                .shrink2(egui::vec2(0.0, 4.0));
            ui.scope_builder(egui::UiBuilder::new().max_rect(cell), |ui| {
                for text in lines {
                    ui.add(Label::new(text.clone()).extend());
                }
            });
            left += width + theme::GAP;
        }
        ui.advance_cursor_after_rect(rect);
    };
    let [before, after] = ["Before", "After"].map(|title| [RichText::new(title).strong()]);
    line(ui, false, 26.0, [&[], &before, &after]);
    for (number, Measure { words, short, before, after }) in measures(row).into_iter().enumerate() {
        let name = [RichText::new(words), RichText::new(short).small().weak()];
        let cell = |interval: &Interval, is_better: bool| {
            let value = RichText::new(percent(interval.value));
            let range = format!("{:.1} to {:.1}", interval.low * 100.0, interval.high * 100.0);
            let value = if is_better { value.color(theme::palette(ui).accent) } else { value };
            [value, RichText::new(range).small().weak()]
        };
        let (old, new) = (cell(&before, false), cell(&after, after.value > before.value));
        line(ui, number % 2 == 0, 44.0, [&name, &old, &new]);
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn examples_ui(ui: &mut Ui, proof: &Proof, library: &OpenLibrary, textures: &mut Textures) {
    if proof.examples.is_empty() {
        return;
    }
    ui.add_space(theme::GAP);
    section(ui, "Searches before and after");
    for example in &proof.examples {
        example_ui(ui, example, proof.without_labels(), library, textures);
        ui.add_space(theme::WIDE_GAP);
    }
}

fn example_ui(ui: &mut Ui, example: &Example, finds_itself: bool, library: &OpenLibrary, textures: &mut Textures) {
    const LABEL: f32 = 44.0;
    const GAP: f32 = 6.0;
    let results = example.before.len().max(example.after.len()).max(1) as f32;
    let width = ui.available_width();
    // The query is as high as the two rows beside it.
    let side = ((width - LABEL - (results + 2.0) * GAP) / (results + 2.0)).clamp(28.0, 72.0);
    let query = &example.query;
    let is_right = |found: &Photo| if finds_itself { found.id == query.id } else { found.label() == query.label() };
    ui.spacing_mut().item_spacing = egui::vec2(GAP, GAP);
    ui.horizontal(|ui| {
        thumbnail_ui(ui, 2.0 * side + GAP, query, &format!("Query: {}", name(query)), None, library, textures);
        ui.vertical(|ui| {
            for (word, found) in [("Before", &example.before), ("After", &example.after)] {
                ui.horizontal(|ui| {
                    let place = ui.allocate_exact_size(egui::vec2(LABEL, side), Sense::hover()).0;
                    let font = egui::TextStyle::Small.resolve(ui.style());
                    let color = ui.visuals().weak_text_color();
                    ui.painter().text(place.right_center(), egui::Align2::RIGHT_CENTER, word, font, color);
                    for (number, photo) in found.iter().enumerate() {
                        let right = is_right(photo);
                        let said = if right { "right" } else { "wrong" };
                        let spoken = format!("{word} {}: {}, {said}", number + 1, name(photo));
                        thumbnail_ui(ui, side, photo, &spoken, Some(right), library, textures);
                    }
                });
            }
        });
    });
    ui.add(Label::new(RichText::new(name(query)).small().weak()).truncate());
}

/// A photo's label and file name.
fn name(photo: &Photo) -> String {
    match photo.label() {
        Some(label) => format!("{}, {}", label.to_string_lossy(), photo.file_name()),
        None => photo.file_name(),
    }
}

fn thumbnail_ui(
    ui: &mut Ui,
    side: f32,
    photo: &Arc<Photo>,
    spoken: &str,
    right: Option<bool>,
    library: &OpenLibrary,
    textures: &mut Textures,
) {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(side), Sense::hover());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, spoken));
    if !ui.is_rect_visible(rect) {
        return;
    }
    ui.painter().rect_filled(rect, theme::ROUNDING, theme::palette(ui).empty);
    let wish = Wish::Thumbnail { photo: Arc::clone(photo), library: Arc::clone(&library.library) };
    if let Picture::Ready(texture) = textures.get(wish) {
        paint_cover(ui, &texture, rect);
    }
    if let Some(right) = right {
        let badge = Rect::from_min_max(rect.max - egui::Vec2::splat(16.0), rect.max).center();
        ui.painter().circle_filled(badge, 8.5, ui.visuals().window_fill);
        paint_mark(ui, badge, 7.0, if right { Mark::Good } else { Mark::Bad });
    }
    response.on_hover_text(spoken);
}

/// What can be done now.
pub fn foot_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    run: &Run,
    end: &TrainingEnd,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        ui.set_min_height(FOOT);
        let again = |ui: &mut Ui, is_primary: bool, text: &str, actions: &mut Vec<Action>| {
            if ui.add(if is_primary { primary(ui, text) } else { secondary(text) }).clicked() {
                actions.push(Action::TrainAgain);
            }
        };
        match end {
            TrainingEnd::Stopped | TrainingEnd::Failed { .. } => {
                if let Some(options) = &state.train.resumable {
                    if ui.add_enabled(library.writable, primary(ui, "Resume")).clicked() {
                        actions.push(Action::StartTraining { options: options.clone(), resume: true });
                    }
                    again(ui, false, "Back", actions);
                } else {
                    again(ui, true, "Back", actions);
                }
            }
            TrainingEnd::Done { id, .. } => {
                let is_better = run.proof.as_ref().is_some_and(|proof| proof.better);
                if state.train.changing {
                    ui.label(RichText::new("One moment…").weak());
                } else if state.is_in_use(id) {
                    again(ui, true, "Done", actions);
                    if let Some(before) = run.before.as_deref().filter(|before| *before != id.as_str()) {
                        use_button_ui(ui, secondary("Use the one before"), before, actions);
                    }
                } else if is_better {
                    use_button_ui(ui, primary(ui, "Use the new model"), id, actions);
                    again(ui, false, "Keep the present one", actions);
                } else {
                    again(ui, true, "Keep the present one", actions);
                    use_button_ui(ui, secondary("Use it anyway"), id, actions);
                }
            }
        }
    });
}

fn use_button_ui(ui: &mut Ui, button: egui::Button<'_>, id: &str, actions: &mut Vec<Action>) {
    if ui.add(button).clicked() {
        actions.push(Action::UseModel(id.to_owned()));
    }
}
