//! The one place where anything is changed on behalf of the user.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui::{Context, ViewportCommand};
use tr::tr;

use super::App;
use crate::command::Command;
use crate::decode::shrink_to_fit;
use crate::desktop::{Answer as DesktopAnswer, Purpose};
use crate::filter::Filter;
use crate::job::Cancel;
use crate::query::{Query, picture_of};
use crate::settings::TILE_SIDES;
use crate::ui::about::About;
use crate::ui::large::Wish;
use crate::ui::state::selection::Selection;
use crate::ui::state::training::Phase;
use crate::ui::state::{Action, Answer, ModelComparison, Place, RightPanel, Toast, View, Visit, WaitingPhoto};
use crate::ui::{count, problems, status};
use crate::worker::{Listing, Request};

/// The longer side of the picture of a photo that waits for a folder, in pixels.
const WAITING_SIDE: u32 = 192;
/// Places that one can go back to.
const HISTORY: usize = 50;

impl App {
    /// Does what the panels and the keyboard ask for.
    pub(super) fn perform(&mut self, ctx: &Context, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Command(command) => self.command(ctx, command),
                Action::Request(request) => self.request(request),
                Action::AskForPath(purpose) => self.ask_for_path(ctx, purpose),
                Action::CheckPath { text, purpose } => self.desktop.check_typed(text, purpose),
                Action::SearchPhoto(photo) => self.search(Query::Photo(photo)),
                Action::SearchAgain(query) => self.search(query),
                Action::Filter(filter) => self.set_filter(|present| *present = filter),
                Action::Choose(choice) => self.set_filter(|present| present.choose(choice)),
                Action::ToggleChoice(choice) => self.set_filter(|present| present.toggle(choice)),
                Action::SetWords(words) => self.set_filter(|present| present.words = words),
                Action::Select(number) => self.select(Selection::one(number)),
                Action::ToggleSelected(number) => self.state.selection.toggle(number),
                Action::SelectTo(number) => {
                    self.state.selection.extend(number);
                    self.reveal = Some(number);
                }
                Action::SelectMany { photos, add } => self.state.selection.select(photos, add),
                Action::ViewLarge(number) => {
                    self.select(Selection::one(number));
                    self.state.view = View::Large;
                }
                Action::CloseLarge => self.close_large(),
                Action::SetResults(results) => {
                    self.settings.results = results;
                    self.show();
                }
                Action::SetOrder(order) => {
                    self.settings.order = order;
                    self.show();
                }
                Action::SetThreshold(threshold) => self.set_threshold(threshold),
                Action::SetTileSide(side) => self.set_tile_side(side),
                Action::SetLanguage(choice) => {
                    self.settings.language = choice;
                    choice.apply();
                }
                Action::SetTheme(choice) => {
                    self.settings.theme = choice;
                    self.apply_theme(ctx);
                }
                Action::SetTrainOptions(options) => self.state.train.options = options,
                Action::TrainOnlyThese => self.state.train.choose_only_these(),
                Action::KeepModel => self.state.train.keep(),
                Action::TrainAgain => self.state.train.phase = Phase::Setup,
                Action::ForgetWaiting => self.state.waiting_photo = None,
                Action::AskToForget(library) => {
                    self.libraries_panel.ask_to_forget(library);
                    self.worker.send(Request::ListLibraries);
                }
                Action::ForgetMoved => self.state.moved = None,
                Action::ShowInFileManager(path) => self.desktop.show_in_file_manager(path),
                Action::DismissToast(number) => {
                    if number < self.state.toasts.len() {
                        self.state.toasts.remove(number);
                    }
                }
            }
        }
    }

    /// Sends a request to the worker, and shows at once what follows from it.
    pub(super) fn request(&mut self, request: Request) {
        match &request {
            Request::Open(_) | Request::OpenGarden | Request::OpenAnew(_) | Request::OpenMoved { .. } => {
                (self.state.opening, self.opens_last, self.state.moved) = (true, false, None);
            }
            Request::SetDevice(device) => {
                (self.state.device, self.settings.device) = (*device, *device);
                self.state.speeds.clear();
            }
            Request::Train { options, .. } => {
                self.state.train.begin(options.clone(), self.state.model_in_use.clone());
            }
            Request::StopTraining => {
                if let Phase::Running(run) = &mut self.state.train.phase {
                    run.stopping = true;
                }
            }
            Request::CompareModels(_) => {
                self.state.comparison = ModelComparison { rows: Vec::new(), running: true };
            }
            Request::UseModel(id) => {
                self.state.train.changing = true;
                self.models_panel.wanted = Some(id.clone());
            }
            _ => {}
        }
        self.worker.send(request);
    }

    fn command(&mut self, ctx: &Context, command: Command) {
        match command {
            Command::OpenFolder => self.ask_for_path(ctx, Purpose::Folder),
            Command::OpenPath => self.path_prompt.show(Purpose::Folder, None),
            Command::OpenGarden => self.request(Request::OpenGarden),
            Command::ChoosePhoto => self.ask_for_path(ctx, Purpose::Photo),
            Command::Paste => ctx.send_viewport_cmd(ViewportCommand::RequestPaste),
            Command::ClearQuery => self.escape(),
            Command::Back if self.state.at > 0 => self.visit(self.state.at - 1),
            Command::Forward => self.visit(self.state.at + 1),
            Command::FindSimilar => {
                if let Some(hit) = self.state.selected_hit() {
                    self.search(Query::Photo(Arc::clone(&hit.photo)));
                }
            }
            Command::ViewLarge if self.state.view == View::Large => self.close_large(),
            Command::ViewLarge => {
                if self.state.selected_hit().is_some() {
                    self.state.view = View::Large;
                }
            }
            Command::ShowDetails => self.show_right(RightPanel::Details),
            Command::SelectAll => {
                let current = self.state.selection.current();
                let all = (0..self.state.hits().len()).collect();
                self.state.selection.select(all, false);
                // The arrows go on from where they were.
                current.into_iter().for_each(|current| self.state.selection.move_to(current));
            }
            Command::FindByName => {
                self.search_field.wants_focus = true;
                self.close_large();
            }
            Command::FullScreen => {
                ctx.send_viewport_cmd(ViewportCommand::Fullscreen(!super::is_full_screen(ctx)));
            }
            Command::OpenPhoto => self.selected_path().into_iter().for_each(|path| self.desktop.open(path)),
            Command::ShowInFileManager => {
                self.selected_path().into_iter().for_each(|path| self.desktop.show_in_file_manager(path));
            }
            Command::CopyPath => {
                let Some(library) = &self.state.library else { return };
                let root = &library.library.root;
                let paths: Vec<String> =
                    self.state.chosen().map(|hit| root.join(&hit.photo.path).display().to_string()).collect();
                if !paths.is_empty() {
                    ctx.copy_text(paths.join("\n"));
                    let text = match paths.len() {
                        1 => tr!("Path copied"),
                        several => tr!("{} paths copied", count(several)),
                    };
                    self.state.say(Toast::new(text, false));
                }
            }
            Command::CheckFolder | Command::ReadAgain
                if self.state.library.as_ref().is_some_and(|library| !library.writable) =>
            {
                self.show_error(match self.state.library.as_ref().and_then(|library| library.obstacle) {
                    Some(obstacle) => tr!("{}: new photos cannot be kept", status::reason(obstacle)),
                    None => tr!("Another Florascope window has this folder open; check for changes there"),
                });
            }
            Command::CheckFolder => self.worker.send(Request::Index),
            Command::ReadAgain => self.worker.send(Request::ReadAgain),
            Command::StopIndexing => self.worker.send(Request::CancelJob),
            Command::ActualSize => self.large_view.ask(Wish::Toggle),
            Command::LinkPictures => self.large_view.link(),
            Command::LargerThumbnails if self.state.view == View::Large => self.large_view.ask(Wish::Larger),
            Command::SmallerThumbnails if self.state.view == View::Large => self.large_view.ask(Wish::Smaller),
            Command::LargerThumbnails => self.set_tile_side(self.grid.side_with(self.grid.columns.saturating_sub(1))),
            Command::SmallerThumbnails => self.set_tile_side(self.grid.side_with(self.grid.columns + 1)),
            Command::ToggleSidebar if self.state.narrow => self.state.drawer_open = !self.state.drawer_open,
            Command::ToggleSidebar => self.settings.sidebar = !self.settings.sidebar,
            Command::ShowProblems => self.state.problems_open = !self.state.problems_open,
            Command::CopyProblems => {
                if let Some(library) = &self.state.library {
                    ctx.copy_text(problems::as_text(&library.problems));
                    self.state.say(Toast::new(tr!("List copied"), false));
                }
            }
            Command::Train if self.state.library.is_none() => self.show_error(tr!("Open a folder first")),
            Command::Train => {
                self.show_right(RightPanel::Train);
                if self.state.right == RightPanel::Train {
                    self.worker.send(Request::PreviewTraining);
                }
            }
            Command::ShowModels => {
                self.models_panel.open = !self.models_panel.open;
                if self.models_panel.open {
                    self.worker.send(Request::ListModels);
                }
            }
            Command::ShowLibraries => {
                self.libraries_panel.open = !self.libraries_panel.open;
                if self.libraries_panel.open {
                    self.worker.send(Request::ListLibraries);
                }
            }
            Command::ImportModel => self.ask_for_path(ctx, Purpose::Model),
            Command::LoadWeights => self.ask_for_path(ctx, Purpose::Weights),
            Command::ShowAbout => {
                self.about = match self.about.take() {
                    Some(_) => None,
                    None => Some(About::new(&self.state, &self.data.logs())),
                };
            }
            Command::CopyDetails => {
                ctx.copy_text(About::new(&self.state, &self.data.logs()).details());
                self.state.say(Toast::new(tr!("Details copied"), false));
            }
            Command::ShowShortcuts => self.shortcuts.open = !self.shortcuts.open,
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Back => {}
        }
    }

    /// Closes what is uppermost; at last the query.
    fn escape(&mut self) {
        let state = &mut self.state;
        if state.moved.is_some() {
            state.moved = None;
        } else if self.path_prompt.is_open() {
            self.path_prompt.close();
        } else if self.shortcuts.open
            || state.problems_open
            || self.models_panel.open
            || self.libraries_panel.open
            || self.about.is_some()
        {
            self.about = None;
            (self.shortcuts.open, state.problems_open) = (false, false);
            (self.models_panel.open, self.libraries_panel.open) = (false, false);
        } else if state.drawer_open && state.narrow {
            state.drawer_open = false;
        } else if state.view == View::Large {
            self.close_large();
        } else if state.right != RightPanel::None {
            state.right = RightPanel::None;
        } else if state.selection.len() > 1 {
            state.selection.forget_others();
        } else if !state.filter.words.is_empty() {
            self.set_filter(|filter| filter.words.clear());
        } else if state.is_search() {
            self.leave_search();
        } else if !state.filter.is_all() {
            self.set_filter(|filter| *filter = Filter::default());
        }
    }

    /// Back to all photos. What lay ahead still does.
    fn leave_search(&mut self) {
        let browsed = self.state.history[..self.state.at].iter().rposition(|visit| visit.query.is_none());
        match browsed {
            Some(at) => self.visit(at),
            None => self.push_visit(None),
        }
    }

    fn close_large(&mut self) {
        self.state.view = View::Grid;
        self.reveal = self.state.selection.current();
    }

    /// Shows this panel at the right, or closes it where it is there.
    fn show_right(&mut self, panel: RightPanel) {
        self.state.right = if self.state.right == panel { RightPanel::None } else { panel };
    }

    pub(super) fn select(&mut self, selection: Selection) {
        self.reveal = selection.current();
        self.state.selection = selection;
    }

    fn set_filter(&mut self, change: impl FnOnce(&mut Filter)) {
        change(&mut self.state.filter);
        self.state.left_filter = None;
        self.place = None;
        self.state.selection = Selection::default();
        self.state.view = View::Grid;
        self.show();
    }

    pub(super) fn selected_path(&self) -> Option<PathBuf> {
        Some(self.state.library.as_ref()?.library.root.join(&self.state.selected_hit()?.photo.path))
    }

    pub(super) fn search(&mut self, query: Query) {
        if self.state.library.is_some() {
            self.push_visit(Some(query));
        } else {
            self.wait_with(query);
        }
    }

    /// Keeps what is to be searched with until there is a folder to search in.
    pub(super) fn wait_with(&mut self, query: Query) {
        self.state.waiting_photo = Some(WaitingPhoto { query: query.clone(), picture: None });
        self.desktop.run("waiting photo", move || {
            let picture = picture_of(&query, &Cancel::default()).map_err(|error| error.to_string());
            let small = |picture| shrink_to_fit(&picture, WAITING_SIDE).map_err(|error| error.to_string());
            Some(DesktopAnswer::WaitingPicture(picture.and_then(small)))
        });
    }

    /// A new place in the history; what lay ahead of the present one is given up, and so is that one where it failed.
    fn push_visit(&mut self, query: Option<Query>) {
        self.leave_place();
        let state = &mut self.state;
        let failed = state.visit().is_some_and(|visit| visit.failed);
        state.history.truncate(state.at + usize::from(!failed));
        if state.history.len() > HISTORY {
            state.history.remove(0);
        }
        // What one looked at does not limit a search out of sight; it can be limited to it with one click.
        let is_limited = query.is_some() && !state.filter.is_all();
        state.left_filter = is_limited.then(|| state.filter.clone());
        state.history.push(Visit { query, ..Visit::default() });
        self.enter(self.state.history.len() - 1);
    }

    fn visit(&mut self, at: usize) {
        if at < self.state.history.len() {
            self.leave_place();
            self.state.left_filter = None;
            self.enter(at);
        }
    }

    /// Keeps where the user is, to come back to it.
    fn leave_place(&mut self) {
        let (place, filter) = (self.state.place(self.offset), self.state.filter.clone());
        if let Some(visit) = self.state.history.get_mut(self.state.at) {
            (visit.place, visit.filter) = (place, filter);
        }
    }

    /// Shows a place of the history, as it was left.
    fn enter(&mut self, at: usize) {
        self.state.at = at;
        let Some(visit) = self.state.visit().cloned() else { return };
        (self.state.preview, self.state.query_size) = (None, None);
        (self.state.selection, self.state.view) = (Selection::default(), View::Grid);
        self.state.filter = visit.filter;
        self.place = Some(visit.place);
        self.show();
    }

    /// Once what is to be shown is there: back to where the user was in it.
    pub(super) fn return_to_place(&mut self) {
        let Some(Place { selected, view, offset }) = self.place.take() else { return };
        let selected = selected.and_then(|id| self.state.hits().iter().position(|hit| hit.photo.id == id));
        if let Some(number) = selected {
            (self.state.selection, self.state.view) = (Selection::one(number), view);
        }
        self.scroll_to = Some(offset);
    }

    /// Hides results that are less likely, also the next time with this library and model.
    fn set_threshold(&mut self, threshold: f32) {
        let Some(key) = self.threshold_key() else { return };
        if threshold > 0.0 {
            self.settings.thresholds.insert(key, threshold);
        } else {
            self.settings.thresholds.remove(&key);
        }
        self.state.threshold = threshold;
        self.state.show_hits(Arc::clone(&self.state.all_hits));
    }

    /// What thresholds are kept by: what is likely in one library, to one model, is not in another.
    pub(super) fn threshold_key(&self) -> Option<String> {
        let library = self.state.library.as_ref()?.library.folder.file_name()?.to_string_lossy().into_owned();
        Some(format!("{library}/{}", self.state.model.as_ref()?.name))
    }

    /// Asks for what the grid has to show now.
    pub(super) fn show(&mut self) {
        self.state.number += 1;
        self.state.waiting = true;
        self.scroll_to = Some(0.0);
        if self.state.is_search() {
            self.state.answer = Answer::None;
            (self.state.all_hits, self.state.identification) = (Arc::from([]), None);
            (self.state.close_from, self.state.copies) = (None, HashMap::new());
            self.state.sections = Arc::default();
        }
        let query = self.state.visit().and_then(|visit| visit.query.clone());
        let listing = Listing {
            query,
            filter: self.state.filter.clone(),
            order: self.settings.order,
            limit: self.settings.results,
        };
        self.worker.send(Request::Show { number: self.state.number, listing });
    }

    fn set_tile_side(&mut self, side: f32) {
        self.settings.tile_side = side.clamp(*TILE_SIDES.start(), *TILE_SIDES.end());
        self.reveal = self.state.selection.current();
    }
}
