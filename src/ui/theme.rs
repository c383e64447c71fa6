//! Colours, spacing and text sizes. Only the measures of a single panel are chosen there.

use eframe::egui::{self, Color32, CornerRadius, FontFamily, FontId, Margin, Stroke, TextStyle, Theme, Visuals};

/// Space between things that belong together, and between groups, in points.
pub(crate) const GAP: f32 = 8.0;
pub(crate) const WIDE_GAP: f32 = 16.0;
/// Inside margin of panels.
pub(crate) const MARGIN: Margin = Margin::same(12);
/// Inside margin of what lies over the window and asks something.
pub(crate) const DIALOG_MARGIN: Margin = Margin::same(20);
/// Inside margin of a field for text.
pub(crate) const FIELD_MARGIN: Margin = Margin::symmetric(8, 6);
/// Rounding of pictures and buttons, of the search field, and of what limits a search.
pub(crate) const ROUNDING: CornerRadius = CornerRadius::same(6);
pub(crate) const FIELD_ROUNDING: CornerRadius = CornerRadius::same(17);
pub(crate) const CHIP_ROUNDING: CornerRadius = CornerRadius::same(12);

/// Sizes of text beside those of egui's text styles, in points: the program's name, what is said to a newcomer, what a
/// drop would do, what to do next, the name of a thing among its properties, the first line under a thumbnail.
pub(crate) const NAME_SIZE: f32 = 44.0;
pub(crate) const LEAD_SIZE: f32 = 18.0;
pub(crate) const DROP_SIZE: f32 = 24.0;
pub(crate) const PRIMARY_SIZE: f32 = 16.0;
pub(crate) const TITLE_SIZE: f32 = 15.0;
pub(crate) const CAPTION_SIZE: f32 = 13.0;

/// Colours that egui's own visuals have no place for.
pub(crate) struct Palette {
    /// What to click first, what is selected.
    pub(crate) accent: Color32,
    /// Text on the accent.
    pub(crate) on_accent: Color32,
    /// Where a picture will be.
    pub(crate) empty: Color32,
    pub(crate) error: Color32,
    pub(crate) warning: Color32,
    /// Laid over the window while something hovers above it.
    pub(crate) veil: Color32,
}

const LIGHT_ACCENT: Color32 = Color32::from_rgb(46, 112, 70);
const DARK_ACCENT: Color32 = Color32::from_rgb(118, 190, 138);

/// The palette of the theme in use.
pub(crate) fn palette(ui: &egui::Ui) -> Palette {
    let dark = ui.visuals().dark_mode;
    let pick = |light: [u8; 3], night: [u8; 3]| {
        let [r, g, b] = if dark { night } else { light };
        Color32::from_rgb(r, g, b)
    };
    Palette {
        accent: if dark { DARK_ACCENT } else { LIGHT_ACCENT },
        on_accent: pick([255, 255, 255], [14, 28, 19]),
        empty: pick([226, 229, 220], [42, 47, 43]),
        error: pick([176, 42, 42], [240, 128, 120]),
        warning: pick([146, 92, 0], [232, 180, 90]),
        veil: if dark { Color32::from_black_alpha(210) } else { Color32::from_white_alpha(225) },
    }
}

/// Around what has the keyboard's focus.
pub(crate) fn focus_stroke(ui: &egui::Ui) -> Stroke {
    Stroke::new(2.0, palette(ui).accent)
}

/// Sets fonts, spacing and colours for light and dark.
pub(crate) fn install(ctx: &egui::Context) {
    ctx.all_styles_mut(|style| {
        let size = |size| FontId::new(size, FontFamily::Proportional);
        style.text_styles = [
            (TextStyle::Small, size(12.0)),
            (TextStyle::Body, size(14.0)),
            (TextStyle::Button, size(14.0)),
            (TextStyle::Heading, size(20.0)),
            (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
        ]
        .into();
        style.spacing.item_spacing = egui::vec2(GAP, 6.0);
        style.spacing.button_padding = egui::vec2(10.0, 5.0);
        style.spacing.interact_size.y = 28.0;
        style.spacing.window_margin = MARGIN;
        style.spacing.scroll = egui::style::ScrollStyle::solid();
        style.interaction.selectable_labels = false;
    });
    ctx.set_visuals_of(Theme::Light, light());
    ctx.set_visuals_of(Theme::Dark, dark());
}

fn light() -> Visuals {
    let mut visuals = Visuals::light();
    visuals.panel_fill = Color32::from_rgb(247, 248, 243);
    visuals.window_fill = Color32::from_rgb(252, 252, 249);
    visuals.extreme_bg_color = Color32::WHITE;
    visuals.faint_bg_color = Color32::from_rgb(238, 240, 232);
    visuals.override_text_color = Some(Color32::from_rgb(32, 38, 34));
    visuals.weak_text_color = Some(Color32::from_rgb(92, 100, 94));
    visuals.hyperlink_color = LIGHT_ACCENT;
    visuals.selection.bg_fill = Color32::from_rgb(200, 226, 207);
    visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(24, 74, 44));
    finish(visuals, Color32::from_rgb(229, 233, 222), Color32::from_rgb(216, 223, 207))
}

fn dark() -> Visuals {
    let mut visuals = Visuals::dark();
    visuals.panel_fill = Color32::from_rgb(24, 28, 25);
    visuals.window_fill = Color32::from_rgb(31, 36, 32);
    visuals.extreme_bg_color = Color32::from_rgb(16, 19, 17);
    visuals.faint_bg_color = Color32::from_rgb(32, 37, 33);
    visuals.override_text_color = Some(Color32::from_rgb(226, 231, 226));
    visuals.weak_text_color = Some(Color32::from_rgb(154, 164, 156));
    visuals.hyperlink_color = DARK_ACCENT;
    visuals.selection.bg_fill = Color32::from_rgb(40, 78, 54);
    visuals.selection.stroke = Stroke::new(1.0, Color32::from_rgb(206, 236, 214));
    finish(visuals, Color32::from_rgb(45, 51, 46), Color32::from_rgb(58, 66, 60))
}

fn finish(mut visuals: Visuals, button: Color32, hovered: Color32) -> Visuals {
    let widgets = &mut visuals.widgets;
    for widget in [&mut widgets.noninteractive, &mut widgets.inactive, &mut widgets.hovered, &mut widgets.active] {
        widget.corner_radius = ROUNDING;
        widget.expansion = 0.0;
    }
    widgets.open.corner_radius = ROUNDING;
    widgets.inactive.weak_bg_fill = button;
    widgets.inactive.bg_fill = button;
    widgets.hovered.weak_bg_fill = hovered;
    widgets.hovered.bg_fill = hovered;
    widgets.hovered.bg_stroke = Stroke::NONE;
    widgets.open.weak_bg_fill = hovered;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.window_corner_radius = CornerRadius::same(10);
    visuals.menu_corner_radius = CornerRadius::same(8);
    visuals
}
