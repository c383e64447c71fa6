//! The figures of both models at one task, as a table.

use eframe::egui::{self, Color32, Label, Rect, RichText, Sense, Ui};
use tr::tr;

use super::super::{explain, section};
use crate::artefact::{Interval, Score, Task, TaskResult};
use crate::language::translate;
use crate::train::wording;
use crate::ui::{count, photos_of, theme};

/// A figure of both models.
pub(super) struct Measure {
    /// What it is for people.
    words: String,
    /// As the literature calls it.
    pub(super) short: &'static str,
    pub(super) before: Interval,
    pub(super) after: Interval,
    gain: Interval,
}

pub(super) fn measures(row: &TaskResult) -> Vec<Measure> {
    let of = |words: String, short, score: fn(&Score) -> Interval| Measure {
        words,
        short,
        before: score(&row.before),
        after: score(&row.after),
        gain: score(&row.gain),
    };
    let mut measures = vec![
        of(tr!("Top-1 accuracy"), "Recall@1", |score| score.recall_at_1),
        of(tr!("Top-5 accuracy"), "Recall@5", |score| score.recall_at_5),
    ];
    if !row.task.has_one_answer() {
        measures.push(of(tr!("Whole species ranked well"), "MAP@R", |score| score.map_at_r));
    }
    measures
}

/// What a figure may be said to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ui) enum Tendency {
    Gain,
    Loss,
    /// What differs may be chance, or cannot be seen in the figures.
    Unclear,
}

pub(in crate::ui) fn tendency(before: &Interval, after: &Interval, gain: &Interval) -> Tendency {
    match gain {
        _ if percent(before.value) == percent(after.value) => Tendency::Unclear,
        gain if gain.is_gain() => Tendency::Gain,
        gain if gain.is_loss() => Tendency::Loss,
        _ => Tendency::Unclear,
    }
}

/// One task: what it is, and the numbers.
pub(super) fn task_ui(ui: &mut Ui, row: &TaskResult) {
    let hint = match row.task {
        Task::SeenSpecies => tr!("New photos of species that it has learnt"),
        Task::UnseenSpecies => tr!("Photos of species that it has never seen"),
        Task::AlteredViews => tr!("Cropped and recoloured copies, each to find its original"),
    };
    section(ui, translate(wording::task_name(row.task)));
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
    ui.scope(|ui| table_ui(ui, row));
}

fn table_ui(ui: &mut Ui, row: &TaskResult) {
    /// Width of a column of numbers.
    const NUMBERS: f32 = 84.0;
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
    let palette = theme::palette(ui);
    for (number, Measure { words, short, before, after, gain }) in measures(row).into_iter().enumerate() {
        let name = [RichText::new(words), RichText::new(short).small().weak()];
        let cell = |interval: &Interval, color: Option<Color32>| {
            let value = RichText::new(percent(interval.value));
            let range = tr!(
                "{} to {}",
                format_args!("{:.1}", interval.low * 100.0),
                format_args!("{:.1}", interval.high * 100.0)
            );
            let value = if let Some(color) = color { value.color(color).strong() } else { value };
            [value, RichText::new(range).small().weak()]
        };
        let color = match tendency(&before, &after, &gain) {
            Tendency::Gain => Some(palette.accent),
            Tendency::Loss => Some(palette.error),
            Tendency::Unclear => None,
        };
        let (old, new) = (cell(&before, None), cell(&after, color));
        line(ui, number % 2 == 0, 44.0, [&name, &old, &new]);
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_visible_difference_beyond_chance_is_a_gain_or_a_loss() {
        let at = |value: f64, half: f64| Interval { value, low: value - half, high: value + half };
        let of = |before: f64, after: f64, half: f64| {
            tendency(&at(before, 0.05), &at(after, 0.05), &at(after - before, half))
        };
        assert_eq!(of(0.8, 0.9, 0.05), Tendency::Gain);
        assert_eq!(of(0.8, 0.9, 0.2), Tendency::Unclear);
        assert_eq!(of(0.9, 0.8, 0.05), Tendency::Loss);
        assert_eq!(of(0.9, 0.9, 0.0), Tendency::Unclear);
        assert_eq!(of(0.9, 0.9001, 0.000_01), Tendency::Unclear);
    }
}
