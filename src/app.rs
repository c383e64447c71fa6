//! The window. `logic` takes in what has happened, `draw` composes the panels, and one place, `perform`, does what they
//! ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use eframe::egui::{
    self, CentralPanel, Context, Event as Input, Frame, Key, Panel, TextureOptions, Ui, ViewportCommand,
};
use image::RgbImage;

use crate::command::Command;
use crate::desktop::{Answer as DesktopAnswer, Desktop, pasted_path};
use crate::embed::DeviceChoice;
use crate::job::{Outcome, give_way};
use crate::library::DataFolder;
use crate::query::{Filter, Query};
use crate::settings::{Settings, TILE_SIDES, ThemeChoice};
use crate::train::report::TrainOptions;
use crate::ui::grid::{Grid, Layout, empty_ui};
use crate::ui::state::{Action, Answer, OpenLibrary, State, Toast, Visit};
use crate::ui::textures::{Textures, color_image};
use crate::ui::train::Phase;
use crate::ui::{
    drop_target, header, indexing, large, models, problems, shortcuts, sidebar, theme, toasts, train, welcome,
};
use crate::worker::{Event, Request, TrainingEnd, View, Worker};

/// Earlier searches that are kept.
const HISTORY: usize = 50;
/// How far the worker and its jobs stand back for the thread that draws, in steps of the system's "nice" value.
const NICE_OF_WORKER: i32 = 10;
/// Width of the panel for training, in points; it can be drawn wider.
const TRAIN_WIDTH: f32 = 400.0;

/// The program's window.
pub struct App {
    worker: Worker,
    desktop: Desktop,
    textures: Textures,
    data: DataFolder,
    settings: Settings,
    saved_settings: Settings,
    state: State,
    grid: Layout,
    reveal: Option<usize>,
    to_top: bool,
    system_is_dark: Option<bool>,
    was_focused: bool,
    /// What the estimates of the training's time were last asked for.
    estimates_of: Option<(TrainOptions, usize, DeviceChoice)>,
    /// Whether a button or list had the keyboard's focus when the last frame ended.
    widget_had_focus: bool,
    /// Or a field for text.
    was_typing: bool,
    /// In the window's bar.
    title: String,
}

