//! What the window shows and what its panels can ask for. Plain data: panels read it and send [`Action`]s, and one
//! place, `app/`, changes it. It knows no panel; what a panel has in hand is a value of its own beside this.

pub(crate) mod training;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::TextureHandle;
use tr::tr;

use crate::artefact::{ModelId, ModelSummary, TrainOptions};
use crate::catalog::Problem;
use crate::command::Command;
use crate::compare::Compared;
use crate::desktop::Purpose;
use crate::device::DeviceChoice;
use crate::embed::ModelInfo;
use crate::identify::Identification;
use crate::job::{Outcome, Progress};
use crate::language::LanguageChoice;
use crate::libraries::{LibrarySummary, Unused};
use crate::library::{Library, Obstacle};
use crate::model::Architecture;
use crate::photo::Photo;
use crate::query::{Facets, Filter, Hit, Order, Query};
use crate::scan::Account;
use crate::settings::ThemeChoice;
use crate::worker::Request;

use self::training::Train;

/// What a panel asks for.
#[derive(Clone, Debug)]
pub enum Action {
    Command(Command),
    /// Something for the worker to do.
    Request(Request),
    SearchPhoto(Arc<Photo>),
    /// Go to a place in the history.
    Visit(usize),
    Filter(Filter),
    Select(usize),
    CloseLarge,
    SetResults(Option<usize>),
    SetOrder(Order),
    SetThreshold(f32),
    SetTileSide(f32),
    SetTheme(ThemeChoice),
    SetLanguage(LanguageChoice),
    DismissToast(usize),
    ShowInFileManager(PathBuf),
    /// Leave a folder that looks like a moved one unopened.
    ForgetMoved,
    SetTrainOptions(TrainOptions),
    /// Back to the choice of a recipe.
    TrainAgain,
    /// Have the user choose a path in the system's dialog.
    AskForPath(Purpose),
    /// Find out what a path that was typed leads to.
    CheckPath {
        text: String,
        purpose: Purpose,
    },
}

/// The open library.
pub struct OpenLibrary {
    pub library: Arc<Library>,
    pub writable: bool,
    /// Why it is not, where that is not because another process writes it.
    pub obstacle: Option<Obstacle>,
    pub photos: usize,
    pub loading: bool,
    pub facets: Arc<Facets>,
    pub problems: Arc<[Problem]>,
    pub progress: Option<Progress>,
    /// How far it is found out when the photos of an older catalog were taken, while it is.
    pub dates: Option<Progress>,
    pub outcome: Option<Outcome>,
}

/// A query or the whole library, as the history keeps it.
#[derive(Clone)]
pub struct Visit {
    pub(crate) query: Option<Query>,
    /// Its picture, a few dozen pixels large, once it is there. The large one is kept for one visit only.
    pub(crate) thumbnail: Option<TextureHandle>,
}

impl Visit {
    /// What the query is called.
    pub(crate) fn name(&self) -> String {
        match &self.query {
            None => tr!("Whole library"),
            Some(Query::File(path)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Some(Query::Files(paths)) => tr!("{} photos of one plant", paths.len()),
            Some(Query::Photo(photo)) => photo.file_name(),
            Some(Query::Picture(_)) => tr!("Pasted picture"),
        }
    }
}

/// A folder that is to be opened, and the library that its photos seem to belong to.
pub struct Moved {
    pub(crate) root: PathBuf,
    pub(crate) before: Library,
}

/// A short message over the window.
pub struct Toast {
    pub(crate) text: String,
    pub(crate) is_error: bool,
    pub(crate) until: Instant,
}

impl Toast {
    /// An error stays longer: it says what to do.
    pub(crate) fn new(text: String, is_error: bool) -> Self {
        let seconds = if is_error { 20 } else { 5 };
        Self { text, is_error, until: Instant::now() + Duration::from_secs(seconds) }
    }
}

/// What the library can be listed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Facet {
    #[default]
    Folders,
    Labels,
    Dates,
}

/// Models side by side on the photos of the open library.
#[derive(Default)]
pub struct ModelComparison {
    /// Those that have been compared so far.
    pub(crate) rows: Vec<Compared>,
    /// There are more to come.
    pub(crate) running: bool,
}

