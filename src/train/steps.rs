//! The steps of a training as its user knows them: which ones a run has, in their order. The checklist in the window, the
//! command line and what is remembered of the last run all speak of these.

use serde::{Deserialize, Serialize};

use super::holdout::Scheme;
use crate::artefact::{Focus, NotMeasured, Recipe, TrainOptions};
use crate::job::Stage;

/// A step. The names in JSON are also those in the file of the last runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The folder is looked through, new photos are embedded, features loaded.
    Update,
    /// Every layer learns, from all photos but those that the test needs.
    Network,
    /// Every layer learns, from all photos.
    NetworkOnAll,
    /// The library is embedded with the new network.
    Embed,
    /// A head learns from all photos but those that the test needs.
    HeldOut,
    /// The same several times, each with other photos kept back, and measured each time.
    CrossValidate,
    /// Without labels.
    Alike,
    /// Both models are compared on the photos that were kept back.
    Measure,
    /// The same on altered views.
    MeasureViews,
    /// The head that will be used.
    LearnFromAll,
    /// The library changes to the new model, where that is better.
    Use,
}

impl Step {
    /// For people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Update => "Bring the folder up to date",
            Self::Network => "Teach the network, with some photos kept back for the test",
            Self::NetworkOnAll => "Teach the network",
            Self::Embed => "Embed all photos with it",
            Self::HeldOut => "Learn, with some photos kept back for the test",
            Self::CrossValidate => "Learn and measure, each time with other photos kept back",
            Self::Alike => "Learn from photos that look alike",
            Self::Measure => "Measure",
            Self::MeasureViews => "Measure on cropped and recoloured copies",
            Self::LearnFromAll => "Learn from all photos",
            Self::Use => "Put in use, if it is better",
        }
    }

    /// Which stages of the job it is made of.
    pub(super) fn has(self, stage: Stage) -> bool {
        let stages: &[Stage] = match self {
            Self::Update => &[
                Stage::Preparing,
                Stage::LoadingModel,
                Stage::Scanning,
                Stage::Indexing,
                Stage::Projecting,
                Stage::Embedding,
                Stage::LoadingFeatures,
            ],
            Self::Network | Self::NetworkOnAll | Self::Alike => &[Stage::Training],
            Self::Embed => &[Stage::LoadingModel, Stage::Projecting, Stage::Embedding],
            Self::HeldOut => &[Stage::TrainingWithoutHeldOut],
            Self::CrossValidate => &[Stage::TrainingWithoutHeldOut, Stage::Evaluating],
            Self::Measure => &[Stage::Evaluating],
            Self::MeasureViews => &[Stage::EvaluatingAugmentedViews],
            Self::LearnFromAll => &[Stage::TrainingOnAll],
            // After the training has ended.
            Self::Use => &[],
        };
        stages.contains(&stage)
    }

    /// What it takes beside the others, usually: a share of no unit, for where nothing was measured here.
    pub(super) fn usual_share(self) -> f64 {
        match self {
            Self::Update => 2.0,
            Self::Network | Self::NetworkOnAll => 400.0,
            Self::Embed | Self::MeasureViews => 20.0,
            Self::HeldOut | Self::LearnFromAll => 10.0,
            Self::CrossValidate => 40.0,
            Self::Alike => 8.0,
            Self::Measure => 3.0,
            Self::Use => 1.0,
        }
    }

    /// Whether it takes longer with more epochs, as a user chooses them.
    pub(super) fn has_epochs(self, recipe: Recipe) -> bool {
        match recipe {
            Recipe::Quick => matches!(self, Self::HeldOut | Self::CrossValidate | Self::LearnFromAll),
            Recipe::Full | Recipe::Tutorial => matches!(self, Self::Network | Self::NetworkOnAll),
        }
    }
}

