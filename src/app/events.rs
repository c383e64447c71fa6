//! What the worker and the desktop tell, taken into the window's state.

use std::sync::Arc;

use eframe::egui::{Context, TextureOptions};
use image::RgbImage;
use tr::tr;

use super::App;
use crate::decode::shrink_to_fit;
use crate::desktop::Answer as DesktopAnswer;
use crate::filter::Filter;
use crate::job::Outcome;
use crate::language::translate;
use crate::libraries::Cleaned;
use crate::model::Architecture;
use crate::query::Query;
use crate::ui::state::selection::Selection;
use crate::ui::state::{Answer, ModelComparison, Moved, OpenLibrary, RightPanel, Toast, View, Visit, WaitingPhoto};
use crate::ui::textures::color_image;
use crate::ui::{files_of, photos_of};
use crate::worker::{Event, LibraryNews, Request, TrainingEnd};

/// The longer side of an earlier search's picture, in pixels: twice what it takes in points.
const VISIT_SIDE: u32 = 88;

impl App {
    pub(super) fn handle_answer(&mut self, ctx: &Context, answer: DesktopAnswer) {
        match answer {
            DesktopAnswer::Dropped(choice) => self.take_choice(choice),
            DesktopAnswer::Argument(choice) => self.take_argument(choice),
            DesktopAnswer::Hovering(hovering) => self.state.hovering = hovering,
            DesktopAnswer::Paths(paths) => self.take_paths(paths),
            DesktopAnswer::Typed(result) => self.take_typed(result),
            DesktopAnswer::Dialog(choice) => self.end_dialog(choice),
            DesktopAnswer::Pasted(jpeg) => self.search(Query::Picture(jpeg)),
            DesktopAnswer::Recent(folders) => self.take_recent(folders),
            DesktopAnswer::Searches { folder, searches } => self.take_searches(ctx, &folder, searches),
            DesktopAnswer::WaitingPicture(Err(message)) => {
                self.state.waiting_photo = None;
                self.show_error(message);
            }
            DesktopAnswer::WaitingPicture(Ok(picture)) => {
                if let Some(waiting) = &mut self.state.waiting_photo {
                    let texture = ctx.load_texture("waiting photo", color_image(&picture), TextureOptions::LINEAR);
                    waiting.picture = Some(texture);
                }
            }
            DesktopAnswer::FileFacts(facts) => self.state.file_facts = Some(facts),
            DesktopAnswer::Dark(dark) => self.system_is_dark = Some(dark),
            DesktopAnswer::Failed(message) => self.show_error(message),
        }
    }

