//! What a training's data say, in words: for the window and the command line alike. Nothing here is kept in a file.

use super::holdout::SAME_SHOT;
use crate::artefact::{EvaluationReport, NotMeasured, Task, TaskResult, Verdict};

/// What a task is called.
pub(crate) fn task_name(task: Task) -> &'static str {
    match task {
        Task::SeenSpecies => "Your species",
        Task::UnseenSpecies => "Unseen species",
        Task::AlteredViews => "Augmented views",
    }
}

/// The same within a sentence.
fn name_within(task: Task) -> &'static str {
    match task {
        Task::SeenSpecies => "your species",
        Task::UnseenSpecies => "unseen species",
        Task::AlteredViews => "augmented views",
    }
}

/// Why nothing can be measured, as a sentence without its full stop.
pub(crate) fn not_measured(reason: NotMeasured) -> String {
    match reason {
        NotMeasured::TooFewPhotos => "Too few photos to measure whether the new model is better".into(),
        NotMeasured::NothingHeldOut => {
            "All photos were learnt from, as was wanted: nothing is left to measure with".into()
        }
        NotMeasured::OneShotPerSpecies => format!(
            "All photos of each species are one shot (more than {SAME_SHOT} alike), so none can be held out to measure \
             whether the new model is better"
        ),
        NotMeasured::TooFewShots => format!(
            "Most photos of a species are one shot (more than {SAME_SHOT} alike), so too few can be held out to measure \
             whether the new model is better"
        ),
    }
}

/// The same before a training, with what follows from it.
pub(crate) fn not_measured_before(reason: NotMeasured) -> String {
    format!("{}. It will be used only if you choose it.", not_measured(reason))
}

/// An evaluation in one line without a full stop.
pub(crate) fn headline(report: &EvaluationReport) -> String {
    match report.verdict {
        Verdict::Better => "The new model is better".into(),
        Verdict::Trade => trade(&report.rows),
        Verdict::Worse => "The new model is worse".into(),
        Verdict::NoClearDifference => "No clear difference between the two models".into(),
        Verdict::SameModel => "The same model came out again".into(),
        Verdict::NotMeasured(reason) => not_measured(reason),
        Verdict::NotBetter => "The new model is not better".into(),
    }
}

fn trade(rows: &[TaskResult]) -> String {
    let name = |better: bool| {
        let gains = rows.iter().filter(|row| (row.after.map_at_r.value > row.before.map_at_r.value) == better);
        gains.map(|row| name_within(row.task)).collect::<Vec<_>>().join(", ")
    };
    match (name(true), name(false)) {
        (better, worse) if better.is_empty() || worse.is_empty() => {
            "A trade: better by one measure, worse by another".into()
        }
        (better, worse) => format!("A trade: better on {better}, worse on {worse}"),
    }
}

/// What one task says, as a sentence.
pub(crate) fn sentence(row: &TaskResult) -> String {
    let percent = |share: f64| format!("{:.1}\u{a0}%", share * 100.0);
    let (before, after) = (percent(row.before.recall_at_1.value), percent(row.after.recall_at_1.value));
    let before = if before == after { "as before".to_owned() } else { format!("before: {before}") };
    match row.task {
        Task::SeenSpecies => {
            format!("For new photos of your species, the first result is right in {after} ({before}).")
        }
        Task::UnseenSpecies => {
            format!("For species that it has never seen, the first result is right in {after} ({before}).")
        }
        Task::AlteredViews => format!("Cropped and recoloured copies find their original first in {after} ({before})."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluation::certain;

    #[test]
    fn a_trade_says_what_is_better_and_what_is_worse() {
        let rows = vec![certain(Task::SeenSpecies, 0.8, 0.9), certain(Task::UnseenSpecies, 0.9, 0.85)];
        let report = |rows| EvaluationReport { rows, verdict: Verdict::Trade, ..EvaluationReport::default() };
        assert_eq!(
            sentence(&rows[0]),
            "For new photos of your species, the first result is right in 90.0\u{a0}% (before: 80.0\u{a0}%)."
        );
        assert_eq!(headline(&report(rows)), "A trade: better on your species, worse on unseen species");
        let one = vec![certain(Task::SeenSpecies, 0.8, 0.9)];
        assert_eq!(headline(&report(one)), "A trade: better by one measure, worse by another");
    }
}