/// What decides which steps a training has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) recipe: Recipe,
    pub(crate) is_labelled: bool,
    /// How often photos are held out, others each time.
    pub(crate) rounds: usize,
    pub(crate) learns_from_all: bool,
    pub(crate) not_measured: Option<NotMeasured>,
}

impl Course {
    /// As far as it is known before the photos are looked at.
    pub(crate) fn expected(
        options: &TrainOptions,
        is_labelled: bool,
        photos: usize,
        not_measured: Option<NotMeasured>,
    ) -> Self {
        let all = options.learn_from_all;
        Self {
            recipe: options.recipe,
            is_labelled,
            rounds: Scheme::of(options.recipe, photos).rounds,
            learns_from_all: all,
            not_measured: all.then_some(NotMeasured::NothingHeldOut).or(not_measured),
        }
    }

    /// The steps, in their order.
    pub(crate) fn steps(self) -> Vec<Step> {
        let network = if self.learns_from_all { Step::NetworkOnAll } else { Step::Network };
        let test: &[Step] = match self.rounds {
            _ if self.not_measured == Some(NotMeasured::NothingHeldOut) => &[],
            0 | 1 => &[Step::HeldOut, Step::Measure],
            _ => &[Step::CrossValidate],
        };
        let learning = match self.recipe {
            Recipe::Quick if !self.is_labelled => vec![Step::Alike, Step::MeasureViews, Step::LearnFromAll],
            Recipe::Quick => [test, &[Step::LearnFromAll]].concat(),
            Recipe::Full => [&[network, Step::Embed], test, &[Step::LearnFromAll]].concat(),
            Recipe::Tutorial => vec![network, Step::Embed, Step::Measure],
        };
        let used = self.not_measured.is_none().then_some(Step::Use);
        std::iter::once(Step::Update).chain(learning).chain(used).collect()
    }
}

/// Names what two trainings must have in common for the time of one to tell that of the other, but for the computer and
/// its device.
pub(super) fn kind(options: &TrainOptions, is_labelled: bool) -> String {
    let labels = if is_labelled { "labels" } else { "no-labels" };
    // For these a head is computed in one go.
    let focus = if options.focus == Focus::OtherSpecies { " other-species" } else { "" };
    format!("{} {labels}{focus}", options.recipe.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(recipe: Recipe, change: impl FnOnce(&mut Course)) -> Vec<Step> {
        let mut course = Course { recipe, is_labelled: true, rounds: 1, learns_from_all: false, not_measured: None };
        change(&mut course);
        course.steps()
    }

    #[test]
    fn each_recipe_has_its_steps() {
        use Step::*;
        assert_eq!(steps(Recipe::Quick, |_| {}), [Update, HeldOut, Measure, LearnFromAll, Use]);
        assert_eq!(steps(Recipe::Quick, |course| course.rounds = 5), [Update, CrossValidate, LearnFromAll, Use]);
        let flat = |course: &mut Course| course.is_labelled = false;
        assert_eq!(steps(Recipe::Quick, flat), [Update, Alike, MeasureViews, LearnFromAll, Use]);
        assert_eq!(steps(Recipe::Full, |_| {}), [Update, Network, Embed, HeldOut, Measure, LearnFromAll, Use]);
        assert_eq!(steps(Recipe::Tutorial, |_| {}), [Update, Network, Embed, Measure, Use]);
    }

    #[test]
    fn what_cannot_be_measured_is_not_put_in_use_by_itself() {
        use Step::*;
        let few = |course: &mut Course| course.not_measured = Some(NotMeasured::TooFewPhotos);
        assert_eq!(steps(Recipe::Quick, few), [Update, HeldOut, Measure, LearnFromAll]);
        let options = TrainOptions { recipe: Recipe::Full, learn_from_all: true, ..TrainOptions::default() };
        let all = Course::expected(&options, true, 400, None);
        assert_eq!(all.steps(), [Update, NetworkOnAll, Embed, LearnFromAll]);
    }
}
