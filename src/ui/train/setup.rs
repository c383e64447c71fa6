//! Before the start: which recipe, what it would learn from, how long that would take, and, for those who want to
//! know, everything that can be chosen.

use eframe::egui::{
    self, Align, ComboBox, DragValue, Frame, Grid, Label, Layout, RadioButton, RichText, ScrollArea, Sense, Ui,
};
use tr::tr;

use super::time::range_text;
use super::{explain, loss_name, notice_ui, primary, recipe_name, secondary, section};
use crate::artefact::{Focus, Loss, ModelId, Recipe, TrainOptions};
use crate::device::DeviceChoice;
use crate::language::translate;
use crate::train::dataset::MIN_PHOTOS_PER_CLASS;
use crate::train::progress::LabelPreview;
use crate::train::{MIN_PHOTOS, wording};
use crate::ui::models::title_of;
use crate::ui::state::training::{Train, Usable};
use crate::ui::state::{Action, OpenLibrary, State};
use crate::ui::status::reason;
use crate::ui::{count, files_of, photos_of, theme};
use crate::worker::Request;

const LOSSES: [Loss; 6] = [
    Loss::NormalisedSoftmax,
    Loss::ProxyAnchor,
    Loss::MultiSimilarity,
    Loss::BatchHardTriplet,
    Loss::SemiHardTriplet,
    Loss::RandomTriplet,
];
const DEVICES: [DeviceChoice; 4] = [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda, DeviceChoice::Mps];
/// Height of the list of species, in points.
const LIST: f32 = 132.0;

/// What is chosen before a training.
pub(crate) fn setup_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let train = &state.train;
    explain(ui, tr!("Learn from the photos in this folder, so that searches find the right flowers more often."));
    ui.add_space(theme::GAP);
    if let Some(options) = &train.resumable {
        resume_ui(ui, options, library.writable, actions);
    }
    let mut options = train.options.clone();
    let is_labelled = train.labels.as_ref().is_none_or(|labels| Usable::of(labels).is_labelled());
    for recipe in [Recipe::Quick, Recipe::Full] {
        recipe_ui(ui, train, recipe, is_labelled, &mut options);
    }
    let is_tutorial = options.recipe == Recipe::Tutorial;
    let more = egui::CollapsingHeader::new(tr!("More")).default_open(is_tutorial);
    more.show(ui, |ui| recipe_ui(ui, train, Recipe::Tutorial, is_labelled, &mut options));
    if is_labelled && !is_tutorial {
        focus_ui(ui, &mut options.focus);
    }
    if let Some(labels) = &train.labels {
        labels_ui(ui, labels);
        if let Some(reason) = labels.not_measured(train.options.recipe) {
            ui.add_space(theme::GAP);
            notice_ui(ui, &translate(&wording::not_measured_before(reason)), theme::palette(ui).warning);
        }
    }
    ui.add_space(theme::GAP);
    let advanced = ui.collapsing(tr!("Advanced"), |ui| advanced_ui(ui, state, is_labelled, &mut options, actions));
    // What unfolds below the panel's edge would not be seen.
    let id = ui.scope_id().with("advanced");
    let before = ui.data_mut(|data| std::mem::replace(data.get_temp_mut_or(id, 0.0), advanced.openness));
    if advanced.openness > before {
        advanced.body_response.iter().for_each(|body| body.scroll_to_me(None));
    }
    if options != train.options {
        actions.push(Action::SetTrainOptions(options));
    }
}

fn resume_ui(ui: &mut Ui, options: &TrainOptions, enabled: bool, actions: &mut Vec<Action>) {
    let frame = Frame::new().inner_margin(10).corner_radius(theme::ROUNDING).fill(ui.visuals().faint_bg_color);
    frame.stroke((1.0, theme::palette(ui).accent)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(RichText::new(tr!("A training was interrupted")).strong());
        explain(ui, tr!("{}; it can be resumed.", recipe_name(options.recipe)));
        if ui
            .add_enabled(enabled, primary(ui, tr!("Resume")))
            .on_hover_text(tr!("Continue from the last checkpoint"))
            .clicked()
        {
            actions.push(Action::Request(Request::Train { options: options.clone(), resume: true }));
        }
    });
    ui.add_space(theme::GAP);
}