    pub(super) fn handle_event(&mut self, ctx: &Context, event: Event) {
        match event {
            Event::ModelReady(model) => {
                self.state.model = Some(model);
                self.ask_for_speeds();
            }
            Event::Opened { library, writable, obstacle } => {
                self.state.opening = false;
                self.begin_anew();
                self.textures.clear();
                self.state.library = Some(OpenLibrary {
                    library,
                    writable,
                    obstacle,
                    photos: 0,
                    loading: true,
                    facets: Arc::default(),
                    problems: Arc::default(),
                    progress: None,
                    dates: None,
                    outcome: None,
                });
                (self.state.history, self.state.at) = (vec![Visit::default()], 0);
                (self.state.preview, self.place) = (None, None);
                (self.state.filter, self.state.left_filter) = (Filter::default(), None);
                self.state.drawer_open = false;
                self.ask_for_searches();
                self.state.train.reset();
                self.state.comparison = ModelComparison::default();
                self.estimates_of = None;
                self.refresh_recent();
                self.show();
                if let Some(WaitingPhoto { query, .. }) = self.state.waiting_photo.take() {
                    self.search(query);
                }
            }
            Event::LooksMoved { root, before } => {
                (self.state.opening, self.state.moved) = (false, Some(Moved { root, before }));
            }
            Event::OpenFailed { message } => {
                self.state.opening = false;
                self.show_error(message);
                if self.state.library.is_none() {
                    self.worker.send(Request::ListLibraries);
                }
            }
            Event::ModelLoadFailed { message } | Event::GalleryFailed { message } => self.show_error(message),
            // Files may have been mended or changed since they were drawn.
            Event::IndexStarted => {
                self.textures.clear();
                self.work_goes_on();
            }
            Event::IndexQueued => {
                let text = tr!("The folder is checked when the running job has ended");
                self.state.say(Toast::new(text, false));
            }
            Event::WatchLimited => self.state.say(Toast::new(
                tr!("The system watches no more folders: changes in some are seen within a minute, or by F5. Raise fs.inotify.max_user_watches to see them at once"),
                false,
            )),
            Event::TaskPanicked => self.show_error(tr!(
                "A part of the program failed unexpectedly; if something does not answer any more, restart it"
            )),
            Event::WorkerDied => self.end_without_worker(),
            Event::Preview { number, picture, size } if number == self.state.number => {
                self.state.query_size = size;
                let texture =
                    |picture: &RgbImage| ctx.load_texture("query", color_image(picture), TextureOptions::LINEAR);
                self.state.preview = Some(texture(&picture));
                if let Some(visit) = self.state.history.get_mut(self.state.at)
                    && let Ok(small) = shrink_to_fit(&picture, VISIT_SIDE)
                {
                    let thumbnail = texture(&small);
                    visit.thumbnail = Some(thumbnail.clone());
                    if let Some(query) = visit.query.clone() {
                        self.remember_search(query, small, thumbnail);
                    }
                }
            }
            Event::Answer { number, hits, identification, close_from, counts } if number == self.state.number => {
                self.state.close_from = close_from;
                self.state.counts = counts;
                self.state.order = self.settings.order;
                self.state.threshold = self.threshold_key().map_or(0.0, |key| self.settings.threshold(&key));
                // While photos are being added the same answer comes again.
                self.state.show_hits(hits);
                self.state.identification = identification;
                self.state.waiting = false;
                self.return_to_place();
            }
            Event::QueryFailed { number, message } if number == self.state.number => {
                self.state.answer = Answer::Failed(message);
                self.state.waiting = false;
                (self.state.selection, self.place) = (Selection::default(), None);
                if let Some(visit) = self.state.history.get_mut(self.state.at) {
                    visit.failed = true;
                }
            }
            Event::Copies { number, copies } if number == self.state.number => self.state.copies = copies,
            // Answers to what is not on the screen any more.
            Event::Preview { .. } | Event::Copies { .. } | Event::Answer { .. } | Event::QueryFailed { .. } => {}
            Event::DeviceRefused { device, message } => {
                (self.state.device, self.settings.device) = (device, device);
                self.show_error(message);
            }
            Event::Account(account) => self.state.account = account,
            Event::Gallery { .. }
            | Event::Problems(_)
            | Event::Progress(_)
            | Event::ReadingDates(_)
            | Event::JobEnded(_) => {
                match &event {
                    Event::Progress(_) => self.work_goes_on(),
                    Event::JobEnded(outcome) => self.notify_of_job(outcome),
                    _ => {}
                }
                self.handle_library_event(event);
            }
            Event::Models { models, in_use } => {
                self.models_panel.wanted.take_if(|wanted| in_use.as_ref() == Some(wanted));
                (self.state.models, self.state.model_in_use) = (models, in_use);
                self.ask_for_speeds();
            }
            Event::Libraries { libraries, unused } => {
                (self.state.libraries, self.state.unused) = (Some(libraries), unused);
            }
            Event::LibrariesDone(done) => self.end_library_operation(done),
            Event::Closed => {
                self.close_library();
                self.worker.send(Request::ListLibraries);
            }
            Event::Speed { architecture, device, photos_a_second } => {
                if device == self.state.device {
                    self.state.speeds.insert(architecture, photos_a_second);
                }
            }
            Event::CompareStarted => self.state.comparison = ModelComparison { rows: Vec::new(), running: true },
            Event::Compared(compared) => self.state.comparison.rows.push(compared),
            Event::CompareEnded => {
                self.state.comparison.running = false;
                self.state.library.iter_mut().for_each(|library| library.progress = None);
            }
            Event::ModelDone(text) => self.state.say(Toast::new(text, false)),
            Event::ModelFailed(message) => {
                self.state.train.changing = false;
                self.models_panel.wanted = None;
                self.show_error(message);
            }
            Event::TrainingPreview { labels, resumable } => {
                self.state.train.resumable = resumable;
                self.state.train.take_labels(labels);
            }
            Event::TrainingEstimate { options, time } => {
                let estimates = &mut self.state.train.estimates;
                estimates.retain(|(older, _)| older.recipe != options.recipe);
                estimates.push((options, time));
            }
            Event::Training(event) => {
                self.work_goes_on();
                // The indexing that came first is over.
                if let Some(library) = &mut self.state.library {
                    (library.progress, library.outcome) = (None, None);
                }
                self.state.train.hear(event);
            }
            Event::TrainingEnded(end) => {
                self.notify_of_training(&end);
                self.end_training(end);
            }
        }
    }

