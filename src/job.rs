//! What every long work has in common: it can be cancelled, it tells how far it is, and it ends in one of three ways.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A stop flag, shared by whoever may ask for the stop and the threads that obey it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the job to stop; it does so within a second and keeps what it has finished.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets other threads go first: adds to this thread's "nice" value, which threads that it starts inherit. Only Linux
/// knows that of a thread by itself; elsewhere nothing happens.
pub(crate) fn lower_priority(steps: i32) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(steps) {
        log::warn!("The priority of a thread could not be lowered: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = steps;
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done { completed: u64 },
    Cancelled { completed: u64 },
    Failed { message: String },
}

/// What a job is doing now. Programs that read the JSON of `florascope train` know the stages by these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    #[default]
    Preparing,
    DrawingGarden,
    LoadingModel,
    Scanning,
    Indexing,
    /// A model's head gets its embeddings from features that are there: no file is read.
    Projecting,
    /// Photos that are in the catalog already are embedded with another model.
    Embedding,
    /// What their files tell beside the picture is read of photos that an older version has indexed.
    ReadingDates,
    /// What an evaluation searches with.
    EmbeddingQueries,
    /// Photos are embedded with several models, one after the other.
    Comparing,
    LoadingFeatures,
    Training,
    TrainingWithoutHeldOut,
    TrainingOnAll,
    Evaluating,
    EvaluatingAugmentedViews,
}

impl Stage {
    /// For people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Preparing => "Getting ready",
            Self::DrawingGarden => "Drawing the sample garden",
            Self::LoadingModel => "Loading the model",
            Self::Scanning => "Looking for photos",
            Self::Indexing => "Indexing",
            Self::Projecting => "Applying the model",
            Self::Embedding => "Embedding photos with the new model",
            Self::ReadingDates => "Reading when photos were taken",
            Self::EmbeddingQueries => "Embedding the queries",
            Self::Comparing => "Comparing models",
            Self::LoadingFeatures => "Loading features",
            Self::Training => "Training",
            Self::TrainingWithoutHeldOut => "Training, with some photos held out",
            Self::TrainingOnAll => "Training on all photos",
            Self::Evaluating => "Evaluating",
            Self::EvaluatingAugmentedViews => "Evaluating with augmented views",
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    pub(crate) stage: Stage,
    pub done: u64,
    /// `None` while it is not known yet.
    pub total: Option<u64>,
    /// Items a second over the last seconds.
    pub(crate) rate: Option<f64>,
    /// Items that failed so far.
    pub(crate) problems: u64,
}

impl Progress {
    /// A stage that has just begun.
    pub(crate) fn begin(stage: Stage, total: Option<u64>) -> Self {
        Self { stage, done: 0, total, rate: None, problems: 0 }
    }

    /// Time to the end at the present rate, where it can be told.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let left = self.total?.saturating_sub(self.done) as f64;
        let rate = self.rate.filter(|rate| *rate > 0.0)?;
        Duration::try_from_secs_f64(left / rate).ok()
    }

    /// Done of total, from 0 to 1.
    pub(crate) fn fraction(&self) -> Option<f32> {
        let total = self.total?;
        Some(if total == 0 { 1.0 } else { (self.done as f64 / total as f64) as f32 })
    }
}

/// Items a second over a sliding window: steady enough to read, quick enough to follow.
#[derive(Debug)]
pub(crate) struct RateMeter {
    samples: VecDeque<(Instant, u64)>,
}

impl RateMeter {
    const WINDOW: Duration = Duration::from_secs(10);

    /// A meter that begins to count now.
    pub(crate) fn start() -> Self {
        Self { samples: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// Takes the count of all items done so far; gives items a second once half a second has been seen.
    pub(crate) fn update(&mut self, done: u64) -> Option<f64> {
        self.update_at(Instant::now(), done)
    }

    fn update_at(&mut self, now: Instant, done: u64) -> Option<f64> {
        while self.samples.len() > 1 && now.duration_since(self.samples[0].0) > Self::WINDOW {
            self.samples.pop_front();
        }
        let &(then, before) = self.samples.front()?;
        if self.samples.back().is_none_or(|(last, _)| now.duration_since(*last) > Duration::from_millis(100)) {
            self.samples.push_back((now, done));
        }
        let seconds = now.duration_since(then).as_secs_f64();
        (seconds >= 0.5).then(|| done.saturating_sub(before) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_gives_way_together_with_those_that_it_starts() {
        let nice = || -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().parse().unwrap()
        };
        let before = nice();
        std::thread::scope(|scope| {
            let lowered = scope.spawn(|| {
                lower_priority(2);
                [nice(), scope.spawn(nice).join().unwrap()]
            });
            assert_eq!(lowered.join().unwrap(), [before + 2; 2]);
        });
        assert_eq!(nice(), before);
    }

    #[test]
    fn the_rate_follows_the_last_seconds() {
        let mut meter = RateMeter::start();
        let start = meter.samples[0].0;
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(meter.update_at(start, 0), None);
        for second in 1..=30 {
            meter.update_at(at(second), second * 10);
        }
        // Ten a second so far; then the work becomes five times faster, and the meter follows.
        let mut rate = 0.0;
        for second in 31..=50 {
            rate = meter.update_at(at(second), 300 + (second - 30) * 50).unwrap();
        }
        assert!((rate - 50.0).abs() < 1.0, "{rate}");
    }

    #[test]
    fn time_left_needs_a_total_and_a_rate() {
        let mut progress = Progress::begin(Stage::Indexing, Some(100));
        assert_eq!(progress.time_left(), None);
        progress.done = 50;
        progress.rate = Some(10.0);
        assert_eq!(progress.time_left(), Some(Duration::from_secs(5)));
        assert_eq!(progress.fraction(), Some(0.5));
        assert_eq!(Progress::begin(Stage::Indexing, Some(0)).fraction(), Some(1.0));
    }
}