/// What the grid has been answered.
#[derive(Default)]
pub enum Answer {
    #[default]
    None,
    Hits(Arc<[Hit]>),
    Failed(String),
}

/// Everything on the screen.
#[derive(Default)]
pub struct State {
    pub model: Option<ModelInfo>,
    /// What has been chosen to compute on.
    pub device: DeviceChoice,
    pub recent: Vec<PathBuf>,
    /// A folder is being opened.
    pub opening: bool,
    /// Waits for the user's word whether to go on with it.
    pub moved: Option<Moved>,
    pub library: Option<OpenLibrary>,
    /// What the open folder holds beside photos.
    pub account: Arc<Account>,
    pub history: Vec<Visit>,
    /// Where in the history we are.
    pub at: usize,
    /// The picture that is searched with, once it is there.
    pub preview: Option<TextureHandle>,
    pub filter: Filter,
    /// The number of the view that is shown; an answer to another is too late.
    pub number: u64,
    pub answer: Answer,
    /// All photos of the answer, those below the threshold included.
    pub all_hits: Arc<[Hit]>,
    /// Results that are less likely of the query's species, or less similar, are hidden.
    pub threshold: f32,
    /// What the query shows, where that can be said.
    pub identification: Option<Arc<Identification>>,
    /// The answer belongs to the view before this one.
    pub waiting: bool,
    pub selected: Option<usize>,
    /// The selected photo is shown large.
    pub large: bool,
    /// All models on this computer, and the id of the one that the open library uses.
    pub models: Arc<[ModelSummary]>,
    pub model_in_use: Option<ModelId>,
    /// Photos a second that networks embed on this computer, as far as it has been measured.
    pub speeds: HashMap<Architecture, f64>,
    pub comparison: ModelComparison,
    /// All libraries on this computer, once they have been listed, and what of them and the models nothing uses.
    pub libraries: Option<Arc<[LibrarySummary]>>,
    pub unused: Arc<Unused>,
    pub train: Train,
    pub problems_open: bool,
    /// Something is being dragged above the window, as the desktop says.
    pub hovering: bool,
    pub shortcuts_open: bool,
    /// What the side panel lists the library by.
    pub facet: Facet,
    pub toasts: Vec<Toast>,
}

impl State {
    /// Shows those of these photos that are not below the threshold; the selection stays with its photo.
    pub(crate) fn show_hits(&mut self, hits: Arc<[Hit]>) {
        let selected = self.selected_hit().map(|hit| hit.photo.id);
        let is_enough = |hit: &&Hit| hit.likeness().is_none_or(|likeness| likeness >= f64::from(self.threshold));
        let shown =
            if self.threshold > 0.0 { hits.iter().filter(is_enough).cloned().collect() } else { Arc::clone(&hits) };
        self.selected = selected.and_then(|id| shown.iter().position(|hit| hit.photo.id == id));
        self.large &= self.selected.is_some();
        (self.all_hits, self.answer) = (hits, Answer::Hits(shown));
    }

    /// The photos in the grid.
    pub(crate) fn hits(&self) -> &[Hit] {
        match &self.answer {
            Answer::Hits(hits) => hits,
            Answer::None | Answer::Failed(_) => &[],
        }
    }

    /// The selected photo.
    pub(crate) fn selected_hit(&self) -> Option<&Hit> {
        self.hits().get(self.selected?)
    }

    /// What is searched with at present.
    pub(crate) fn visit(&self) -> Option<&Visit> {
        self.history.get(self.at)
    }

    /// The picture that is searched with; until it is there, the small one of an earlier visit.
    pub(crate) fn query_picture(&self) -> Option<&TextureHandle> {
        self.preview.as_ref().or(self.visit()?.thumbnail.as_ref())
    }

    /// Whether there is a query.
    pub(crate) fn is_search(&self) -> bool {
        self.visit().is_some_and(|visit| visit.query.is_some())
    }

    /// Whether searches are answered by the model of this id.
    pub(crate) fn is_in_use(&self, id: &str) -> bool {
        self.model.as_ref().is_some_and(|model| model.name == id)
    }
}