    fn end_library_operation(&mut self, done: Result<LibraryNews, String>) {
        match done {
            Ok(LibraryNews::Forgotten(root)) => {
                let text = tr!("Forgotten; the photos are untouched: {}", root.display());
                self.state.say(Toast::new(text, false));
                self.refresh_recent();
            }
            Ok(LibraryNews::Cleaned(Cleaned { bytes, .. })) => {
                let text = tr!("Cleaned up: {} are free again", crate::ui::megabytes(bytes));
                self.state.say(Toast::new(text, false));
            }
            Err(message) => self.show_error(message),
        }
    }

    /// Has it measured how fast the networks in the list are, as far as nobody knows that.
    fn ask_for_speeds(&self) {
        let mut unknown: Vec<Architecture> = self.state.models.iter().map(|model| model.card.architecture).collect();
        unknown.retain(|network| !self.state.speeds.contains_key(network));
        unknown.sort_by_key(|network| network.id());
        unknown.dedup();
        if self.models_panel.open && !unknown.is_empty() {
            self.worker.send(Request::MeasureSpeeds(unknown));
        }
    }

    /// The window is as it was before a folder was opened.
    fn close_library(&mut self) {
        self.textures.clear();
        let state = &mut self.state;
        (state.library, state.preview, state.selection) = (None, None, Selection::default());
        (state.answer, state.filter, state.left_filter) = (Answer::None, Filter::default(), None);
        (state.view, state.right) = (View::Grid, RightPanel::None);
        (state.waiting, state.problems_open, state.drawer_open) = (false, false, false);
        (state.history, state.at, state.searches) = (Vec::new(), 0, Vec::new());
        state.train.reset();
        state.comparison = ModelComparison::default();
    }

    fn end_training(&mut self, end: TrainingEnd) {
        if let Some(library) = &mut self.state.library {
            library.progress = None;
        }
        if self.state.right != RightPanel::Train && self.state.train.is_running() {
            let (text, is_error) = match &end {
                TrainingEnd::Done { .. } => (tr!("Training finished – see the result under \"Train…\""), false),
                TrainingEnd::Stopped => (tr!("Training stopped"), false),
                TrainingEnd::Failed { message } => (tr!("Training failed: {}", translate(message)), true),
            };
            self.state.say(Toast::new(text, is_error));
        }
        self.state.train.end(end);
        // Whether it can go on.
        self.worker.send(Request::PreviewTraining);
    }

    /// Nothing answers any more: what waits for an answer says so.
    fn end_without_worker(&mut self) {
        let message = tr!("The program failed unexpectedly; close it and start it again. What was indexed is kept.");
        self.state.opening = false;
        self.state.waiting = false;
        self.state.answer = Answer::Failed(message.clone());
        if let Some(library) = &mut self.state.library {
            (library.progress, library.loading) = (None, false);
        }
        self.state.train.end(TrainingEnd::Failed { message: message.clone() });
        self.show_error(message);
    }

    fn handle_library_event(&mut self, event: Event) {
        let Some(library) = &mut self.state.library else { return };
        match event {
            Event::Gallery { photos, loading, facets } => {
                (library.photos, library.loading, library.facets) = (photos, loading, facets);
                if self.state.right == RightPanel::Train && !self.state.train.is_running() {
                    self.worker.send(Request::PreviewTraining);
                }
            }
            Event::Problems(problems) => library.problems = problems,
            Event::ReadingDates(progress) => library.dates = progress,
            Event::Progress(progress) => (library.progress, library.outcome) = (Some(progress), None),
            Event::JobEnded(outcome) => {
                let problems = library.progress.take().map_or(0, |progress| progress.problems);
                // Indexing that was cancelled may have made way for the change of the model.
                if !matches!(outcome, Outcome::Cancelled { .. }) {
                    self.models_panel.wanted = None;
                    self.state.train.changing = false;
                }
                let read = match &outcome {
                    Outcome::Done { completed } => completed.saturating_sub(problems),
                    Outcome::Cancelled { .. } | Outcome::Failed { .. } => 0,
                };
                library.outcome = Some(outcome);
                if read > 0 {
                    let text = match problems {
                        0 => tr!("{} read", photos_of(read as usize)),
                        problems => {
                            tr!("{} read, {} could not be", photos_of(read as usize), files_of(problems as usize))
                        }
                    };
                    self.state.say(Toast::new(text, false));
                }
                if self.libraries_panel.open {
                    self.worker.send(Request::ListLibraries);
                }
                self.ask_for_speeds();
            }
            _ => {}
        }
    }
}
