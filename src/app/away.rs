//! What is told to a user who looks elsewhere: how far the work is, in the window's title, and the end of long work, by a
//! notification of the desktop.

use std::time::{Duration, Instant};
use tr::tr;

use super::App;
use crate::job::Outcome;
use crate::language::translate;
use crate::ui::photos_of;
use crate::ui::state::State;
use crate::ui::state::training::Phase;
use crate::ui::train::progress::fraction;
use crate::worker::TrainingEnd;

/// Work that takes longer is worth a notification.
const LONG: Duration = Duration::from_secs(60);

/// The work that goes on.
pub(super) struct Work {
    began: Option<Instant>,
    long: Duration,
}

impl Default for Work {
    fn default() -> Self {
        Self { began: None, long: LONG }
    }
}

impl App {
    /// Takes work for long from this time on, for tests.
    pub fn set_long(&mut self, long: Duration) {
        self.work.long = long;
    }

    /// A job goes on, and may have just begun.
    pub(super) fn work_goes_on(&mut self) {
        self.work.began.get_or_insert_with(Instant::now);
    }

    /// Another folder is open: what is done there begins now.
    pub(super) fn begin_anew(&mut self) {
        self.work.began = None;
    }

    pub(super) fn notify_of_job(&mut self, outcome: &Outcome) {
        let Some(library) = &self.state.library else { return };
        let name = library.library.name();
        let photos = photos_of(library.photos);
        match outcome {
            Outcome::Done { .. } => {
                self.notify(tr!("{name} is up to date", name), tr!("{photos} can be searched", photos));
            }
            Outcome::Failed { message } => {
                self.notify(tr!("{name} could not be brought up to date", name), translate(message));
            }
            // The user did that, and knows.
            Outcome::Cancelled { .. } => self.begin_anew(),
        }
    }

    pub(super) fn notify_of_training(&mut self, end: &TrainingEnd) {
        let body = match end {
            TrainingEnd::Done { used: true, .. } => tr!("The new model is better, and is being taken into use"),
            TrainingEnd::Done { used: false, .. } => {
                tr!("The new model is not clearly better; the present one stays in use")
            }
            TrainingEnd::Failed { message } => translate(message),
            TrainingEnd::Stopped => return self.begin_anew(),
        };
        let failed = matches!(end, TrainingEnd::Failed { .. });
        let title = if failed { tr!("The training failed") } else { tr!("Training finished") };
        self.notify(title, body);
    }

    /// Says that the work has ended, where it took long and the user looks elsewhere. Work of whose beginning nothing was
    /// told, as the folder is looked through where something changed in it, ends as quietly.
    fn notify(&mut self, title: String, body: String) {
        let Some(began) = self.work.began.take() else { return };
        if began.elapsed() >= self.work.long && !self.was_focused {
            self.desktop.notify(title, body);
        }
    }
}

/// What the window's bar says: "Indexing 43 % – Garden – Florascope".
pub(super) fn title(state: &State) -> String {
    let Some(library) = &state.library else { return "Florascope".into() };
    let indexing =
        library.progress.as_ref().and_then(|progress| Some((translate(progress.stage.text()), progress.fraction()?)));
    let training = || match &state.train.phase {
        Phase::Running(run) => Some((tr!("Training"), fraction(run)?)),
        Phase::Setup | Phase::Ended(..) => None,
    };
    let name = library.library.name();
    match indexing.or_else(training) {
        // Not more exact: each change of the title draws the window once more.
        Some((work, done)) => format!("{work} {} % – {name} – Florascope", (done * 100.0) as u32),
        None => format!("{name} – Florascope"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::job::{Progress, Stage};
    use crate::library::Library;
    use crate::train::progress::{Overall, TrainEvent, TrainProgress};
    use crate::ui::state::OpenLibrary;

    #[test]
    fn the_title_tells_how_far_the_work_is() {
        let mut state = State::default();
        assert_eq!(title(&state), "Florascope");
        let library = Library { root: PathBuf::from("/home/ann/Garden"), folder: PathBuf::new() };
        state.library = Some(OpenLibrary {
            library: Arc::new(library),
            writable: true,
            obstacle: None,
            photos: 0,
            loading: false,
            facets: Arc::default(),
            problems: Arc::default(),
            progress: None,
            dates: None,
            outcome: None,
        });
        assert_eq!(title(&state), "Garden – Florascope");
        let mut at = |progress| {
            state.library.as_mut().unwrap().progress = progress;
            title(&state)
        };
        assert_eq!(at(Some(Progress::begin(Stage::Scanning, None))), "Garden – Florascope");
        let progress = Progress { done: 219, ..Progress::begin(Stage::Indexing, Some(500)) };
        assert_eq!(at(Some(progress)), "Indexing 43 % – Garden – Florascope");
        at(None);
        state.train.begin(Default::default(), None);
        let overall = Overall { done: 0.25, ..Overall::default() };
        let progress = TrainProgress { overall, ..TrainProgress::default() };
        state.train.hear(TrainEvent::Progress(progress));
        assert_eq!(title(&state), "Training 25 % – Garden – Florascope");
    }
}
