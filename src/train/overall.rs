//! How far the whole of a training is: the share that is done and the time that is left, over all its steps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::steps::Step;
use crate::job::Stage;
use crate::train::progress::Overall;

/// How much of a training in which nothing was measured before has to be done for the rest to be told from it.
const TELLING: f64 = 0.03;
/// And of a step, for its own rest.
const TELLING_OF_STEP: f64 = 0.03;
/// What was measured before counts like this share of the training.
const TRUST: f64 = 0.2;
/// The share of a round of cross-validation that is learning; the rest is measuring.
const LEARNING: f64 = 0.85;

/// Follows a training through its steps.
#[derive(Debug)]
pub(super) struct OverallMeter {
    steps: Arc<[Step]>,
    /// What each step is expected to take: seconds, or shares of no unit.
    expected: Vec<f64>,
    in_seconds: bool,
    rounds: u32,
    at: usize,
    /// From 1 within the step that has several.
    round: u32,
    stage: Stage,
    /// The share of the step that is done.
    within: f64,
    step_began: Instant,
    /// When the step was first seen to move, and how far it was then: a training that is resumed begins in the middle.
    first: Option<(Instant, f64)>,
    /// What has been told: it never becomes less.
    done: f64,
    /// What the steps that are over took.
    seconds: BTreeMap<Step, f64>,
}

impl OverallMeter {
    /// At the beginning of the first of these steps. `seconds` is what each of them will take, where that is known.
    pub(super) fn new(steps: Vec<Step>, rounds: usize, seconds: Option<Vec<f64>>) -> Self {
        let mut meter = Self {
            steps: Arc::new([]),
            expected: Vec::new(),
            in_seconds: false,
            rounds: 1,
            at: 0,
            round: 0,
            stage: Stage::default(),
            within: 0.0,
            step_began: Instant::now(),
            first: None,
            done: 0.0,
            seconds: BTreeMap::new(),
        };
        meter.follow(steps, rounds, seconds);
        meter
    }

    /// What will really be done is known now. All that was before belongs to the first step of any training.
    pub(super) fn follow(&mut self, steps: Vec<Step>, rounds: usize, seconds: Option<Vec<f64>>) {
        self.in_seconds = seconds.is_some();
        self.expected = seconds.unwrap_or_else(|| steps.iter().map(|step| step.usual_share()).collect());
        self.steps = steps.into();
        self.rounds = rounds.max(1) as u32;
    }

    pub(super) fn steps(&self) -> Arc<[Step]> {
        Arc::clone(&self.steps)
    }

    /// The job is in this stage, of which so much is done, from 0 to 1.
    pub(super) fn hear(&mut self, stage: Stage, part: f64, now: Instant) {
        let ahead = self.steps.iter().skip(self.at).position(|step| step.has(stage));
        if let Some(ahead) = ahead.filter(|ahead| *ahead > 0) {
            self.end_step(now);
            (self.at, self.round, self.within) = (self.at + ahead, 0, 0.0);
            (self.step_began, self.first) = (now, None);
        }
        let is_new = std::mem::replace(&mut self.stage, stage) != stage || ahead.is_some_and(|ahead| ahead > 0);
        self.within = match self.steps.get(self.at) {
            Some(Step::CrossValidate) => {
                self.round += u32::from(is_new && stage == Stage::TrainingWithoutHeldOut);
                let part =
                    if stage == Stage::Evaluating { LEARNING + (1.0 - LEARNING) * part } else { LEARNING * part };
                (f64::from(self.round.saturating_sub(1)) + part) / f64::from(self.rounds)
            }
            // What was read is loaded now.
            Some(Step::Update) if stage == Stage::LoadingFeatures => 1.0,
            _ => part,
        }
        .clamp(0.0, 1.0);
        if self.within > 0.0 {
            self.first.get_or_insert((now, self.within));
        }
        let total: f64 = self.expected.iter().sum();
        let done = self.expected.iter().take(self.at).sum::<f64>() + self.expected_now() * self.within;
        self.done = self.done.max(if total > 0.0 { done / total } else { 0.0 });
    }

