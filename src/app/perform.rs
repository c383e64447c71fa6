//! The one place where anything is changed on behalf of the user.

use std::path::PathBuf;
use std::sync::Arc;

use eframe::egui::{Context, ViewportCommand};
use tr::tr;

use super::App;
use crate::command::Command;
use crate::desktop::Purpose;
use crate::query::Query;
use crate::settings::TILE_SIDES;
use crate::ui::about::About;
use crate::ui::state::training::Phase;
use crate::ui::state::{Action, Answer, ModelComparison, Toast, Visit};
use crate::ui::{indexing, problems};
use crate::worker::{Listing, Request};

/// Earlier searches that are kept.
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
                Action::Visit(at) => self.visit(at),
                Action::Filter(filter) => {
                    self.state.filter = filter;
                    self.state.selected = None;
                    self.show();
                }
                Action::Select(number) => {
                    self.state.selected = Some(number);
                    self.reveal = Some(number);
                }
                Action::CloseLarge => {
                    self.state.large = false;
                    self.reveal = self.state.selected;
                }
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
                Action::TrainAgain => self.state.train.phase = Phase::Setup,
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
            Command::ViewLarge => {
                if self.state.large {
                    self.perform(ctx, vec![Action::CloseLarge]);
                } else {
                    self.state.large = self.state.selected_hit().is_some();
                }
            }
            Command::OpenPhoto => self.selected_path().into_iter().for_each(|path| self.desktop.open(path)),
            Command::ShowInFileManager => {
                self.selected_path().into_iter().for_each(|path| self.desktop.show_in_file_manager(path));
            }
            Command::CopyPath => {
                if let Some(path) = self.selected_path() {
                    ctx.copy_text(path.display().to_string());
                    self.state.toasts.push(Toast::new(tr!("Path copied"), false));
                }
            }
            Command::CheckFolder | Command::ReadAgain
                if self.state.library.as_ref().is_some_and(|library| !library.writable) =>
            {
                self.show_error(match self.state.library.as_ref().and_then(|library| library.obstacle) {
                    Some(obstacle) => tr!("{}: new photos cannot be kept", indexing::reason(obstacle)),
                    None => tr!("Another Florascope window has this folder open; check for changes there"),
                });
            }
            Command::CheckFolder => self.worker.send(Request::Index),
            Command::ReadAgain => self.worker.send(Request::ReadAgain),
            Command::StopIndexing => self.worker.send(Request::CancelJob),
            Command::LargerThumbnails => self.set_tile_side(self.settings.tile_side * 1.2),
            Command::SmallerThumbnails => self.set_tile_side(self.settings.tile_side / 1.2),
            Command::ToggleSidebar => self.settings.sidebar = !self.settings.sidebar,
            Command::ShowProblems => self.state.problems_open = !self.state.problems_open,
            Command::CopyProblems => {
                if let Some(library) = &self.state.library {
                    ctx.copy_text(problems::as_text(&library.problems));
                    self.state.toasts.push(Toast::new(tr!("List copied"), false));
                }
            }
            Command::Train if self.state.library.is_none() => self.show_error(tr!("Open a folder first")),
            Command::Train => {
                self.state.train.open = !self.state.train.open;
                if self.state.train.open {
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
                self.state.toasts.push(Toast::new(tr!("Details copied"), false));
            }
            Command::ShowShortcuts => self.state.shortcuts_open = !self.state.shortcuts_open,
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
        } else if state.shortcuts_open
            || state.problems_open
            || self.models_panel.open
            || self.libraries_panel.open
            || self.about.is_some()
        {
            self.about = None;
            (state.shortcuts_open, state.problems_open) = (false, false);
            (self.models_panel.open, self.libraries_panel.open) = (false, false);
        } else if state.large {
            state.large = false;
            self.reveal = state.selected;
        } else if state.train.open {
            state.train.open = false;
        } else if state.is_search() {
            self.push_visit(None);
        }
    }

    fn selected_path(&self) -> Option<PathBuf> {
        Some(self.state.library.as_ref()?.library.root.join(&self.state.selected_hit()?.photo.path))
    }

    pub(super) fn search(&mut self, query: Query) {
        if self.state.library.is_none() {
            self.show_error(tr!("Open a folder first: there are no photos to search yet"));
            return;
        }
        self.push_visit(Some(query));
    }

    /// A new place in the history; what lay ahead of the present one is given up.
    fn push_visit(&mut self, query: Option<Query>) {
        let history = &mut self.state.history;
        history.truncate(self.state.at + 1);
        if history.len() > HISTORY {
            history.remove(0);
        }
        history.push(Visit { query, thumbnail: None });
        self.visit(self.state.history.len() - 1);
    }

    fn visit(&mut self, at: usize) {
        if at < self.state.history.len() {
            self.state.at = at;
            self.state.preview = None;
            self.state.selected = None;
            self.state.large = false;
            self.show();
        }
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
        self.to_top = true;
        if self.state.is_search() {
            self.state.answer = Answer::None;
            (self.state.all_hits, self.state.identification) = (Arc::from([]), None);
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
        self.reveal = self.state.selected;
    }
}
