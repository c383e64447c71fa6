//! While it trains: how far it is, the curves as they grow, how fast, on what, and what had to be answered.

use eframe::egui::{self, Align, Grid, Label, Layout, ProgressBar, RichText, Ui};
use egui_plot::{Line, PlotPoints, Points};
use tr::tr;

use super::{notice_ui, primary, secondary, section, still_plot};
use crate::command::Command;
use crate::job::{Progress, Stage};
use crate::language::translate;
use crate::train::progress::{CurvePoint, TrainProgress};
use crate::ui::state::training::Run;
use crate::ui::state::{Action, OpenLibrary};
use crate::ui::{count, duration, megabytes, photos_of, theme};
use crate::worker::Request;

/// Height of each plot, in points.
const PLOT: f32 = 130.0;

/// How far a training is.
pub(crate) fn progress_ui(ui: &mut Ui, library: &OpenLibrary, run: &Run) {
    match (&library.progress, &run.progress) {
        // The photos that are new come first.
        (Some(indexing), _) => stage_ui(ui, indexing.stage, indexing.fraction(), &index_summary(indexing)),
        (None, Some(progress)) => {
            stage_ui(ui, progress.stage, fraction(progress), &summary(progress));
            facts_ui(ui, progress);
        }
        (None, None) => stage_ui(ui, Stage::default(), None, ""),
    }
    for text in &run.notices {
        ui.add_space(theme::GAP);
        notice_ui(ui, &translate(text), theme::palette(ui).warning);
    }
    curves_ui(ui, &run.curve);
}

fn stage_ui(ui: &mut Ui, stage: Stage, fraction: Option<f32>, summary: &str) {
    let stage = translate(stage.text());
    ui.add(Label::new(RichText::new(&stage).strong()).wrap());
    let accent = theme::palette(ui).accent;
    let bar = ProgressBar::new(fraction.unwrap_or(0.0)).desired_height(10.0).fill(accent);
    ui.add(bar).accessible_name(stage);
    ui.label(RichText::new(summary).weak());
}

/// Done of all steps, from 0 to 1; `None` while it is not known.
pub(crate) fn fraction(progress: &TrainProgress) -> Option<f32> {
    (progress.steps > 0).then(|| (progress.step as f64 / progress.steps as f64).min(1.0) as f32)
}

/// "Epoch 3 of 20 · step 1 234 of 6 552 · 45 s left".
fn summary(progress: &TrainProgress) -> String {
    let mut parts = Vec::new();
    if progress.epochs > 0 {
        parts.push(tr!("Epoch {} of {}", progress.epoch, progress.epochs));
    }
    if progress.steps > 0 {
        parts.push(tr!("step {} of {}", count(progress.step as usize), count(progress.steps as usize)));
    }
    parts.extend(progress.time_left.map(|left| tr!("{} left", duration(left))));
    parts.join(" · ")
}

fn index_summary(progress: &Progress) -> String {
    let of = progress.total.map(|total| tr!("{} of {}", count(progress.done as usize), count(total as usize)));
    let left = progress.time_left().filter(|left| !left.is_zero()).map(|left| tr!("{} left", duration(left)));
    of.into_iter().chain(left).collect::<Vec<_>>().join(" · ")
}

fn facts_ui(ui: &mut Ui, progress: &TrainProgress) {
    let facts = [
        (tr!("Speed"), progress.rate.map(|rate| tr!("{}/s", photos_of(rate.round() as usize)))),
        (tr!("Device"), Some(translate(&progress.device)).filter(|device| !device.is_empty())),
        (tr!("Device utilisation"), progress.busy.map(|share| format!("{:.0}\u{a0}%", share * 100.0))),
        (tr!("Memory"), progress.memory.map(megabytes)),
    ];
    ui.add_space(theme::GAP);
    Grid::new("facts").num_columns(2).spacing([theme::WIDE_GAP, 2.0]).show(ui, |ui| {
        for (name, value) in facts {
            let Some(value) = value else { continue };
            ui.label(RichText::new(name).weak());
            ui.label(value);
            ui.end_row();
        }
    });
}

/// The loss, and under it how often the first result is right: each in its own unit, above the same epochs.
fn curves_ui(ui: &mut Ui, curve: &[CurvePoint]) {
    let points = |value: fn(&CurvePoint) -> Option<f64>| -> Vec<[f64; 2]> {
        let with_value = curve.iter().filter_map(|point| Some([point.epoch, value(point)?]));
        with_value.filter(|[_, value]| value.is_finite()).collect()
    };
    let loss = points(|point| point.loss);
    let validation = points(|point| point.validation.map(|share| share * 100.0));
    let palette = theme::palette(ui);
    if !loss.is_empty() {
        let loss = Curve { points: loss, most: f64::INFINITY, color: palette.warning };
        curve_ui(ui, tr!("Loss"), tr!("lower is better"), loss, |value| format!("{value:.3}"));
    }
    if !validation.is_empty() {
        let validation = Curve { points: validation, most: 100.0, color: palette.accent };
        curve_ui(ui, tr!("Top-1 accuracy"), tr!("on held-out photos"), validation, |value| format!("{value:.1} %"));
    }
}