/// One recipe as a card that is chosen with a click.
fn recipe_ui(ui: &mut Ui, train: &Train, recipe: Recipe, is_labelled: bool, options: &mut TrainOptions) {
    let is_chosen = options.recipe == recipe;
    let needs_labels = recipe != Recipe::Quick && !is_labelled;
    let what = match recipe {
        Recipe::Quick => tr!("Teaches the last step only. Seconds; a good first choice"),
        Recipe::Full => tr!("Teaches the whole network. Best results; minutes to half an hour"),
        Recipe::Tutorial => tr!("For learning how it works: starts from zero, clearly worse results"),
    };
    let time = train.estimate(&TrainOptions { recipe, ..options.clone() }).map(range_text);
    let fill = if is_chosen { ui.visuals().selection.bg_fill } else { ui.visuals().faint_bg_color };
    let stroke = if is_chosen { theme::palette(ui).accent } else { fill };
    let frame = Frame::new().inner_margin(10).corner_radius(theme::ROUNDING).fill(fill).stroke((1.0, stroke));
    let card = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        if is_chosen {
            // On the colour of what is chosen, weak text would be too weak.
            ui.visuals_mut().weak_text_color = Some(ui.visuals().text_color());
        }
        ui.horizontal(|ui| {
            radio_outline(ui);
            let radio = RadioButton::new(is_chosen, RichText::new(recipe_name(recipe)).strong());
            if ui.add_enabled(!needs_labels, radio).clicked() {
                options.recipe = recipe;
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if let Some(time) = time.filter(|_| !needs_labels) {
                    ui.label(RichText::new(time).weak());
                }
            });
        });
        explain(ui, what);
        if needs_labels {
            explain(ui, tr!("Needs sub-folders named after species, with two photos or more in at least two of them."));
        }
    });
    if card.response.interact(Sense::click()).clicked() && !needs_labels {
        options.recipe = recipe;
    }
}

/// An empty radio button is seen by its outline, whatever it lies on.
fn radio_outline(ui: &mut Ui) {
    let stroke = egui::Stroke::new(1.0, ui.visuals().weak_text_color());
    let fill = ui.visuals().extreme_bg_color;
    let widgets = &mut ui.visuals_mut().widgets;
    for widget in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active] {
        (widget.bg_stroke, widget.bg_fill) = (stroke, fill);
    }
}

/// Which species the model is meant for.
fn focus_ui(ui: &mut Ui, focus: &mut Focus) {
    section(ui, tr!("What will you search?"));
    // A circle at the very edge of what scrolls would be cut.
    Frame::new().inner_margin(egui::Margin::symmetric(2, 0)).show(ui, |ui| {
        radio_outline(ui);
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.radio_value(focus, Focus::NewSpeciesToo, tr!("Also new species"));
        ui.radio_value(focus, Focus::OnlyThese, tr!("Only these species"));
        ui.radio_value(focus, Focus::OtherSpecies, tr!("Other species"));
    });
    explain(
        ui,
        match focus {
            Focus::NewSpeciesToo => {
                tr!(
                    "Species that have no folder here are found well, too; your own a little less surely than they could be."
                )
            }
            Focus::OtherSpecies => tr!(
                "For photos of species that have no folder here, on this computer or another: what your folders teach about flowers, and not which species are in them."
            ),
            Focus::OnlyThese => tr!(
                "The species of your folders are told apart as surely as possible; other species may be found less well \
                 than before."
            ),
        },
    );
}

