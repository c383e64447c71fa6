//! What the window shows and what its panels can ask for. Plain data: panels read it and send [`Action`]s, and one
//! place, `app/`, changes it. It knows no panel; what a panel has in hand is a value of its own beside this.

pub(crate) mod section;
pub(crate) mod selection;
pub(crate) mod training;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eframe::egui::TextureHandle;
use image::RgbImage;
use tr::tr;

use crate::artefact::{ModelId, ModelSummary, TrainOptions};
use crate::catalog::Problem;
use crate::command::Command;
use crate::compare::Compared;
use crate::desktop::Purpose;
use crate::device::DeviceChoice;
use crate::embed::ModelInfo;
use crate::filter::{Choice, Counts, Filter};
use crate::identify::Identification;
use crate::job::{Outcome, Progress};
use crate::language::LanguageChoice;
use crate::libraries::{LibrarySummary, Unused};
use crate::library::{Library, Obstacle};
use crate::metadata::FileFacts;
use crate::model::Architecture;
use crate::photo::{Photo, PhotoId};
use crate::query::{Copy, Facets, Hit, Order, Query};
use crate::scan::Account;
use crate::settings::ThemeChoice;
use crate::worker::Request;

use self::section::Section;
use self::selection::Selection;
use self::training::Train;

/// What a panel asks for.
#[derive(Clone, Debug)]
pub enum Action {
    Command(Command),
    /// Something for the worker to do.
    Request(Request),
    SearchPhoto(Arc<Photo>),
    /// Search again as some time before.
    SearchAgain(Query),
    /// Limit what is shown to this; what was limited to before is forgotten.
    Filter(Filter),
    /// Make this the only choice of its kind; or none, where it is that.
    Choose(Choice),
    /// Add a choice, or take it away.
    ToggleChoice(Choice),
    /// Show only photos with these words in their names.
    SetWords(String),
    Select(usize),
    /// Add a photo to what is selected, or take it away.
    ToggleSelected(usize),
    /// Select all from the last one to this.
    SelectTo(usize),
    /// Select these, and what was selected as well with `add`.
    SelectMany {
        photos: Vec<usize>,
        add: bool,
    },
    /// Show a photo large.
    ViewLarge(usize),
    CloseLarge,
    SetResults(Option<usize>),
    SetOrder(Order),
    SetThreshold(f32),
    SetTileSide(f32),
    SetTheme(ThemeChoice),
    SetLanguage(LanguageChoice),
    DismissToast(usize),
    ShowInFileManager(PathBuf),
    /// Do not search with the photo that waits for a folder.
    ForgetWaiting,
    /// Ask whether all that is kept of a library is to be deleted.
    AskToForget(Library),
    /// Leave a folder that looks like a moved one unopened.
    ForgetMoved,
    SetTrainOptions(TrainOptions),
    /// Back to the choice of a recipe.
    TrainAgain,
    /// The same, with the species of the folders alone chosen.
    TrainOnlyThese,
    /// Stay with the model that was in use before the training.
    KeepModel,
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

/// What the middle of the window shows of the open library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Grid,
    /// The selected photo.
    Large,
}

/// What lies at the right of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RightPanel {
    #[default]
    None,
    /// What is known of the selected photo.
    Details,
    Train,
}

/// A query or the whole library, as the history keeps it: the way back leads to the very place.
#[derive(Clone, Default)]
pub struct Visit {
    pub(crate) query: Option<Query>,
    /// Its picture, a few dozen pixels large, once it is there. The large one is kept for one visit only.
    pub(crate) thumbnail: Option<TextureHandle>,
    pub(crate) filter: Filter,
    pub(crate) place: Place,
    /// It could not be searched with.
    pub(crate) failed: bool,
}

/// What is to be searched with as soon as there is a folder to search in.
pub struct WaitingPhoto {
    pub(crate) query: Query,
    pub(crate) picture: Option<TextureHandle>,
}

/// Where in a list of photos the user was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub(crate) selected: Option<PhotoId>,
    pub(crate) view: View,
    /// Points that the grid was scrolled by.
    pub(crate) offset: f32,
}

/// A search of before, of this start of the program or an earlier one.
#[derive(Clone)]
pub struct EarlierSearch {
    pub(crate) query: Query,
    /// Its picture, a few dozen pixels large, as it is kept and as it is drawn.
    pub(crate) picture: RgbImage,
    pub(crate) thumbnail: TextureHandle,
}

impl Visit {
    /// What the query is called.
    pub(crate) fn name(&self) -> String {
        self.query.as_ref().map_or_else(|| tr!("Whole library"), query_name)
    }
}

