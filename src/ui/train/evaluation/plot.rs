//! The figures of both models at one task as a plot.

use eframe::egui::{self, Color32, RichText, Sense, Ui};
use egui_plot::{GridMark, HoverPosition, Line, Points};
use tr::tr;

use super::super::{section, still_plot};
use super::measures::{Measure, measures};
use crate::artefact::TaskResult;
use crate::language::translate;
use crate::train::wording;
use crate::ui::theme;

/// Values with their ranges, under the task's name.
pub(super) fn plot_ui(ui: &mut Ui, row: &TaskResult) {
    let title = translate(wording::task_name(row.task));
    section(ui, &title);
    legend_ui(ui);
    values_ui(ui, row, &title);
}

/// Before and after. Neither is green: whether something is better, the table says.
fn colors(ui: &Ui) -> [Color32; 2] {
    [ui.visuals().weak_text_color().gamma_multiply(0.7), ui.visuals().strong_text_color()]
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
fn values_ui(ui: &mut Ui, row: &TaskResult, title: &str) {
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