fn labels_ui(ui: &mut Ui, labels: &LabelPreview) {
    let usable = Usable::of(labels);
    section(ui, tr!("Learns from"));
    if usable.is_labelled() {
        ui.label(tr!("{} species, {}", count(usable.classes), photos_of(usable.photos)));
        classes_ui(ui, labels);
    } else {
        ui.label(tr!("{}, without labels", photos_of(labels.photos())));
        explain(
            ui,
            tr!(
                "Sub-folders named after species would teach more: at least two of them, with two photos or more in each. \
                 Without, it learns from photos that look alike."
            ),
        );
    }
    let warning = theme::palette(ui).warning;
    let mut left_out = Vec::new();
    if usable.is_labelled() {
        if usable.too_small > 0 {
            let number = usable.too_small;
            left_out.push(tr!(
                "{} species has a single photo, too few to learn from"
                    | "{} species have a single photo, too few to learn from" % number,
                count(number)
            ));
        }
        if labels.unlabelled > 0 {
            let number = labels.unlabelled;
            left_out.push(tr!(
                "{} photo is not in a sub-folder, skipped" | "{} photos are not in a sub-folder, skipped" % number,
                count(number)
            ));
        }
    }
    if labels.problems > 0 {
        left_out.push(tr!("{} unreadable, skipped", files_of(labels.problems)));
    }
    for text in left_out {
        ui.add(Label::new(RichText::new(text).color(warning)).wrap());
    }
}

/// The species and how many photos there are of each. Only those in view are drawn: there may be thousands.
fn classes_ui(ui: &mut Ui, labels: &LabelPreview) {
    let height = 22.0;
    let warning = theme::palette(ui).warning;
    let frame = Frame::new().inner_margin(theme::GAP as i8).corner_radius(theme::ROUNDING);
    frame.fill(ui.visuals().extreme_bg_color).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let area = ScrollArea::vertical().id_salt("species").max_height(LIST).auto_shrink([false, true]);
        area.show_rows(ui, height, labels.classes.len(), |ui, rows| {
            for (name, photos) in &labels.classes[rows] {
                ui.allocate_ui_with_layout(
                    egui::vec2(ui.available_width(), height),
                    Layout::right_to_left(Align::Center),
                    |ui| {
                        ui.add_space(theme::GAP);
                        if *photos < MIN_PHOTOS_PER_CLASS {
                            ui.label(RichText::new(tr!("1 photo, skipped")).small().color(warning));
                        } else {
                            ui.label(RichText::new(count(*photos)).small().weak());
                        }
                        ui.with_layout(Layout::left_to_right(Align::Center), |ui| ui.add(Label::new(name).truncate()));
                    },
                );
            }
        });
    });
}

fn advanced_ui(ui: &mut Ui, state: &State, is_labelled: bool, options: &mut TrainOptions, actions: &mut Vec<Action>) {
    Grid::new("advanced").num_columns(2).spacing([theme::WIDE_GAP, theme::GAP]).show(ui, |ui| {
        if is_labelled && options.recipe != Recipe::Tutorial {
            row(ui, tr!("Loss"), |ui| {
                let name = |loss: Option<Loss>| loss.map_or_else(|| tr!("Recipe default"), loss_name);
                ComboBox::from_id_salt("loss")
                    .selected_text(name(options.loss))
                    .show_ui(ui, |ui| {
                        for loss in std::iter::once(None).chain(LOSSES.map(Some)) {
                            ui.selectable_value(&mut options.loss, loss, name(loss));
                        }
                    })
                    .response
            });
        }
        row(ui, tr!("Epochs"), |ui| epochs_ui(ui, &mut options.epochs));
        row(ui, tr!("Seed"), |ui| {
            let seed = ui.add(DragValue::new(&mut options.seed).range(0..=u64::from(u32::MAX)));
            seed.on_hover_text(tr!("The same seed on the same device gives the same model"))
        });
        if options.recipe != Recipe::Tutorial {
            row(ui, tr!("Start from"), |ui| start_ui(ui, state, &mut options.start));
        }
        row(ui, tr!("Device"), |ui| {
            ComboBox::from_id_salt("device")
                .selected_text(device_name(state.device))
                .show_ui(ui, |ui| {
                    for device in DEVICES {
                        if ui.selectable_label(state.device == device, device_name(device)).clicked() {
                            actions.push(Action::Request(Request::SetDevice(device)));
                        }
                    }
                })
                .response
        });
        if let Some(model) = &state.model {
            ui.label("");
            ui.label(RichText::new(tr!("In use: {}", translate(&model.device))).weak());
            ui.end_row();
        }
    });
}

