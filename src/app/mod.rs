//! The window. `logic` takes in what has happened, `draw` composes the panels, and one place, `perform`, does what they
//! ask for.

mod away;
mod dialog;
mod events;
mod input;
mod perform;
mod searches;

use std::path::{Path, PathBuf};
use std::time::Instant;

use eframe::egui::{
    self, Area, CentralPanel, Context, Frame, Id, Margin, Panel, Popup, Rect, Ui, ViewportCommand, vec2,
};

use raw_window_handle::{HasDisplayHandle, HasWindowHandle};

use crate::artefact::TrainOptions;
use crate::desktop::{Answer as DesktopAnswer, Choice, Desktop};
use crate::device::DeviceChoice;
use crate::job::lower_priority;
use crate::kept_files::KeptFiles;
use crate::library::DataFolder;
use crate::metadata::FileFacts;
use crate::query::Query;
use crate::settings::{Settings, ThemeChoice};
use crate::ui::answer::answer_ui;
use crate::ui::grid::{Grid, Layout};
use crate::ui::nothing::nothing_ui;
use crate::ui::state::training::Phase;
use crate::ui::state::{Action, OpenLibrary, Place, RightPanel, State, Toast, View};
use crate::ui::textures::Textures;
use crate::ui::{
    about, details, drop_target, header, large, libraries, models, moved, path_prompt, problems, shortcuts, sidebar,
    status, strip, theme, toasts, top_bar, train, welcome,
};
use crate::worker::{Request, Worker};

/// How far the worker and its jobs stand back for the thread that draws, in steps of the system's "nice" value: enough
/// for smooth frames, and beside other programs that compute they keep a quarter of a core. More steps leave them ever
/// less of it (`cargo bench --bench window -- --beside 2`).
const NICE_OF_WORKER: i32 = 5;
/// Widths of the panels at the right, in points; they can be drawn wider.
const TRAIN_WIDTH: f32 = 400.0;
const DETAILS_WIDTH: f32 = 300.0;
/// In a narrower window the panels lie over the photos instead of beside them.
const NARROW: f32 = 1000.0;
/// Widths of the side panel.
const SIDEBAR: std::ops::RangeInclusive<f32> = 190.0..=460.0;
/// Height of the bar at the top, in points.
const TOP_BAR: f32 = 48.0;

/// The program's window.
pub struct App {
    worker: Worker,
    desktop: Desktop,
    textures: Textures,
    data: DataFolder,
    settings: Settings,
    saved_settings: Settings,
    kept_files: KeptFiles,
    state: State,
    search_field: top_bar::SearchField,
    sidebar_panel: sidebar::Sidebar,
    large_view: large::LargeView,
    shortcuts: shortcuts::Shortcuts,
    models_panel: models::Models,
    problems_panel: problems::Problems,
    libraries_panel: libraries::Libraries,
    about: Option<about::About>,
    path_prompt: path_prompt::PathPrompt,
    /// The system's file dialog, from the request for it to its end.
    dialog: Option<dialog::PendingDialog>,
    /// The library of the last time is to be opened once it is known.
    opens_last: bool,
    grid: Layout,
    /// Where the photos are in the window.
    photos_at: Rect,
    /// How far the grid is scrolled, and where it is to be scrolled to.
    offset: f32,
    scroll_to: Option<f32>,
    reveal: Option<usize>,
    /// Where the user was in what is to be shown next.
    place: Option<Place>,
    /// The searches of before have been read; they are not written sooner.
    has_searches: bool,
    /// The file whose facts were asked for last.
    facts_of: Option<PathBuf>,
    system_is_dark: Option<bool>,
    /// Has been compared with the size of the screen.
    fits_screen: bool,
    was_focused: bool,
    /// The job that goes on.
    work: away::Work,
    /// What the estimates of the training's time were last asked for.
    estimates_of: Option<(TrainOptions, usize, DeviceChoice)>,
    /// Whether a button or list had the keyboard's focus when the last frame ended.
    widget_had_focus: bool,
    /// Or a field for text, or that for searches.
    was_typing: bool,
    was_in_search_field: bool,
    /// The key V is down, and what it was pressed for has been done.
    has_pasted: bool,
    /// In the window's bar.
    title: String,
}