/// Values above epochs.
struct Curve {
    points: Vec<[f64; 2]>,
    /// No value can be more.
    most: f64,
    color: egui::Color32,
}

fn curve_ui(ui: &mut Ui, name: String, hint: String, curve: Curve, text: impl Fn(f64) -> String + Copy + 'static) {
    let Curve { points, most, color } = curve;
    section(ui, "");
    let last = points.last().map_or_else(String::new, |[_, value]| text(*value));
    ui.horizontal(|ui| {
        let (dot, _) = ui.allocate_exact_size(egui::Vec2::splat(10.0), egui::Sense::hover());
        ui.painter().circle_filled(dot.center(), 5.0, color);
        ui.label(RichText::new(&name).strong());
        ui.label(RichText::new(hint).weak());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.label(RichText::new(&last).strong()));
    });
    let plot = still_plot(ui, name.clone())
        .height(PLOT)
        .include_x(0.0)
        .set_margin_fraction(egui::vec2(0.02, 0.12))
        .y_axis_min_width(44.0)
        // The margin reaches beyond what there can be.
        .y_axis_formatter(move |mark, _| {
            let decimals = (-mark.step_size.log10()).ceil().max(0.0) as usize;
            if (0.0..=most).contains(&mark.value) { format!("{:.decimals$}", mark.value) } else { String::new() }
        })
        .x_axis_formatter(
            |mark, _| if mark.value.fract() == 0.0 { format!("{:.0}", mark.value) } else { String::new() },
        )
        .label_formatter(move |position| match position {
            egui_plot::HoverPosition::NearDataPoint { position, .. } => {
                Some(tr!("Epoch {}: {}", format_args!("{:.1}", position.x), text(position.y)))
            }
            egui_plot::HoverPosition::Elsewhere { .. } => None,
        });
    let count = points.len();
    let response = plot.show(ui, |plot| {
        // A few values are points still, and no line.
        if count < 30 {
            plot.points(Points::new(&name, points.clone()).radius(2.5).color(color));
        }
        plot.line(Line::new(&name, PlotPoints::from(points)).color(color).width(2.0));
    });
    let spoken = tr!("{}: {} after {n} value" | "{}: {} after {n} values" % count, name, last);
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Image, true, &spoken));
}

/// The ways to end it.
pub(crate) fn foot_ui(ui: &mut Ui, run: &Run, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let text = if run.stopping { tr!("Stopping…") } else { tr!("Stop and keep the best so far") };
        let stop = ui.add_enabled(!run.stopping, primary(ui, text));
        if stop.on_hover_text(tr!("What has been learnt is measured, and used where it is better")).clicked() {
            actions.push(Action::Request(Request::StopTraining));
        }
        let cancel =
            ui.add(secondary(tr!("Cancel"))).on_hover_text(tr!("Stop at once; the current model stays in use"));
        if cancel.clicked() {
            actions.push(Action::Request(Request::CancelJob));
        }
    });
}

/// The line at the window's foot, while the panel is closed.
pub(crate) fn line_ui(ui: &mut Ui, run: &Run, actions: &mut Vec<Action>) {
    ui.label(RichText::new(tr!("Training")).strong());
    let bar = run.progress.as_ref().and_then(fraction);
    let bar = ProgressBar::new(bar.unwrap_or(0.0)).desired_width(220.0).desired_height(10.0);
    ui.add(bar.fill(theme::palette(ui).accent)).accessible_name(tr!("Training"));
    if let Some(progress) = &run.progress {
        ui.label(translate(progress.stage.text()));
        ui.label(RichText::new(summary(progress)).weak());
    }
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        if ui.button(tr!("Show")).on_hover_text(tr!("Open the training panel")).clicked() {
            actions.push(Action::Command(Command::Train));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_summary_says_what_is_known() {
        let mut progress = TrainProgress::default();
        assert_eq!(summary(&progress), "");
        (progress.epoch, progress.epochs, progress.step, progress.steps) = (3, 20, 120, 1400);
        progress.time_left = Some(Duration::from_secs(45));
        assert_eq!(summary(&progress), "Epoch 3 of 20 · step 120 of 1\u{2009}400 · 45 s left");
        assert_eq!(fraction(&progress), Some(120.0 / 1400.0));
    }
}