impl App {
    /// Starts the worker and the loaders, and opens `folder` or else the library of the last time.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(
        ctx: &Context,
        data: DataFolder,
        settings: Settings,
        device: DeviceChoice,
        folder: Option<PathBuf>,
    ) -> std::io::Result<Self> {
        theme::install(ctx);
        // What the command line asks for goes before what was chosen the last time.
        let device = if device == DeviceChoice::Auto { settings.device } else { device };
        let wake = |ctx: &Context| {
            let ctx = ctx.clone();
            move || ctx.request_repaint()
        };
        let mut app = Self {
            worker: start_worker(data.clone(), device, wake(ctx))?,
            desktop: Desktop::new(wake(ctx)),
            textures: Textures::start(wake(ctx))?,
            data,
            saved_settings: settings.clone(),
            settings,
            state: State { device, ..State::default() },
            grid: Layout::default(),
            reveal: None,
            to_top: false,
            system_is_dark: None,
            was_focused: false,
            estimates_of: None,
            widget_had_focus: false,
            was_typing: false,
            title: String::new(),
        };
        app.apply_theme(ctx);
        app.refresh_recent();
        if let Some(folder) = folder.or_else(|| app.state.recent.first().cloned()) {
            app.open(folder);
        }
        Ok(app)
    }

    /// Takes in what the worker, the desktop and the user have to say.
    pub fn logic(&mut self, ctx: &Context) {
        for event in self.worker.take_events() {
            self.hear(ctx, event);
        }
        for answer in self.desktop.take() {
            match answer {
                DesktopAnswer::Folder(path) => self.open(path),
                DesktopAnswer::Photo(path) => self.search(Query::File(path)),
                DesktopAnswer::Dark(dark) => self.system_is_dark = Some(dark),
                DesktopAnswer::Model(path) => self.worker.send(Request::ImportModel(path)),
                DesktopAnswer::Weights(path) => self.worker.send(Request::LoadWeights(path)),
                DesktopAnswer::Export { id, path } => self.worker.send(Request::ExportModel { id, path }),
                DesktopAnswer::Failed(message) => self.complain(message),
            }
        }
        self.take_drops(ctx);
        let actions = self.keyboard(ctx);
        self.perform(ctx, actions);
        let now = Instant::now();
        self.state.toasts.retain(|toast| toast.until > now);
        self.ask_for_estimates();
        self.watch_window(ctx);
    }

    /// Draws everything; the frame before took `last_frame` seconds.
    pub fn draw(&mut self, ui: &mut Ui, last_frame: f32) {
        let ctx = ui.ctx().clone();
        self.textures.begin_frame(&ctx, last_frame);
        let mut actions = Vec::new();
        match self.state.library.take() {
            None => {
                let frame = Frame::central_panel(ui.style()).inner_margin(theme::MARGIN);
                CentralPanel::default().frame(frame).show(ui, |ui| welcome::welcome_ui(ui, &self.state, &mut actions));
            }
            Some(library) => {
                self.library_ui(ui, &library, &mut actions);
                problems::problems_ui(&ctx, &library, &mut self.state.problems_open, &mut actions);
                self.state.library = Some(library);
            }
        }
        if self.state.models_panel.open {
            let library = self.state.library.take();
            models::models_ui(&ctx, &mut self.state, library.as_ref(), &mut actions);
            self.state.library = library;
        }
        shortcuts::shortcuts_ui(&ctx, &mut self.state.shortcuts_open);
        toasts::toasts_ui(&ctx, &self.state, &mut actions);
        drop_target::drop_target_ui(&ctx, ui, self.state.library.is_some());
        self.textures.end_frame();
        self.widget_had_focus = ctx.memory(|memory| memory.focused().is_some());
        self.was_typing = ctx.text_edit_focused();
        if !actions.is_empty() {
            self.perform(&ctx, actions);
            ctx.request_repaint();
        }
    }

    fn library_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        let frame = Frame::side_top_panel(ui.style()).inner_margin(theme::MARGIN);
        Panel::top("header")
            .frame(frame)
            .show(ui, |ui| header::header_ui(ui, &self.state, library, &self.settings, actions));
        if indexing::is_needed(&self.state, library) {
            Panel::bottom("indexing")
                .frame(frame)
                .show(ui, |ui| indexing::indexing_ui(ui, &self.state, library, actions));
        }
        if self.settings.sidebar {
            let sidebar = Panel::left("sidebar").frame(frame).default_size(250.0).size_range(190.0..=460.0);
            sidebar.show(ui, |ui| sidebar::sidebar_ui(ui, &mut self.state, library, actions));
        }
        if self.state.train.open {
            let widest = (ui.available_width() - 220.0).max(TRAIN_WIDTH);
            let panel = Panel::right("train").frame(frame).default_size(TRAIN_WIDTH);
            panel.size_range(TRAIN_WIDTH..=widest.min(760.0)).show(ui, |ui| {
                train::train_ui(ui, &self.state, library, &mut self.textures, actions);
            });
        }
        let frame = Frame::central_panel(ui.style()).inner_margin(theme::MARGIN);
        CentralPanel::default().frame(frame).show(ui, |ui| match self.state.selected_hit() {
            Some(hit) if self.state.large => {
                large::large_ui(ui, &self.state, library, hit, &mut self.textures, actions);
            }
            _ => self.grid_ui(ui, library, actions),
        });
    }

    fn grid_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        if let Some(text) = self.nothing_to_show(library) {
            empty_ui(ui, &text);
        }
        let grid = Grid {
            tile_side: self.settings.tile_side,
            textures: &mut self.textures,
            reveal: self.reveal.take(),
            to_top: std::mem::take(&mut self.to_top),
        };
        self.grid = grid.ui(ui, &self.state, library, actions);
    }

    /// Why the grid is empty, where it is.
    fn nothing_to_show(&self, library: &OpenLibrary) -> Option<String> {
        match &self.state.answer {
            Answer::Failed(message) => Some(message.clone()),
            _ if self.state.waiting && self.state.is_search() => Some("Searching…".into()),
            Answer::Hits(hits) if hits.is_empty() => Some(match &self.state.filter {
                _ if library.progress.is_some() || library.loading => {
                    "The first photos will be here in a moment".into()
                }
                Filter::All if matches!(library.outcome, Some(Outcome::Cancelled { .. })) => {
                    "Nothing has been indexed yet; choose \"Resume\"".into()
                }
                Filter::All if library.problems.is_empty() => {
                    "No photos here yet. Copy some into the folder, then choose \"Check for changes\" (F5).".into()
                }
                Filter::All => "None of the files in this folder could be read as a photo; see \"Problems\"".into(),
                Filter::Folder(_) | Filter::Label(_) => "No photos in this part of the library".into(),
            }),
            Answer::Hits(_) | Answer::None => None,
        }
    }

    fn hear(&mut self, ctx: &Context, event: Event) {
        match event {
            Event::ModelReady(model) => self.state.model = Some(model),
            Event::Opened { library, writable } => {
                self.state.opening = false;
                self.textures.clear();
                self.state.library = Some(OpenLibrary {
                    library,
                    writable,
                    photos: 0,
                    loading: true,
                    facets: Arc::default(),
                    problems: Arc::default(),
                    progress: None,
                    outcome: None,
                });
                self.state.history = vec![Visit { query: None, preview: None }];
                self.state.at = 0;
                self.state.filter = Filter::All;
                self.state.train.reset();
                self.estimates_of = None;
                self.refresh_recent();
                self.show();
            }
            Event::OpenFailed { message } => {
                self.state.opening = false;
                self.complain(message);
            }
            Event::Preview { number, picture } if number == self.state.number => {
                if let Some(visit) = self.state.history.get_mut(self.state.at) {
                    visit.preview = Some(ctx.load_texture("query", color_image(&picture), TextureOptions::LINEAR));
                }
            }
            Event::Answer { number, hits } if number == self.state.number => {
                // While photos are being added the same answer comes again: the selection stays with its photo.
                let selected = self.state.selected_hit().map(|hit| hit.photo.id);
                self.state.selected = selected.and_then(|id| hits.iter().position(|hit| hit.photo.id == id));
                self.state.large &= self.state.selected.is_some();
                self.state.answer = Answer::Hits(hits);
                self.state.waiting = false;
            }
            Event::QueryFailed { number, message } if number == self.state.number => {
                self.state.answer = Answer::Failed(message);
                self.state.waiting = false;
                self.state.selected = None;
            }
            // Answers to what is not on the screen any more.
            Event::Preview { .. } | Event::Answer { .. } | Event::QueryFailed { .. } => {}
            Event::DeviceRefused { device, message } => {
                (self.state.device, self.settings.device) = (device, device);
                self.complain(message);
            }
            Event::Gallery { .. } | Event::Problems(_) | Event::Progress(_) | Event::JobEnded(_) => {
                self.hear_of_library(event);
            }
            Event::Models { models, in_use } => {
                self.state.models_panel.wanted.take_if(|wanted| in_use.as_ref() == Some(wanted));
                (self.state.models, self.state.model_in_use) = (models, in_use);
            }
            Event::ModelDone(text) => self.state.toasts.push(Toast::new(text, false)),
            Event::ModelFailed(message) => {
                self.state.train.changing = false;
                self.state.models_panel.wanted = None;
                self.complain(message);
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
                // The indexing that came first is over.
                if let Some(library) = &mut self.state.library {
                    (library.progress, library.outcome) = (None, None);
                }
                self.state.train.hear(event);
            }
            Event::TrainingEnded(end) => self.end_training(end),
        }
    }

    fn end_training(&mut self, end: TrainingEnd) {
        if let Some(library) = &mut self.state.library {
            library.progress = None;
        }
        if !self.state.train.open && self.state.train.is_running() {
            let (text, is_error) = match &end {
                TrainingEnd::Done { .. } => ("The training is done; see \"Train…\" for what it brought".into(), false),
                TrainingEnd::Stopped => ("The training was stopped".into(), false),
                TrainingEnd::Failed { message } => (format!("The training failed: {message}"), true),
            };
            self.state.toasts.push(Toast::new(text, is_error));
        }
        self.state.train.end(end);
        // Whether it can go on.
        self.worker.send(Request::PreviewTraining);
    }

    /// Has the worker say how long the chosen recipe would take, when something has changed that this depends on. Not the
    /// others: to know it of a network it has to be tried out, and that takes time from what the user does next.
    fn ask_for_estimates(&mut self) {
        let train = &self.state.train;
        let Some(library) = &self.state.library else { return };
        if !train.open || !matches!(train.phase, Phase::Setup) || library.loading {
            return;
        }
        let asked = (train.options.clone(), library.photos, self.state.device);
        if self.estimates_of.as_ref() == Some(&asked) {
            return;
        }
        self.worker.send(Request::EstimateTraining(asked.0.clone()));
        self.estimates_of = Some(asked);
    }

    fn hear_of_library(&mut self, event: Event) {
        let Some(library) = &mut self.state.library else { return };
        match event {
            Event::Gallery { photos, loading, facets } => {
                (library.photos, library.loading, library.facets) = (photos, loading, facets);
                if self.state.train.open && !self.state.train.is_running() {
                    self.worker.send(Request::PreviewTraining);
                }
            }
            Event::Problems(problems) => library.problems = problems,
            Event::Progress(progress) => (library.progress, library.outcome) = (Some(progress), None),
            Event::JobEnded(outcome) => {
                library.progress = None;
                // Indexing that was cancelled may have made way for the change of the model.
                if !matches!(outcome, Outcome::Cancelled { .. }) {
                    self.state.models_panel.wanted = None;
                    self.state.train.changing = false;
                }
                if let Outcome::Done { completed } = &outcome
                    && *completed > 0
                {
                    let text = format!("{} indexed", crate::ui::count_of(*completed as usize, "file", "files"));
                    self.state.toasts.push(Toast::new(text, false));
                }
                library.outcome = Some(outcome);
            }
            _ => {}
        }
    }

    fn take_drops(&mut self, ctx: &Context) {
        let dropped =
            ctx.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect::<Vec<_>>());
        if dropped.len() > 1 {
            let text = format!("{} files were dropped; the first one is used", dropped.len());
            self.state.toasts.push(Toast::new(text, false));
        }
        if let Some(path) = dropped.into_iter().next() {
            self.desktop.classify(path);
        }
        if self.was_typing {
            return;
        }
        for input in ctx.input(|input| input.events.clone()) {
            match input {
                Input::PasteImage(picture) => {
                    let [width, height] = picture.size;
                    let rgb = picture.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
                    if let Some(picture) = RgbImage::from_raw(width as u32, height as u32, rgb) {
                        self.search(Query::Picture(Arc::new(picture)));
                    }
                }
                Input::Paste(text) => match pasted_path(&text) {
                    Some(path) => self.desktop.classify(path),
                    None => self.complain("The clipboard holds text, not a photo".into()),
                },
                Input::Copy if self.state.selected_hit().is_some() => {
                    self.perform(ctx, vec![Action::Command(Command::CopyPath)]);
                }
                _ => {}
            }
        }
    }

    /// What the keys that were pressed ask for.
    fn keyboard(&mut self, ctx: &Context) -> Vec<Action> {
        let mut actions = Vec::new();
        // Space and Enter belong to a button that has the focus, Esc takes it away, and the arrows walk among buttons.
        // As of the last frame: egui has already dealt with the focus when this is asked.
        let focused = self.widget_had_focus;
        let menu_is_open = egui::Popup::is_any_open(ctx);
        for command in Command::ALL {
            let is_plain = |shortcut: &egui::KeyboardShortcut| shortcut.modifiers.is_none();
            for shortcut in command.info().shortcuts {
                let belongs_to_focus = matches!(shortcut.logical_key, Key::Space | Key::Enter | Key::Escape);
                if is_plain(shortcut) && (menu_is_open || (focused && belongs_to_focus)) {
                    continue;
                }
                // All but Ctrl with a key may be meant for the text.
                if self.was_typing && !shortcut.modifiers.command {
                    continue;
                }
                // "?" and "+" come with Shift on many keyboards.
                let pressed = ctx.input_mut(|input| {
                    input.consume_shortcut(shortcut)
                        || (is_plain(shortcut)
                            && matches!(shortcut.logical_key, Key::Questionmark | Key::Plus)
                            && input.consume_key(egui::Modifiers::SHIFT, shortcut.logical_key))
                });
                if pressed {
                    actions.push(Action::Command(*command));
                }
            }
        }
        if !focused && !menu_is_open {
            actions.extend(self.arrows(ctx).map(Action::Select));
        }
        actions
    }

    /// Where the arrow keys move the selection.
    fn arrows(&self, ctx: &Context) -> Option<usize> {
        let last = self.state.hits().len().checked_sub(1)?;
        // In the large view there are no rows: up and down walk on by one as well.
        let (row, page) = if self.state.large {
            (1, 1)
        } else {
            (self.grid.columns.max(1), self.grid.columns.max(1) * self.grid.rows_in_view)
        };
        let moves: [(Key, isize); 8] = [
            (Key::ArrowLeft, -1),
            (Key::ArrowRight, 1),
            (Key::ArrowUp, -(row as isize)),
            (Key::ArrowDown, row as isize),
            (Key::PageUp, -(page as isize)),
            (Key::PageDown, page as isize),
            (Key::Home, isize::MIN / 2),
            (Key::End, isize::MAX / 2),
        ];
        let pressed = moves.iter().find(|(key, _)| ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, *key)))?;
        let Some(selected) = self.state.selected else { return Some(0) };
        Some((selected as isize).saturating_add(pressed.1).clamp(0, last as isize) as usize)
    }

    /// The one place where anything is changed on behalf of the user.
    fn perform(&mut self, ctx: &Context, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Command(command) => self.command(ctx, command),
                Action::OpenFolder(path) => self.open(path),
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
                Action::SetTileSide(side) => self.set_tile_side(side),
                Action::SetTheme(choice) => {
                    self.settings.theme = choice;
                    self.apply_theme(ctx);
                }
                Action::SetDevice(device) => {
                    (self.state.device, self.settings.device) = (device, device);
                    self.worker.send(Request::SetDevice(device));
                }
                Action::SetTrainOptions(options) => self.state.train.options = options,
                Action::StartTraining { options, resume } => {
                    self.state.train.begin(options.clone(), self.state.model_in_use.clone());
                    self.worker.send(Request::Train { options, resume });
                }
                Action::StopTraining => {
                    if let Phase::Running(run) = &mut self.state.train.phase {
                        run.stopping = true;
                    }
                    self.worker.send(Request::StopTraining);
                }
                Action::CancelTraining => self.worker.send(Request::CancelJob),
                Action::TrainAgain => self.state.train.phase = Phase::Setup,
                Action::UseModel(id) => {
                    self.state.train.changing = true;
                    self.state.models_panel.wanted = Some(id.clone());
                    self.worker.send(Request::UseModel(id));
                }
                Action::RenameModel { id, title } => self.worker.send(Request::RenameModel { id, title }),
                Action::DeleteModel(id) => self.worker.send(Request::DeleteModel(id)),
                Action::ExportModel { id, title } => self.desktop.choose_export(id, &title),
                Action::DismissToast(number) => {
                    if number < self.state.toasts.len() {
                        self.state.toasts.remove(number);
                    }
                }
            }
        }
    }

    fn command(&mut self, ctx: &Context, command: Command) {
        match command {
            Command::OpenFolder => self.desktop.choose_folder(),
            Command::OpenGarden => {
                self.state.opening = true;
                self.worker.send(Request::OpenGarden);
            }
            Command::ChoosePhoto => self.desktop.choose_photo(),
            Command::Paste => ctx.send_viewport_cmd(ViewportCommand::RequestPaste),
            Command::ClearQuery => self.escape(),
            Command::Back if self.state.at > 0 => self.visit(self.state.at - 1),
            Command::Forward => self.visit(self.state.at + 1),
            Command::SearchWithThis => {
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
                    self.state.toasts.push(Toast::new("The path is in the clipboard".into(), false));
                }
            }
            Command::CheckFolder => {
                // Files may have been mended meanwhile.
                self.textures.clear();
                self.worker.send(Request::Index);
            }
            Command::StopIndexing => self.worker.send(Request::CancelJob),
            Command::LargerThumbnails => self.set_tile_side(self.settings.tile_side * 1.2),
            Command::SmallerThumbnails => self.set_tile_side(self.settings.tile_side / 1.2),
            Command::ToggleSidebar => self.settings.sidebar = !self.settings.sidebar,
            Command::ShowProblems => self.state.problems_open = !self.state.problems_open,
            Command::CopyProblems => {
                if let Some(library) = &self.state.library {
                    ctx.copy_text(problems::as_text(&library.problems));
                    self.state.toasts.push(Toast::new("The list is in the clipboard".into(), false));
                }
            }
            Command::Train if self.state.library.is_none() => self.complain("Open a folder first".into()),
            Command::Train => {
                self.state.train.open = !self.state.train.open;
                if self.state.train.open {
                    self.worker.send(Request::PreviewTraining);
                }
            }
            Command::ShowModels => {
                self.state.models_panel.open = !self.state.models_panel.open;
                if self.state.models_panel.open {
                    self.worker.send(Request::ListModels);
                }
            }
            Command::ImportModel => self.desktop.choose_model(),
            Command::LoadWeights => self.desktop.choose_weights(),
            Command::ShowShortcuts => self.state.shortcuts_open = !self.state.shortcuts_open,
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Back => {}
        }
    }

    /// Closes what is uppermost; at last the query.
    fn escape(&mut self) {
        let state = &mut self.state;
        if state.shortcuts_open || state.problems_open || state.models_panel.open {
            (state.shortcuts_open, state.problems_open, state.models_panel.open) = (false, false, false);
        } else if state.large {
            state.large = false;
            self.reveal = state.selected;
        } else if state.is_search() {
            self.push_visit(None);
        }
    }

    fn selected_path(&self) -> Option<PathBuf> {
        Some(self.state.library.as_ref()?.library.root.join(&self.state.selected_hit()?.photo.path))
    }

    fn open(&mut self, path: PathBuf) {
        self.state.opening = true;
        self.worker.send(Request::Open(path));
    }

    fn search(&mut self, query: Query) {
        if self.state.library.is_none() {
            self.complain("Open a folder first: there are no photos to search yet".into());
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
        history.push(Visit { query, preview: None });
        self.visit(self.state.history.len() - 1);
    }

    fn visit(&mut self, at: usize) {
        if at < self.state.history.len() {
            self.state.at = at;
            self.state.selected = None;
            self.state.large = false;
            self.show();
        }
    }

    /// Asks for what the grid has to show now.
    fn show(&mut self) {
        self.state.number += 1;
        self.state.waiting = true;
        self.to_top = true;
        if self.state.is_search() {
            self.state.answer = Answer::None;
        }
        let query = self.state.visit().and_then(|visit| visit.query.clone());
        let view = View { query, filter: self.state.filter.clone(), limit: self.settings.results };
        self.worker.send(Request::Show { number: self.state.number, view });
    }

    fn set_tile_side(&mut self, side: f32) {
        self.settings.tile_side = side.clamp(*TILE_SIDES.start(), *TILE_SIDES.end());
        self.reveal = self.state.selected;
    }

    fn complain(&mut self, message: String) {
        log::warn!("{message}");
        self.state.toasts.push(Toast::new(message, true));
    }

    fn refresh_recent(&mut self) {
        match self.data.libraries() {
            Ok(libraries) => self.state.recent = libraries.into_iter().map(|library| library.root).collect(),
            Err(error) => log::warn!("The recent folders could not be listed: {error}"),
        }
    }

    fn apply_theme(&self, ctx: &Context) {
        ctx.set_theme(match self.settings.theme {
            ThemeChoice::System => egui::ThemePreference::System,
            ThemeChoice::Light => egui::ThemePreference::Light,
            ThemeChoice::Dark => egui::ThemePreference::Dark,
        });
    }

    /// Follows the window's size and the system's theme, and keeps the settings on disk as they are here.
    fn watch_window(&mut self, ctx: &Context) {
        let (focused, size, maximized) = ctx.input(|input| {
            let viewport = input.viewport();
            (input.focused, viewport.inner_rect.map(|rect| rect.size()), viewport.maximized)
        });
        // The setting may have been changed in another window.
        if focused && !self.was_focused {
            self.desktop.ask_for_theme();
        }
        self.was_focused = focused;
        self.settings.maximized = maximized.unwrap_or(false);
        if let Some(size) = size.filter(|_| !self.settings.maximized) {
            self.settings.window = [size.x, size.y];
        }
        // Once the user has let go: a slider or a window edge moves in every frame.
        let at_rest = !ctx.input(|input| input.pointer.any_down());
        if at_rest && self.settings != self.saved_settings {
            if let Err(error) = self.settings.save(&self.data.settings_file()) {
                log::warn!("The settings could not be saved: {error}");
            }
            self.saved_settings = self.settings.clone();
        }
    }
}

/// Starts the worker from a thread whose low priority its threads inherit: jobs take what drawing leaves them.
fn start_worker(
    data: DataFolder,
    device: DeviceChoice,
    wake: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<Worker> {
    let start = move || {
        give_way(NICE_OF_WORKER);
        Worker::start(data, device, wake)
    };
    let starting = std::thread::Builder::new().name("start".into()).spawn(start)?;
    starting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        self.logic(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        self.draw(ui, frame.info().cpu_usage.unwrap_or(0.0));
        let title = match &self.state.library {
            Some(library) => format!("{} – Florascope", library.library.name()),
            None => "Florascope".to_owned(),
        };
        // Each such command makes one more frame, and winit does not tell on X11 what the title is.
        if self.title != title {
            self.title.clone_from(&title);
            ui.ctx().send_viewport_cmd(ViewportCommand::Title(title));
        }
    }

    fn raw_input_hook(&mut self, _ctx: &Context, input: &mut egui::RawInput) {
        // Where the window toolkit does not know the system's theme, the desktop may.
        if let Some(dark) = self.system_is_dark {
            input.system_theme.get_or_insert(if dark { egui::Theme::Dark } else { egui::Theme::Light });
        }
    }
}
