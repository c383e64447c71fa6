//! What is it? The answer above the results: a name and how far to trust it, the other names that come into question, each
//! with the most similar of its photos.

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Align, Align2, FontId, Label, Layout, Rect, RichText, Sense, Slider, TextStyle, Ui};
use tr::tr;

use super::grid::{paint_thumbnail, probable};
use super::icons::{self, Icon};
use super::state::{Action, OpenLibrary, State};
use super::textures::Textures;
use super::{count, one_line, photos_of, theme};
use crate::filter::Choice;
use crate::identify::{Candidate, Identification, Verdict};

/// Width of the slider, in points.
const SLIDER: f32 = 90.0;
/// Side of a candidate's picture, in points.
const PICTURE: f32 = 36.0;
/// The widest that a candidate may be.
const CANDIDATE: f32 = 190.0;
/// Names that are shown; fewer where the part of the window below the header is lower than this, in points.
const MOST_NAMES: usize = 4;
const TALL: f32 = 420.0;
/// From this width on there is room for words beside the slider.
const WIDE: f32 = 420.0;

/// The answer to a search, where there is one.
pub(crate) fn answer_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    if !state.is_search() || state.waiting || state.all_hits.is_empty() {
        return;
    }
    let is_small = ui.available_height() < TALL;
    let Some(identification) = state.identification.as_deref() else {
        ui.horizontal(|ui| {
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                threshold_ui(ui, state, actions);
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| closeness_ui(ui, state));
            });
        });
        return;
    };
    let (title, explanation) = in_words(identification);
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            threshold_ui(ui, state, actions);
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let text = RichText::new(&title).size(theme::LEAD_SIZE).strong();
                let heading = ui.add(Label::new(text).truncate());
                heading.widget_info(|| egui::WidgetInfo::labeled(Role::Heading, true, &title));
            });
        });
    });
    ui.add(Label::new(RichText::new(explanation).weak()).truncate()).on_hover_text(tr!(
        "Measured on the photos of this folder: each was asked for as if it were not there. The name of a plant is the name of the folder its photos lie in."
    ));
    // A single name has been said.
    if is_small && identification.candidates.len() < 2 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        let names = if is_small { 2 } else { MOST_NAMES };
        for candidate in identification.candidates.iter().take(names) {
            candidate_ui(ui, candidate, identification, state, library, textures, actions);
        }
    });
    ui.add_space(theme::GAP);
}

/// Where no names are near: how many results are close, or that not even the first one is.
fn closeness_ui(ui: &mut Ui, state: &State) {
    let Some(close) = state.close_results() else { return };
    let (mut color, mut text) = (ui.visuals().text_color(), tr!("{} much like it", photos_of(close)));
    if close == 0 {
        (color, text) = (theme::palette(ui).warning, tr!("No close match in this folder. These are the nearest."));
        let (mark, _) = ui.allocate_exact_size(egui::Vec2::splat(18.0), Sense::hover());
        icons::paint(ui.painter(), Icon::Warning, mark, color);
    }
    let heading = ui.add(Label::new(RichText::new(&text).size(theme::LEAD_SIZE).color(color)).truncate());
    heading.widget_info(|| egui::WidgetInfo::labeled(Role::Heading, true, &text));
}

/// Hides results below a likeness, at once.
fn threshold_ui(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let mut percent = (state.threshold * 100.0).round();
    ui.spacing_mut().slider_width = SLIDER;
    let hidden = state.all_hits.len() - state.hits().len();
    let is_wide = ui.available_width() >= WIDE;
    let slider = ui.add(Slider::new(&mut percent, 0.0..=95.0).step_by(5.0).show_value(false));
    let slider = slider.on_hover_text(tr!("Hides results that are less likely, or less similar, than this"));
    if slider.accessible_name(tr!("Least likeness")).changed() {
        actions.push(Action::SetThreshold(percent / 100.0));
    }
    if hidden > 0 {
        ui.weak(tr!("{} hidden", count(hidden)));
    } else if is_wide {
        ui.weak(tr!("Hide unlikely ones"));
    }
}

