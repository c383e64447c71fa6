//! The figures of both models at one task: a plot and a table.

use eframe::egui::{self, Color32, Label, Rect, RichText, Sense, Ui};
use egui_plot::{GridMark, HoverPosition, Line, Points};
use tr::tr;

use super::super::{explain, section, still_plot};
use crate::artefact::{Interval, Score, Task, TaskResult};
use crate::language::translate;
use crate::train::wording;
use crate::ui::{count, photos_of, theme};

/// A figure of both models.
struct Measure {
    /// What it is for people.
    words: String,
    /// As the literature calls it.
    short: &'static str,
    before: Interval,
    after: Interval,
    /// The difference is more than chance.
    is_better: bool,
}

fn measures(row: &TaskResult) -> Vec<Measure> {
    let of = |words: String, short, score: fn(&Score) -> Interval| Measure {
        words,
        short,
        before: score(&row.before),
        after: score(&row.after),
        is_better: score(&row.gain).low > 0.0,
    };
    let mut measures = vec![
        of(tr!("Top-1 accuracy"), "Recall@1", |score| score.recall_at_1),
        of(tr!("Top-5 accuracy"), "Recall@5", |score| score.recall_at_5),
    ];
    if !row.task.has_one_answer() {
        measures.push(of(tr!("Ranking quality"), "MAP@R", |score| score.map_at_r));
    }
    measures
}

/// One task: what it is, a plot, and the numbers.
pub(super) fn task_ui(ui: &mut Ui, row: &TaskResult) {
    let title = translate(wording::task_name(row.task));
    let hint = match row.task {
        Task::SeenSpecies => tr!("New photos of species that it has learnt"),
        Task::UnseenSpecies => tr!("Photos of species that it has never seen"),
        Task::AlteredViews => tr!("Cropped and recoloured copies, each to find its original"),
    };
    ui.add_space(theme::GAP);
    section(ui, &title);
    let (queries, gallery) = (row.queries as usize, row.gallery as usize);
    explain(
        ui,
        tr!(
            "{hint}: {} search among {}" | "{hint}: {} searches among {}" % queries,
            count(queries),
            photos_of(gallery),
            hint
        ),
    );
    legend_ui(ui);
    plot_ui(ui, row, &title);
    ui.scope(|ui| table_ui(ui, row));
}

fn colors(ui: &Ui) -> [Color32; 2] {
    [ui.visuals().weak_text_color(), theme::palette(ui).accent]
}

fn legend_ui(ui: &mut Ui) {
    ui.horizontal(|ui| {
        for (color, text) in colors(ui).into_iter().zip([tr!("Before"), tr!("After")]) {
            let (dot, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 5.0, color);
            ui.label(RichText::new(text).small());
            ui.add_space(theme::GAP);
        }
    });
}

/// Values with their ranges, the one before above the one after.
fn plot_ui(ui: &mut Ui, row: &TaskResult, title: &str) {
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
    let plot = still_plot(ui, ("evaluation", title))
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
            for (name, interval, y, color) in [
                (tr!("Before"), before, middle + 0.17, before_color),
                (tr!("After"), after, middle - 0.17, after_color),
            ] {
                let range = vec![[interval.low * 100.0, y], [interval.high * 100.0, y]];
                plot.line(Line::new(&name, range).color(color).width(2.5).allow_hover(false));
                plot.points(Points::new(name, [interval.value * 100.0, y]).color(color).radius(4.5));
            }
        }
    });
    let spoken = tr!("{}: plot of the values in the table under it", title);
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, &spoken));
}

fn table_ui(ui: &mut Ui, row: &TaskResult) {
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
    let [before, after] = [tr!("Before"), tr!("After")].map(|title| [RichText::new(title).strong()]);
    line(ui, false, 26.0, [&[], &before, &after]);
    for (number, Measure { words, short, before, after, is_better }) in measures(row).into_iter().enumerate() {
        let name = [RichText::new(words), RichText::new(short).small().weak()];
        let cell = |interval: &Interval, is_better: bool| {
            let value = RichText::new(percent(interval.value));
            let range = tr!(
                "{} to {}",
                format_args!("{:.1}", interval.low * 100.0),
                format_args!("{:.1}", interval.high * 100.0)
            );
            let value = if is_better { value.color(theme::palette(ui).accent) } else { value };
            [value, RichText::new(range).small().weak()]
        };
        let (old, new) = (cell(&before, false), cell(&after, is_better));
        line(ui, number % 2 == 0, 44.0, [&name, &old, &new]);
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