    fn expected_now(&self) -> f64 {
        self.expected.get(self.at).copied().unwrap_or(0.0)
    }

    fn end_step(&mut self, now: Instant) {
        if let Some(step) = self.steps.get(self.at) {
            *self.seconds.entry(*step).or_default() += (now - self.step_began).as_secs_f64();
        }
    }

    /// What is to be told.
    pub(super) fn overall(&self, now: Instant) -> Overall {
        let rounds = if self.steps.get(self.at) == Some(&Step::CrossValidate) { self.rounds } else { 0 };
        let round = self.round.min(rounds);
        Overall { step: self.at, round, rounds, done: self.done as f32, time_left: self.time_left(now) }
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        let elapsed = (now - self.step_began).as_secs_f64();
        let pace = self.pace(elapsed);
        let by_itself = self.first.and_then(|(then, before)| {
            let moved = self.within - before;
            (moved > TELLING_OF_STEP).then(|| (now - then).as_secs_f64() * (1.0 - self.within) / moved)
        });
        let of_step = by_itself.or_else(|| Some((pace? * self.expected_now() - elapsed).max(0.0)))?;
        let later: f64 = self.expected.iter().skip(self.at + 1).sum();
        let of_later = if later > 0.0 { pace? * later } else { 0.0 };
        Duration::try_from_secs_f64(of_step + of_later).ok()
    }

    /// Seconds for each unit of what was expected. How long the folder took tells nothing of the learning.
    fn pace(&self, elapsed: f64) -> Option<f64> {
        let total: f64 = self.expected.iter().sum();
        let tells = |step: &Step| *step != Step::Update;
        let past = self.steps.iter().zip(&self.expected).take(self.at).filter(|(step, _)| tells(step));
        let (mut expected, mut took) = (past.map(|(_, expected)| expected).sum::<f64>(), 0.0);
        took += self.seconds.iter().filter(|(step, _)| tells(step)).map(|(_, seconds)| seconds).sum::<f64>();
        if self.steps.get(self.at).is_some_and(tells) && self.within > 0.0 {
            (expected, took) = (expected + self.expected_now() * self.within, took + elapsed);
        }
        let before = if self.in_seconds { TRUST * total } else { 0.0 };
        (expected + before > TELLING * total).then(|| (took + before) / (expected + before))
    }

    /// What each step took, at the end; without the first where photos were new in the folder.
    pub(super) fn finish(mut self, with_update: bool, now: Instant) -> BTreeMap<Step, f64> {
        self.end_step(now);
        self.seconds.retain(|step, _| with_update || *step != Step::Update);
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 5] = [Step::Update, Step::HeldOut, Step::Measure, Step::LearnFromAll, Step::Use];

    /// A training that begins at second 0, told of by `(second, stage, part)`; gives what is said after each.
    fn follow(meter: &mut OverallMeter, told: &[(u64, Stage, f64)]) -> Vec<Overall> {
        let began = meter.step_began;
        let tell = |(second, stage, part): &(u64, Stage, f64)| {
            let now = began + Duration::from_secs(*second);
            meter.hear(*stage, *part, now);
            meter.overall(now)
        };
        told.iter().map(tell).collect()
    }

    fn seconds(overall: &Overall) -> Option<u64> {
        overall.time_left.map(|left| left.as_secs())
    }

