//! Small pictures of lines for buttons: no font that comes with the toolkit has them all.

use std::f32::consts::TAU;

use eframe::egui::{self, Color32, Painter, Pos2, Rect, Response, Sense, Shape, Stroke, Ui, Vec2, pos2, vec2};

use super::theme;

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    Back,
    Forward,
    Camera,
    Close,
    Down,
    Enlarge,
    Menu,
    More,
    Similar,
    Tick,
    Train,
    Warning,
}

/// Draws an icon into a square, in lines of one colour.
pub(crate) fn paint(painter: &Painter, icon: Icon, square: Rect, color: Color32) {
    let stroke = Stroke::new((square.width() / 9.0).max(1.5), color);
    // In parts of the square, from 0 to 1.
    let at = |x: f32, y: f32| square.lerp_inside(vec2(x, y));
    let line = |points: &[(f32, f32)]| {
        painter.add(Shape::line(points.iter().map(|(x, y)| at(*x, *y)).collect(), stroke));
    };
    let size = square.width();
    match icon {
        Icon::Back => line(&[(0.65, 0.1), (0.25, 0.5), (0.65, 0.9)]),
        Icon::Forward => line(&[(0.35, 0.1), (0.75, 0.5), (0.35, 0.9)]),
        Icon::Down => line(&[(0.1, 0.32), (0.5, 0.72), (0.9, 0.32)]),
        Icon::Close => {
            line(&[(0.15, 0.15), (0.85, 0.85)]);
            line(&[(0.85, 0.15), (0.15, 0.85)]);
        }
        Icon::Camera => {
            let body = Rect::from_two_pos(at(0.0, 0.25), at(1.0, 0.9));
            painter.rect_stroke(body, size * 0.12, stroke, egui::StrokeKind::Inside);
            line(&[(0.3, 0.25), (0.38, 0.1), (0.62, 0.1), (0.7, 0.25)]);
            painter.circle_stroke(at(0.5, 0.57), size * 0.18, stroke);
        }
        Icon::Enlarge => {
            line(&[(0.6, 0.08), (0.92, 0.08), (0.92, 0.4)]);
            line(&[(0.08, 0.6), (0.08, 0.92), (0.4, 0.92)]);
            line(&[(0.92, 0.08), (0.58, 0.42)]);
            line(&[(0.08, 0.92), (0.42, 0.58)]);
        }
        Icon::Similar => {
            painter.circle_stroke(at(0.42, 0.42), size * 0.34, stroke);
            line(&[(0.67, 0.67), (0.97, 0.97)]);
        }
        Icon::Menu => [0.2, 0.5, 0.8].into_iter().for_each(|y| line(&[(0.05, y), (0.95, y)])),
        Icon::More => {
            for x in [0.15, 0.5, 0.85] {
                painter.circle_filled(at(x, 0.5), size * 0.1, color);
            }
        }
        Icon::Tick => line(&[(0.1, 0.55), (0.4, 0.85), (0.92, 0.2)]),
        Icon::Warning => {
            line(&[(0.5, 0.08), (0.97, 0.92), (0.03, 0.92), (0.5, 0.08)]);
            line(&[(0.5, 0.38), (0.5, 0.64)]);
            painter.circle_filled(at(0.5, 0.78), size * 0.06, color);
        }
        Icon::Train => {
            // A sprout.
            line(&[(0.5, 1.0), (0.5, 0.45)]);
            leaf(painter, at(0.5, 0.6), at(0.05, 0.2), stroke);
            leaf(painter, at(0.5, 0.45), at(0.95, 0.05), stroke);
        }
    }
}

/// A leaf from its stem to its tip.
fn leaf(painter: &Painter, stem: Pos2, tip: Pos2, stroke: Stroke) {
    let (middle, across) = (stem.lerp(tip, 0.5), (tip - stem).rot90() * 0.3);
    let points = (0..=16).map(|step| {
        let angle = TAU * step as f32 / 16.0;
        middle + (tip - stem) * (0.5 * angle.cos()) + across * (angle.sin() * (1.0 - 0.3 * angle.cos()))
    });
    painter.add(Shape::closed_line(points.collect(), stroke));
}

/// A square button with an icon and a name, as large as others are high.
pub(crate) fn icon_button(ui: &mut Ui, icon: Icon, name: &str, enabled: bool) -> Response {
    sized_icon_button(ui, icon, name, enabled, ui.spacing().interact_size.y)
}

/// The same, of this side in points.
pub(crate) fn sized_icon_button(ui: &mut Ui, icon: Icon, name: &str, enabled: bool, side: f32) -> Response {
    let (rect, response) =
        ui.allocate_exact_size(Vec2::splat(side), if enabled { Sense::click() } else { Sense::hover() });
    let color = if enabled { ui.visuals().text_color() } else { ui.visuals().weak_text_color().gamma_multiply(0.5) };
    if response.hovered() && enabled {
        ui.painter().rect_filled(rect, theme::ROUNDING, ui.visuals().widgets.hovered.weak_bg_fill);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(rect, theme::ROUNDING, theme::focus_stroke(ui), egui::StrokeKind::Inside);
    }
    let middle = pos2(rect.center().x.round(), rect.center().y.round());
    paint(ui.painter(), icon, Rect::from_center_size(middle, Vec2::splat((side * 0.5).round())), color);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, enabled, name));
    response
}