/// A line of the grid, the name of its field said to screen readers, too.
fn row(ui: &mut Ui, name: String, field: impl FnOnce(&mut Ui) -> egui::Response) {
    let label = ui.label(name).id;
    field(ui).labelled_by(label);
    ui.end_row();
}

fn epochs_ui(ui: &mut Ui, epochs: &mut Option<u32>) -> egui::Response {
    let mut number = epochs.unwrap_or(0);
    let field = DragValue::new(&mut number)
        .range(0..=1000)
        .custom_formatter(|number, _| if number < 1.0 { tr!("Recipe default") } else { format!("{number:.0}") });
    let response = ui.add(field.custom_parser(|text| text.trim().parse().ok().or(Some(0.0))));
    if response.changed() {
        *epochs = Some(number).filter(|number| *number > 0);
    }
    response.on_hover_text(tr!("Passes over the photos; 0 for the recipe's default"))
}

fn start_ui(ui: &mut Ui, state: &State, start: &mut Option<ModelId>) -> egui::Response {
    let title = |id: &str| {
        let model = state.models.iter().find(|model| model.id == id);
        model.map_or_else(|| id.to_owned(), title_of)
    };
    let chosen = start.as_deref().map_or_else(|| tr!("Recipe default"), title);
    let combo = ComboBox::from_id_salt("start").selected_text(chosen).width(180.0).truncate().show_ui(ui, |ui| {
        ui.selectable_value(start, None, tr!("Recipe default"));
        for model in state.models.iter() {
            ui.selectable_value(start, Some(model.id.clone()), title_of(model));
        }
    });
    combo.response.on_hover_text(tr!("The model whose network is the starting point"))
}

fn device_name(device: DeviceChoice) -> String {
    match device {
        DeviceChoice::Auto => tr!("Automatic"),
        DeviceChoice::Cpu => "CPU".into(),
        DeviceChoice::Cuda => tr!("NVIDIA GPU (CUDA)"),
        DeviceChoice::Mps => tr!("Apple GPU (Metal)"),
    }
}

/// The button that starts it, and how long it will take; or why it cannot start.
pub(crate) fn foot_ui(ui: &mut Ui, state: &State, library: &OpenLibrary, actions: &mut Vec<Action>) {
    let train = &state.train;
    let obstacle = obstacle(train, library);
    if let Some(text) = &obstacle {
        notice_ui(ui, text, theme::palette(ui).warning);
        ui.add_space(theme::GAP);
    }
    ui.horizontal(|ui| {
        let button = if train.resumable.is_some() { secondary(tr!("Train")) } else { primary(ui, tr!("Train")) };
        if ui.add_enabled(obstacle.is_none(), button).clicked() {
            actions.push(Action::Request(Request::Train { options: train.options.clone(), resume: false }));
        }
        let device = state.model.as_ref().map(|model| translate(&model.device));
        let time = train.estimate(&train.options).map(range_text);
        let facts: Vec<String> = time.into_iter().chain(device).collect();
        ui.add(Label::new(RichText::new(facts.join(" · ")).weak()).truncate());
    });
}

/// Why a training cannot start.
fn obstacle(train: &Train, library: &OpenLibrary) -> Option<String> {
    if let Some(obstacle) = library.obstacle {
        return Some(tr!("{}, so a new model cannot be kept", reason(obstacle)));
    }
    if !library.writable {
        return Some(tr!("Another Florascope window has this folder open; train there"));
    }
    if train.labels.is_none() {
        return Some(tr!("Looking at the folder…"));
    }
    if library.photos < MIN_PHOTOS {
        let (found, needed) = (photos_of(library.photos), MIN_PHOTOS);
        return Some(tr!("Too few photos to learn from: {found} here, at least {needed} are needed", found, needed));
    }
    None
}