/// What a query is called.
pub(crate) fn query_name(query: &Query) -> String {
    match query {
        Query::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Query::Files(paths) => tr!("{} photos of one plant", paths.len()),
        Query::Photo(photo) => photo.file_name(),
        Query::Picture(_) => tr!("Pasted picture"),
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
    pub waiting_photo: Option<WaitingPhoto>,
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
    /// Width and height of the file that is searched with, in pixels, where they are known.
    pub query_size: Option<(u32, u32)>,
    pub filter: Filter,
    /// What the search before this was limited to: a new one never is, until the user says so.
    pub left_filter: Option<Filter>,
    /// Searches of before, the latest first.
    pub searches: Vec<EarlierSearch>,
    /// The number of the listing that is shown; an answer to another is too late.
    pub number: u64,
    pub answer: Answer,
    /// All photos of the answer, those below the threshold included.
    pub all_hits: Arc<[Hit]>,
    /// Results that are less likely of the query's species, or less similar, are hidden.
    pub threshold: f32,
    /// What the query shows, where that can be said.
    pub identification: Option<Arc<Identification>>,
    /// Results that are less similar than this are not close; `None` where that is not known.
    pub close_from: Option<f32>,
    /// The results that are copies of the query, once they are known.
    pub copies: HashMap<PhotoId, Copy>,
    /// The answer belongs to the view before this one.
    pub waiting: bool,
    /// How many photos each choice has among those that are shown; `None` where all are.
    pub counts: Option<Arc<Counts>>,
    /// The headings in the grid, where its order has some.
    pub sections: Arc<[Section]>,
    /// How photos without a query are sorted.
    pub order: Order,
    pub selection: Selection,
    /// What the selected photo's file tells of itself, once that is known.
    pub file_facts: Option<FileFacts>,
    pub view: View,
    pub right: RightPanel,
    /// The window is too narrow for panels beside the photos: the side panel lies over them, when it is open.
    pub narrow: bool,
    pub drawer_open: bool,
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
    pub toasts: Vec<Toast>,
}

impl State {
    /// Says something over the window. What went wrong before is over with the next success.
    pub(crate) fn say(&mut self, toast: Toast) {
        if !toast.is_error {
            self.toasts.retain(|toast| !toast.is_error);
        }
        self.toasts.push(toast);
    }

    /// Shows those of these photos that are not below the threshold; the selection stays with its photos.
    pub(crate) fn show_hits(&mut self, hits: Arc<[Hit]>) {
        let is_enough = |hit: &&Hit| hit.likeness().is_none_or(|likeness| likeness >= f64::from(self.threshold));
        let shown =
            if self.threshold > 0.0 { hits.iter().filter(is_enough).cloned().collect() } else { Arc::clone(&hits) };
        let selection = self.selection.followed(self.hits(), &shown);
        self.selection = selection;
        if self.selection.current().is_none() {
            self.view = View::Grid;
        }
        self.sections = match self.close_from {
            Some(close_from) if self.is_search() => section::by_similarity(&shown, close_from),
            _ if self.is_search() => Arc::default(),
            _ => section::of(&shown, self.order),
        };
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
        self.hits().get(self.selection.current()?)
    }

    /// All photos that are selected, in the order of the grid.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &Hit> {
        self.hits().iter().enumerate().filter(|(number, _)| self.selection.has(*number)).map(|(_, hit)| hit)
    }

    /// Where the user is in the list of photos, but for how far it is scrolled.
    pub(crate) fn place(&self, offset: f32) -> Place {
        Place { selected: self.selected_hit().map(|hit| hit.photo.id), view: self.view, offset }
    }

    /// What is searched with at present.
    pub(crate) fn visit(&self) -> Option<&Visit> {
        self.history.get(self.at)
    }

    /// The picture that is searched with; until it is there, the small one of an earlier visit.
    pub(crate) fn query_picture(&self) -> Option<&TextureHandle> {
        self.preview.as_ref().or(self.visit()?.thumbnail.as_ref())
    }

    /// Whether there is a way forward in the history.
    pub(crate) fn has_forward(&self) -> bool {
        self.at + 1 < self.history.len()
    }

    /// Whether there is a query.
    pub(crate) fn is_search(&self) -> bool {
        self.visit().is_some_and(|visit| visit.query.is_some())
    }

    /// How many results are close to the query, where that is known.
    pub(crate) fn close_results(&self) -> Option<usize> {
        let close_from = self.close_from?;
        Some(self.all_hits.iter().take_while(|hit| section::is_similar(hit, close_from)).count())
    }

    /// Whether searches are answered by the model of this id.
    pub(crate) fn is_in_use(&self, id: &str) -> bool {
        self.model.as_ref().is_some_and(|model| model.name == id)
    }
}