/// What is said, and how far to trust it.
fn in_words(identification: &Identification) -> (String, String) {
    let Identification { verdict, candidates, probability, .. } = identification;
    let first = candidates.first().map(|candidate| candidate.name.to_string_lossy().into_owned()).unwrap_or_default();
    let right = |probability: f64| tr!("Right in about {} such cases", out_of(probability));
    let probability = probability.unwrap_or_default();
    match verdict {
        Verdict::Named if probability >= 0.95 => (first, right(probability)),
        Verdict::Named => (tr!("Probably {}", first), right(probability)),
        Verdict::Group { name, probability } => (tr!("Some kind of {}", name.to_string_lossy()), right(*probability)),
        Verdict::Unsure => (tr!("Perhaps {}", first), right(probability)),
        Verdict::NothingLikeIt => {
            (tr!("Nothing like this here"), tr!("Your photos show no plant that looks like it. The nearest are:"))
        }
        Verdict::Unmeasured => {
            (tr!("Perhaps {}", first), tr!("Too few photos have names to tell how often that is right"))
        }
    }
}

/// A probability as people count: "9 of 10", "98 of 100".
fn out_of(probability: f64) -> String {
    let tenths = (probability * 10.0).round();
    let hundredths = (probability * 100.0).round().clamp(1.0, 99.0);
    if (0.095..0.945).contains(&probability) { tr!("{} of 10", tenths) } else { tr!("{} of 100", hundredths) }
}

fn candidate_ui(
    ui: &mut Ui,
    candidate: &Candidate,
    identification: &Identification,
    state: &State,
    library: &OpenLibrary,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    let name = candidate.name.to_string_lossy();
    let share = format!("{:.0} %", candidate.share * 100.0);
    let is_there = identification.verdict != Verdict::NothingLikeIt;
    let likely = identification.probability_of(&candidate.name).filter(|_| is_there).map(probable);
    let (body, small) = (FontId::proportional(theme::CAPTION_SIZE), TextStyle::Small.resolve(ui.style()));
    let (strong, weak) = (ui.visuals().text_color(), ui.visuals().weak_text_color());
    let line = one_line(ui, name.clone().into_owned(), body, strong, CANDIDATE - PICTURE - 3.0 * theme::GAP);
    let width = PICTURE + 2.5 * theme::GAP + line.size().x.max(40.0);
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, PICTURE + theme::GAP), Sense::click());
    let choice = Choice::Label(candidate.name.clone());
    let is_chosen = state.filter.choices.contains(&choice);
    let visuals = ui.style().interact_selectable(&response, is_chosen);
    ui.painter().rect(rect, theme::ROUNDING, visuals.weak_bg_fill, visuals.bg_stroke, egui::StrokeKind::Inside);
    let corner = rect.left_center() + egui::vec2(theme::GAP / 2.0, -PICTURE / 2.0);
    let picture = Rect::from_min_size(corner, egui::Vec2::splat(PICTURE));
    paint_thumbnail(ui, &candidate.photo, &library.library, picture, textures);
    let left = picture.right() + theme::GAP;
    let top = if likely.is_some() { rect.top() + 6.0 } else { rect.center().y - line.size().y / 2.0 };
    ui.painter().galley(egui::pos2(left, top), line, strong);
    if let Some(likely) = &likely {
        ui.painter().text(egui::pos2(left, rect.bottom() - 6.0), Align2::LEFT_BOTTOM, likely, small, weak);
    }
    let enabled = ui.is_enabled();
    let said = tr!("{} of the votes of the nearest photos", share);
    let spoken = [Some(&*name), likely.as_deref(), Some(&said)].into_iter().flatten().collect::<Vec<_>>().join(", ");
    response.widget_info(|| egui::WidgetInfo::selected(Role::Button, enabled, is_chosen, &spoken));
    let tooltip = if is_chosen { tr!("Show all names again") } else { tr!("Show only photos with this name") };
    if response.on_hover_text(format!("{name}\n{said}\n{tooltip}")).clicked() {
        actions.push(Action::Choose(choice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_said_as_people_count() {
        for (probability, said) in [
            (0.5, "5 of 10"),
            (0.88, "9 of 10"),
            (0.94, "9 of 10"),
            (0.952, "95 of 100"),
            (0.999, "99 of 100"),
            (1.0, "99 of 100"),
            (0.04, "4 of 100"),
            (0.001, "1 of 100"),
        ] {
            assert_eq!(out_of(probability), said);
        }
    }
}