    #[test]
    fn it_goes_from_step_to_step_and_never_back() {
        let mut meter = OverallMeter::new(STEPS.to_vec(), 1, Some(vec![10.0, 40.0, 10.0, 35.0, 5.0]));
        let said = follow(
            &mut meter,
            &[
                (0, Stage::Indexing, 0.5),
                (5, Stage::LoadingFeatures, 0.0),
                (10, Stage::TrainingWithoutHeldOut, 0.0),
                (30, Stage::TrainingWithoutHeldOut, 0.5),
                // The learning went wrong and starts over.
                (32, Stage::TrainingWithoutHeldOut, 0.1),
                (50, Stage::Evaluating, 0.0),
                (60, Stage::TrainingOnAll, 0.0),
                (95, Stage::TrainingOnAll, 1.0),
            ],
        );
        let done: Vec<f32> = said.iter().map(|overall| (overall.done * 100.0).round()).collect();
        assert_eq!(done, [5.0, 10.0, 10.0, 30.0, 30.0, 50.0, 60.0, 95.0]);
        assert_eq!(said.iter().map(|overall| overall.step).collect::<Vec<_>>(), [0, 0, 1, 1, 1, 2, 3, 3]);
        // As in the last run: what it took then is what is left now.
        assert_eq!(seconds(&said[2]), Some(90));
        assert_eq!(seconds(&said[3]), Some(70));
        assert_eq!(seconds(&said[7]), Some(5));
        let took = meter.finish(false, Instant::now() + Duration::from_secs(95));
        assert_eq!(took.keys().copied().collect::<Vec<_>>(), [Step::HeldOut, Step::Measure, Step::LearnFromAll]);
    }

    #[test]
    fn a_slower_computer_is_seen_on_the_way() {
        let mut meter = OverallMeter::new(STEPS.to_vec(), 1, Some(vec![10.0, 40.0, 10.0, 35.0, 5.0]));
        let said = follow(&mut meter, &[(0, Stage::TrainingWithoutHeldOut, 0.0), (80, Stage::Evaluating, 0.0)]);
        // 40 s were expected and 80 s came, 50 s were expected yet: between 50 and 100.
        assert!((60..100).contains(&seconds(&said[1]).unwrap()), "{said:?}");
    }

    #[test]
    fn without_a_last_run_nothing_is_said_until_something_was_seen() {
        let mut meter = OverallMeter::new(STEPS.to_vec(), 1, None);
        let said = follow(
            &mut meter,
            &[
                (0, Stage::Scanning, 0.0),
                (60, Stage::Indexing, 0.9),
                (61, Stage::TrainingWithoutHeldOut, 0.01),
                (71, Stage::TrainingWithoutHeldOut, 0.51),
            ],
        );
        assert_eq!(said[..3].iter().map(seconds).collect::<Vec<_>>(), [None; 3]);
        // Half of the step took 10 s.
        let (step, later) = (Step::HeldOut.usual_share(), 14.0);
        let left = seconds(&said[3]).unwrap() as f64;
        assert!((left - (9.8 + later / step * 19.6)).abs() < 2.0, "{left}");
    }

    #[test]
    fn rounds_are_parts_of_one_step() {
        let steps = vec![Step::Update, Step::CrossValidate, Step::LearnFromAll];
        let mut meter = OverallMeter::new(steps, 2, Some(vec![0.0, 80.0, 20.0]));
        let said = follow(
            &mut meter,
            &[
                (0, Stage::TrainingWithoutHeldOut, 0.0),
                (0, Stage::TrainingWithoutHeldOut, 1.0),
                (0, Stage::Evaluating, 0.0),
                (0, Stage::TrainingWithoutHeldOut, 0.0),
                (0, Stage::Evaluating, 0.0),
                (0, Stage::TrainingOnAll, 0.5),
            ],
        );
        let done: Vec<f32> = said.iter().map(|overall| (overall.done * 100.0).round()).collect();
        assert_eq!(done, [0.0, 34.0, 34.0, 40.0, 74.0, 90.0]);
        assert_eq!(said.iter().map(|overall| overall.round).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 0]);
        assert_eq!(said[0].rounds, 2);
    }

    #[test]
    fn a_resumed_training_begins_in_the_middle() {
        let mut meter = OverallMeter::new(vec![Step::Network], 1, None);
        let said = follow(&mut meter, &[(0, Stage::Training, 0.5), (10, Stage::Training, 0.6)]);
        // A tenth took 10 s; four are left.
        assert_eq!(seconds(&said[1]), Some(40));
    }
}