impl App {
    /// Starts the worker and the loaders, and opens the folder at `path`, or else the library of the last time, to search
    /// in it with the photo at `path`. `device` goes before the one that was chosen the last time.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(
        ctx: &Context,
        data: DataFolder,
        settings: Settings,
        device: Option<DeviceChoice>,
        path: Option<PathBuf>,
    ) -> std::io::Result<Self> {
        theme::install(ctx);
        let device = device.unwrap_or(settings.device);
        let wake = |ctx: &Context| {
            let ctx = ctx.clone();
            move || ctx.request_repaint()
        };
        let desktop = Desktop::new(wake(ctx));
        let app = Self {
            worker: start_worker(data.clone(), device, wake(ctx))?,
            textures: Textures::start(wake(ctx))?,
            kept_files: KeptFiles::start(desktop.teller())?,
            desktop,
            data,
            saved_settings: settings.clone(),
            settings,
            state: State { device, opening: true, ..State::default() },
            search_field: top_bar::SearchField::default(),
            sidebar_panel: sidebar::Sidebar::default(),
            large_view: large::LargeView::default(),
            shortcuts: shortcuts::Shortcuts::default(),
            models_panel: models::Models::default(),
            problems_panel: problems::Problems::default(),
            libraries_panel: libraries::Libraries::default(),
            about: None,
            path_prompt: path_prompt::PathPrompt::default(),
            dialog: None,
            opens_last: path.is_none(),
            grid: Layout::default(),
            photos_at: Rect::ZERO,
            offset: 0.0,
            scroll_to: None,
            reveal: None,
            place: None,
            has_searches: false,
            facts_of: None,
            system_is_dark: None,
            fits_screen: false,
            was_focused: false,
            work: away::Work::default(),
            estimates_of: None,
            widget_had_focus: false,
            was_typing: false,
            was_in_search_field: false,
            has_pasted: false,
            title: String::new(),
        };
        app.apply_theme(ctx);
        match path {
            Some(path) => app.desktop.classify_argument(path),
            None => app.refresh_recent(),
        }
        Ok(app)
    }

    /// Has drops and the clipboard listened for on behalf of a window, as far as its toolkit does not.
    ///
    /// # Safety
    /// The display that the window is on outlives this.
    pub unsafe fn listen(&mut self, window: &(impl HasDisplayHandle + HasWindowHandle)) {
        // SAFETY: the caller's promise.
        unsafe { self.desktop.listen(window) };
    }

    /// Takes in what the worker, the desktop and the user have to say.
    pub fn logic(&mut self, ctx: &Context) {
        for event in self.worker.take_events() {
            self.handle_event(ctx, event);
        }
        self.watch_dialog(ctx);
        for answer in self.desktop.take() {
            self.handle_answer(ctx, answer);
        }
        self.take_drops(ctx);
        let actions = self.keyboard(ctx);
        self.perform(ctx, actions);
        let now = Instant::now();
        self.state.toasts.retain(|toast| toast.until > now);
        self.ask_for_estimates();
        self.ask_for_facts();
        self.watch_window(ctx);
    }

    /// Draws everything; the frame before took `last_frame` seconds.
    pub fn draw(&mut self, ui: &mut Ui, last_frame: f32) {
        let ctx = ui.ctx().clone();
        self.textures.begin_frame(&ctx, last_frame);
        self.photos_at = ctx.content_rect();
        let mut actions = Vec::new();
        match self.state.library.take() {
            None => {
                let frame = Frame::central_panel(ui.style()).inner_margin(theme::MARGIN);
                CentralPanel::default().frame(frame).show(ui, |ui| {
                    welcome::welcome_ui(ui, &self.state, &self.settings, &mut self.textures, &mut actions);
                });
            }
            Some(library) => {
                self.library_ui(ui, &library, &mut actions);
                let open = &mut self.state.problems_open;
                problems::problems_ui(&ctx, &mut self.problems_panel, &library, open, &mut actions);
                self.state.library = Some(library);
            }
        }
        if self.models_panel.open {
            models::models_ui(&ctx, &mut self.models_panel, &self.state, &mut actions);
        }
        if self.libraries_panel.open {
            libraries::libraries_ui(&ctx, &mut self.libraries_panel, &self.state, &mut actions);
        }
        shortcuts::shortcuts_ui(&ctx, &mut self.shortcuts);
        about::about_ui(&ctx, &mut self.about, &mut actions);
        if let Some(moved) = &self.state.moved {
            moved::moved_ui(&ctx, moved, &mut actions);
        }
        path_prompt::path_prompt_ui(&ctx, &mut self.path_prompt, &mut actions);
        toasts::toasts_ui(&ctx, &self.state, self.photos_at, &mut actions);
        drop_target::drop_target_ui(&ctx, ui, &self.state);
        self.textures.end_frame();
        self.widget_had_focus = ctx.memory(|memory| memory.focused().is_some());
        self.was_typing = ctx.text_edit_focused();
        self.was_in_search_field = ctx.memory(|memory| memory.has_focus(top_bar::search_field_id()));
        if !actions.is_empty() {
            self.perform(&ctx, actions);
            ctx.request_repaint();
        }
    }

    fn library_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        let width = ui.available_width();
        self.state.narrow = width < NARROW;
        // A photo on the full screen has all of it.
        if !(is_full_screen(ui.ctx()) && self.state.view == View::Large) {
            let bar = Frame::side_top_panel(ui.style()).inner_margin(Margin::symmetric(12, 7));
            Panel::top("top bar").frame(bar).min_size(TOP_BAR).show(ui, |ui| {
                top_bar::top_bar_ui(ui, &self.state, &mut self.search_field, library, &self.settings, actions);
            });
            let status = Frame::side_top_panel(ui.style()).inner_margin(Margin::symmetric(12, 2));
            Panel::bottom("status bar").frame(status).resizable(false).min_size(status::STATUS_BAR).show(ui, |ui| {
                status::status_ui(ui, &self.state, library, actions);
            });
        }
        let frame = Frame::side_top_panel(ui.style()).inner_margin(theme::MARGIN);
        // In the large view the query is there twice as it is.
        if self.settings.sidebar && !self.state.narrow && self.state.view == View::Grid {
            let default = (width * 0.18).clamp(240.0, 420.0);
            Panel::left("sidebar").frame(frame).default_size(default).size_range(SIDEBAR).show(ui, |ui| {
                sidebar::sidebar_ui(ui, &mut self.sidebar_panel, &self.state, library, actions);
            });
        }
        if self.state.right != RightPanel::None && !self.state.narrow {
            let (id, least) = match self.state.right {
                RightPanel::Train => ("train", TRAIN_WIDTH),
                RightPanel::Details | RightPanel::None => ("details", DETAILS_WIDTH),
            };
            let widest = (ui.available_width() - 220.0).max(least);
            let panel = Panel::right(id).frame(frame).default_size(least).size_range(least..=widest.min(760.0));
            panel.show(ui, |ui| self.right_ui(ui, library, actions));
        }
        let frame = Frame::central_panel(ui.style()).inner_margin(theme::MARGIN);
        CentralPanel::default().frame(frame).show(ui, |ui| self.middle_ui(ui, library, actions));
        if self.state.narrow && self.state.drawer_open {
            self.drawer_ui(ui, library, actions);
        }
    }

    fn middle_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        self.photos_at = ui.max_rect();
        if self.state.view == View::Large {
            // The buttons under a large photo are not covered either.
            self.photos_at.max.y -= large::BAR;
        }
        if self.state.narrow && self.state.right != RightPanel::None {
            return self.right_ui(ui, library, actions);
        }
        match (self.state.view, self.state.selected_hit()) {
            (View::Large, Some(hit)) => {
                self.large_view.ui(ui, &self.state, library, hit, &mut self.textures, actions);
            }
            (View::Grid | View::Large, _) => {
                self.large_view.fit();
                self.grid_ui(ui, library, actions);
            }
        }
    }

    fn right_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        match self.state.right {
            RightPanel::None => {}
            RightPanel::Details => details::details_ui(ui, &self.state, library, &mut self.textures, actions),
            RightPanel::Train => train::train_ui(ui, &self.state, library, &mut self.textures, actions),
        }
    }

    /// The side panel over the photos.
    fn drawer_ui(&mut self, ui: &Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        let place = ui.ctx().content_rect();
        let place = Rect::from_min_max(place.min + vec2(0.0, TOP_BAR), place.max - vec2(0.0, status::STATUS_BAR));
        let inside = place.height() - theme::MARGIN.sum().y;
        let width = (place.width() * 0.6).min(320.0);
        let area = Area::new(Id::unique("drawer")).fixed_pos(place.min).constrain(false);
        let drawer = area.show(ui.ctx(), |ui| {
            Frame::side_top_panel(ui.style()).inner_margin(theme::MARGIN).shadow(ui.visuals().popup_shadow).show(
                ui,
                |ui| {
                    ui.set_min_size(vec2(width, inside));
                    ui.set_max_size(vec2(width, inside));
                    sidebar::sidebar_ui(ui, &mut self.sidebar_panel, &self.state, library, actions);
                },
            );
        });
        if drawer.response.clicked_elsewhere() && !Popup::is_any_open(ui.ctx()) {
            self.state.drawer_open = false;
        }
    }

    fn grid_ui(&mut self, ui: &mut Ui, library: &OpenLibrary, actions: &mut Vec<Action>) {
        // In a low window the search field alone says what is searched with.
        if self.state.narrow && ui.available_height() >= strip::FROM_HEIGHT {
            strip::strip_ui(ui, &self.state, actions);
        }
        header::header_ui(ui, &self.state, library, &self.settings, actions);
        answer_ui(ui, &self.state, library, &mut self.textures, actions);
        nothing_ui(ui, &self.state, library, actions);
        let grid = Grid {
            tile_side: self.settings.tile_side,
            textures: &mut self.textures,
            reveal: self.reveal.take(),
            offset: self.scroll_to.take(),
        };
        (self.grid, self.offset) = grid.ui(ui, &self.state, library, actions);
    }

    /// Has the worker say how long the chosen recipe would take, when something has changed that this depends on. Not the
    /// others: to know it of a network it has to be tried out, and that takes time from what the user does next.
    fn ask_for_estimates(&mut self) {
        let train = &self.state.train;
        let Some(library) = &self.state.library else { return };
        if self.state.right != RightPanel::Train || !matches!(train.phase, Phase::Setup) || library.loading {
            return;
        }
        // While there are more photos every second: once, and again when they are all there.
        let photos = if library.progress.is_some() { 0 } else { library.photos };
        let asked = (train.options.clone(), photos, self.state.device);
        if self.estimates_of.as_ref() == Some(&asked) {
            return;
        }
        self.worker.send(Request::EstimateTraining(asked.0.clone()));
        self.estimates_of = Some(asked);
    }

    /// Has it read what the selected photo's file tells of itself, where the details are shown.
    fn ask_for_facts(&mut self) {
        if self.state.right != RightPanel::Details {
            return;
        }
        let selected = self.selected_path();
        if let Some(file) = selected.clone().filter(|_| self.facts_of != selected) {
            self.desktop.run("details", move || Some(DesktopAnswer::FileFacts(FileFacts::of(file))));
        }
        self.facts_of = selected;
    }

    /// Says over the window what went wrong.
    pub fn show_error(&mut self, message: String) {
        self.state.say(Toast::new(message, true));
    }

    /// Says where the report of an unexpected end lies.
    pub fn show_crash(&mut self, report: &Path) {
        self.show_error(about::crash_text(report));
    }

    /// Has the folders listed that were opened before.
    fn refresh_recent(&self) {
        let data = self.data.clone();
        self.desktop.run("recent folders", move || {
            Some(match data.libraries() {
                Ok(libraries) => DesktopAnswer::Recent(libraries.into_iter().map(|library| library.root).collect()),
                Err(error) => {
                    log::warn!("The recent folders could not be listed: {error}");
                    DesktopAnswer::Recent(Vec::new())
                }
            })
        });
    }

    /// Begins with what the program was started with.
    fn take_argument(&mut self, choice: Choice) {
        if let Choice::Photo(photo) = choice {
            self.wait_with(Query::File(photo));
            self.opens_last = true;
            self.refresh_recent();
        } else {
            self.refresh_recent();
            self.take_choice(choice);
        }
    }

    fn take_recent(&mut self, folders: Vec<PathBuf>) {
        self.state.recent = folders;
        if std::mem::take(&mut self.opens_last) {
            match self.state.recent.first() {
                Some(folder) => self.request(Request::Open(folder.clone())),
                None => {
                    self.state.opening = false;
                    self.worker.send(Request::ListLibraries);
                }
            }
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
        let (focused, size, maximized, screen) = ctx.input(|input| {
            let viewport = input.viewport();
            (input.focused, viewport.inner_rect.map(|rect| rect.size()), viewport.maximized, viewport.monitor_size)
        });
        // The setting may have been changed in another window.
        if focused && !self.was_focused {
            self.desktop.ask_for_theme();
        }
        self.was_focused = focused;
        // As large as it was the last time, it may be larger than the screen of today.
        if let (Some(screen), Some(inner)) = (screen, size.filter(|_| !std::mem::replace(&mut self.fits_screen, true)))
            && (inner.x > screen.x || inner.y > screen.y)
        {
            ctx.send_viewport_cmd(ViewportCommand::InnerSize(inner.min(screen)));
        }
        self.settings.maximized = maximized.unwrap_or(false);
        if let Some(size) = size.filter(|_| !self.settings.maximized) {
            self.settings.window = [size.x, size.y];
        }
        // Once the user has let go: a slider or a window edge moves in every frame.
        let at_rest = !ctx.input(|input| input.pointer.any_down());
        if at_rest && self.settings != self.saved_settings {
            let settings = self.settings.clone();
            self.kept_files.save(self.data.settings_file(), move || settings.to_bytes());
            self.saved_settings = self.settings.clone();
        }
    }
}

/// Whether the window fills the screen.
fn is_full_screen(ctx: &Context) -> bool {
    ctx.input(|input| input.viewport().fullscreen.unwrap_or(false))
}

/// Starts the worker from a thread whose low priority its threads inherit: jobs take what drawing leaves them.
fn start_worker(
    data: DataFolder,
    device: DeviceChoice,
    wake: impl Fn() + Send + Sync + 'static,
) -> std::io::Result<Worker> {
    let start = move || {
        lower_priority(NICE_OF_WORKER);
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
        let title = away::title(&self.state);
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
