//! What is known of trainings: what has been chosen, what would be learnt from, how far the one that runs is.

use std::sync::Arc;

use crate::artefact::{EvaluationReport, Focus, ModelId, Recipe, TrainOptions};
use crate::train::dataset::{MIN_CLASSES, MIN_PHOTOS_PER_CLASS};
use crate::train::progress::{CurvePoint, LabelPreview, Step, TimeRange, TrainEvent, TrainProgress};
use crate::train::steps::Course;
use crate::worker::TrainingEnd;

/// What the panel for training shows.
#[derive(Default)]
pub struct Train {
    pub open: bool,
    /// What the user has chosen so far.
    pub options: TrainOptions,
    /// What would be learnt from; `None` until it is known.
    pub(crate) labels: Option<Arc<LabelPreview>>,
    /// What a training that was stopped or killed was doing, where it can go on.
    pub resumable: Option<TrainOptions>,
    /// How long trainings would take, the last answer for each recipe.
    pub estimates: Vec<(TrainOptions, Option<TimeRange>)>,
    pub(crate) phase: Phase,
    /// The library is being brought up to date with another model.
    pub changing: bool,
}

/// Where the training is.
#[derive(Default)]
pub(crate) enum Phase {
    #[default]
    Setup,
    Running(Run),
    Ended(Run, TrainingEnd),
}

/// One training, as far as it has been heard of.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) options: TrainOptions,
    /// The model that was in use before.
    pub(crate) before: Option<ModelId>,
    pub(crate) progress: Option<TrainProgress>,
    pub(crate) curve: Vec<CurvePoint>,
    pub(crate) notices: Vec<String>,
    pub(crate) evaluation: Option<Arc<EvaluationReport>>,
    /// The user wants no more than the best so far.
    pub(crate) stopping: bool,
    /// What there is to be done.
    pub(crate) steps: Arc<[Step]>,
    /// The user has decided for the model before.
    pub(crate) kept: bool,
}

impl Train {
    /// Another library is open: of that nothing is known yet.
    pub(crate) fn reset(&mut self) {
        *self = Self { open: self.open, ..Self::default() };
    }

    /// Whether a training is running.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// A training begins while this model is in use.
    pub fn begin(&mut self, options: TrainOptions, before: Option<ModelId>) {
        // Until the job tells them, the steps follow from what is known of the folder.
        let (is_labelled, photos, not_measured) = self.labels.as_ref().map_or((true, 0, None), |labels| {
            (Usable::of(labels).is_labelled(), labels.photos(), labels.not_measured(options.recipe))
        });
        let steps = Course::expected(&options, is_labelled, photos, not_measured).steps().into();
        self.phase = Phase::Running(Run { options, before, steps, ..Run::default() });
    }

    /// The user has decided for the model before.
    pub fn keep(&mut self) {
        if let Phase::Ended(run, _) = &mut self.phase {
            run.kept = true;
        }
    }

    /// Back to the choice, for the species of the folders alone.
    pub fn choose_only_these(&mut self) {
        if let Phase::Ended(run, _) = &self.phase {
            self.options = TrainOptions { focus: Focus::OnlyThese, ..run.options.clone() };
        }
        self.phase = Phase::Setup;
    }

    /// What the running training tells.
    pub fn hear(&mut self, event: TrainEvent) {
        let Phase::Running(run) = &mut self.phase else { return };
        match event {
            TrainEvent::Steps(steps) => run.steps = steps,
            TrainEvent::Progress(progress) => run.progress = Some(progress),
            TrainEvent::Curve(point) => run.curve.push(point),
            TrainEvent::CurveReplaced(points) => run.curve = points,
            TrainEvent::Notice(text) => run.notices.push(text),
            TrainEvent::Evaluated(report) => run.evaluation = Some(report),
        }
    }

    /// The training is over.
    pub fn end(&mut self, end: TrainingEnd) {
        self.changing = matches!(end, TrainingEnd::Done { used: true, .. });
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::Running(run) => Phase::Ended(run, end),
            other => other,
        };
    }

    /// What is known of a folder's labels. The recipes for whole networks need some.
    pub fn take_labels(&mut self, labels: Arc<LabelPreview>) {
        if !Usable::of(&labels).is_labelled() {
            self.options.recipe = Recipe::Quick;
        }
        self.labels = Some(labels);
    }

    /// How long these options would take, where that has been found out.
    pub(crate) fn estimate(&self, options: &TrainOptions) -> Option<TimeRange> {
        self.estimates.iter().find(|(asked, _)| asked == options).and_then(|(_, time)| *time)
    }
}

/// What of the labels a training can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usable {
    pub(crate) classes: usize,
    pub(crate) photos: usize,
    /// Classes of too few photos.
    pub(crate) too_small: usize,
}

impl Usable {
    /// Of these labels.
    pub(crate) fn of(labels: &LabelPreview) -> Self {
        let large = labels.classes.iter().filter(|(_, photos)| *photos >= MIN_PHOTOS_PER_CLASS);
        let classes = large.clone().count();
        Self { classes, photos: large.map(|(_, photos)| photos).sum(), too_small: labels.classes.len() - classes }
    }

    /// Whether there is a species to tell from another.
    pub(crate) fn is_labelled(self) -> bool {
        self.classes >= MIN_CLASSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_one_photo_do_not_count() {
        let labels = |counts: &[usize]| LabelPreview {
            classes: counts.iter().enumerate().map(|(number, photos)| (format!("s{number}"), *photos)).collect(),
            ..LabelPreview::default()
        };
        assert_eq!(Usable::of(&labels(&[3, 1, 2])), Usable { classes: 2, photos: 5, too_small: 1 });
        assert!(Usable::of(&labels(&[3, 1, 2])).is_labelled());
        assert!(!Usable::of(&labels(&[30, 1])).is_labelled());
        assert!(!Usable::of(&labels(&[])).is_labelled());
    }
}
