//! What is known of the selected photo: its name, where it lies, when and with what it was taken.

use std::path::Path;

use eframe::egui::{self, Align, Grid, Label, Layout, RichText, ScrollArea, Ui};
use tr::tr;

use super::dates::{day_text, place_text, taken_text};
use super::grid::{likeness_text, paint_thumbnail};
use super::icons::{Icon, icon_button};
use super::state::{Action, OpenLibrary, State};
use super::textures::Textures;
use super::{command_button, megabytes, photos_of, theme};
use crate::command::Command;
use crate::metadata::Exposure;
use crate::query::Hit;

/// Of the picture at the top, in points.
const PICTURE_HEIGHT: f32 = 180.0;

/// The panel at the right.
pub(crate) fn details_ui(
    ui: &mut Ui,
    state: &State,
    library: &OpenLibrary,
    textures: &mut Textures,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(tr!("Details")).heading());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, Icon::Close, &tr!("Close the details"), true).clicked() {
                actions.push(Action::Command(Command::ShowDetails));
            }
        });
    });
    ui.add_space(theme::GAP);
    let Some(hit) = state.selected_hit() else {
        ui.weak(tr!("Select a photo to see what is known of it"));
        return;
    };
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        picture_ui(ui, hit, library, textures);
        if state.selection.len() > 1 {
            ui.weak(tr!("{} selected", photos_of(state.selection.len())));
        }
        ui.add(
            Label::new(RichText::new(hit.photo.file_name()).strong().size(theme::TITLE_SIZE)).wrap().selectable(true),
        );
        ui.add_space(theme::GAP);
        let file = library.library.root.join(&hit.photo.path);
        facts_ui(ui, state, hit, &file);
        ui.add_space(theme::GAP);
        ui.weak(tr!("Path"));
        ui.add(Label::new(file.display().to_string()).wrap().selectable(true));
        ui.add_space(theme::GAP);
        ui.horizontal_wrapped(|ui| {
            for command in [Command::FindSimilar, Command::OpenPhoto, Command::ShowInFileManager, Command::CopyPath] {
                command_button(ui, command, actions);
            }
        });
    });
}

fn picture_ui(ui: &mut Ui, hit: &Hit, library: &OpenLibrary, textures: &mut Textures) {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(ui.available_width(), PICTURE_HEIGHT), egui::Sense::hover());
    paint_thumbnail(ui, &hit.photo, &library.library, rect, textures);
    ui.add_space(theme::GAP);
}

fn facts_ui(ui: &mut Ui, state: &State, hit: &Hit, file: &Path) {
    let metadata = &hit.photo.metadata;
    let folder = hit.photo.path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let own = state.file_facts.as_ref().filter(|facts| facts.path == file);
    let exposure = own.and_then(|facts| facts.exposure.as_ref());
    let facts = [
        (tr!("Label"), hit.photo.label().map(|label| label.to_string_lossy().into_owned())),
        (tr!("Folder"), folder.map(|folder| folder.display().to_string())),
        (tr!("Taken"), metadata.taken.map(taken_text)),
        (tr!("Changed"), hit.photo.changed().map(day_text)),
        (tr!("Size"), metadata.size.map(|(width, height)| size_text(width, height))),
        (tr!("File"), own.and_then(|facts| facts.bytes).map(megabytes)),
        (tr!("Camera"), metadata.camera.as_deref().map(ToOwned::to_owned)),
        (tr!("Lens"), exposure.and_then(|exposure| exposure.lens.clone())),
        (tr!("Exposure"), exposure.map(exposure_text).filter(|text| !text.is_empty())),
        (tr!("Place"), metadata.place.map(place_text)),
        (tr!("Raw file"), hit.raw.as_ref().map(|raw| raw.file_name())),
        (tr!("Likeness"), likeness_text(hit)),
    ];
    Grid::new("details").num_columns(2).spacing([theme::WIDE_GAP, 4.0]).show(ui, |ui| {
        for (name, value) in facts {
            let Some(value) = value else { continue };
            ui.add(Label::new(RichText::new(name).weak()).extend());
            ui.add(Label::new(value).wrap().selectable(true));
            ui.end_row();
        }
    });
}

/// "4000 × 3000, 12 megapixels".
fn size_text(width: u32, height: u32) -> String {
    let megapixels = f64::from(width) * f64::from(height) / 1e6;
    let size = format!("{width} × {height}");
    if megapixels < 1.0 { size } else { tr!("{size}, {} megapixels", format!("{megapixels:.0}"), size) }
}

/// "1/250 s  ·  f/2.8  ·  ISO 100  ·  50 mm".
fn exposure_text(exposure: &Exposure) -> String {
    let seconds = exposure.seconds.map(|seconds| match seconds {
        seconds if seconds < 0.3 => format!("1/{:.0} s", 1.0 / seconds),
        seconds => format!("{} s", (seconds * 10.0).round() / 10.0),
    });
    let parts = [
        seconds,
        exposure.f_number.map(|number| format!("f/{}", (number * 10.0).round() / 10.0)),
        exposure.iso.map(|iso| format!("ISO {iso}")),
        exposure.focal_length.map(|length| format!("{} mm", (length * 10.0).round() / 10.0)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ·  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposure_is_written_as_photographers_do() {
        let exposure = Exposure {
            seconds: Some(0.004),
            f_number: Some(2.8),
            iso: Some(100),
            focal_length: Some(50.0),
            lens: None,
        };
        assert_eq!(exposure_text(&exposure), "1/250 s  ·  f/2.8  ·  ISO 100  ·  50 mm");
        assert_eq!(exposure_text(&Exposure { seconds: Some(2.5), ..Exposure::default() }), "2.5 s");
        assert_eq!(size_text(4000, 3000), "4000 × 3000, 12 megapixels");
        assert_eq!(size_text(640, 480), "640 × 480");
    }
}
