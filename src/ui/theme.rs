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

/// How long the mouse has to rest before a tooltip comes, in seconds.
const TOOLTIP_AFTER: f32 = 0.6;

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
    palette_of(ui.visuals().dark_mode)
}

fn palette_of(dark: bool) -> Palette {
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

/// How much is seen of what is disabled, 0 to 1: its text has to be read. What explains it is not disabled itself.
const DISABLED: f32 = 0.75;

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
        // After a rest of the mouse only: nobody who is about to click wants an explanation.
        style.interaction.tooltip_delay = TOOLTIP_AFTER;
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
    visuals.weak_text_color = Some(Color32::from_rgb(78, 86, 80));
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
    visuals.weak_text_color = Some(Color32::from_rgb(174, 184, 176));
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
    visuals.disabled_alpha = DISABLED;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.window_corner_radius = CornerRadius::same(10);
    visuals.menu_corner_radius = CornerRadius::same(8);
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least contrast of text: WCAG 2.2, level AA.
    const READABLE: f64 = 4.5;

    /// Relative luminance by WCAG 2.2.
    fn luminance(color: Color32) -> f64 {
        let linear = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(color.r()) + 0.7152 * linear(color.g()) + 0.0722 * linear(color.b())
    }

    fn contrast(one: Color32, other: Color32) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn black_on_white_has_the_contrast_that_is_defined_for_it() {
        assert!((contrast(Color32::BLACK, Color32::WHITE) - 21.0).abs() < 1e-9);
        assert!((contrast(Color32::from_gray(119), Color32::WHITE) - 4.48).abs() < 0.01);
    }

    #[test]
    fn all_text_can_be_read_on_all_that_it_stands_on() {
        for (name, visuals) in [("light", light()), ("dark", dark())] {
            let palette = palette_of(visuals.dark_mode);
            let text = visuals.override_text_color.unwrap();
            let weak = visuals.weak_text_color.unwrap();
            let grounds = [
                ("panel", visuals.panel_fill),
                ("window", visuals.window_fill),
                ("field", visuals.extreme_bg_color),
                ("stripe", visuals.faint_bg_color),
            ];
            let buttons = [
                ("button", visuals.widgets.inactive.weak_bg_fill),
                ("hovered", visuals.widgets.hovered.weak_bg_fill),
                ("open", visuals.widgets.open.weak_bg_fill),
                ("selection", visuals.selection.bg_fill),
                ("empty", palette.empty),
            ];
            let inks = [
                ("weak", weak),
                ("link", visuals.hyperlink_color),
                ("accent", palette.accent),
                ("error", palette.error),
                ("warning", palette.warning),
            ];
            let mut pairs: Vec<(String, Color32, Color32)> = Vec::new();
            for (on, ground) in grounds {
                pairs.extend(inks.map(|(what, ink)| (format!("{what} on {on}"), ink, ground)));
                // As egui fades what is disabled.
                let faded = ground.lerp_to_gamma(text, DISABLED);
                pairs.push((format!("disabled on {on}"), faded, ground));
            }
            for (on, ground) in grounds.into_iter().chain(buttons) {
                pairs.push((format!("text on {on}"), text, ground));
            }
            pairs.push(("weak on selection".into(), weak, visuals.selection.bg_fill));
            pairs.push(("weak on button".into(), weak, visuals.widgets.inactive.weak_bg_fill));
            pairs.push(("selected on selection".into(), visuals.selection.stroke.color, visuals.selection.bg_fill));
            pairs.push(("text on accent".into(), palette.on_accent, palette.accent));
            pairs.push(("text on warning".into(), palette.on_accent, palette.warning));
            let dim: Vec<_> = pairs
                .iter()
                .map(|(what, ink, ground)| (what, contrast(*ink, *ground)))
                .filter(|(_, contrast)| *contrast < READABLE)
                .collect();
            assert!(dim.is_empty(), "{name}: {dim:.2?}");
        }
    }
}
