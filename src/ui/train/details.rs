//! The numbers of a running training, for those who want to know: the curves as they grow, how fast, on what.

use eframe::egui::{self, Align, Grid, Layout, RichText, Ui};
use egui_plot::{Line, PlotPoints, Points};
use tr::tr;

use super::{section, still_plot};
use crate::language::translate;
use crate::train::progress::{CurvePoint, TrainProgress};
use crate::ui::state::training::Run;
use crate::ui::{count, megabytes, photos_of, theme};

/// Height of each plot, in points.
const PLOT: f32 = 130.0;

pub(super) fn details_ui(ui: &mut Ui, run: &Run) {
    if let Some(progress) = &run.progress {
        facts_ui(ui, progress);
    }
    curves_ui(ui, &run.curve);
}

fn facts_ui(ui: &mut Ui, progress: &TrainProgress) {
    let steps =
        (progress.steps > 0).then(|| tr!("{} of {}", count(progress.step as usize), count(progress.steps as usize)));
    let facts = [
        (tr!("Stage"), Some(translate(progress.stage.text()))),
        (tr!("Steps"), steps),
        (tr!("Speed"), progress.rate.map(|rate| tr!("{}/s", photos_of(rate.round() as usize)))),
        (tr!("Device"), Some(translate(&progress.device)).filter(|device| !device.is_empty())),
        (tr!("Device utilisation"), progress.busy.map(|share| format!("{:.0}\u{a0}%", share * 100.0))),
        (tr!("Memory"), progress.memory.map(megabytes)),
    ];
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
