//! What a training's data say, in words: for the window and the command line alike. Nothing here is kept in a file.

use super::evaluation::matters_as_loss;
use super::holdout::SAME_SHOT;
use crate::artefact::{EvaluationReport, Focus, Interval, NotMeasured, Score, Task, TaskResult, Verdict};

/// What a task is called.
pub(crate) fn task_name(task: Task) -> &'static str {
    match task {
        Task::SeenSpecies => "Your species",
        Task::UnseenSpecies => "Unseen species",
        Task::AlteredViews => "Augmented views",
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
pub(crate) fn headline(report: &EvaluationReport, focus: Focus) -> String {
    match report.verdict {
        Verdict::Better => "The new model is better".into(),
        Verdict::Trade => trade(&report.rows, focus).into(),
        Verdict::Worse => "Worse".into(),
        Verdict::NoClearDifference => "No clear difference".into(),
        Verdict::SameModel => "The same model came out again".into(),
        Verdict::NotMeasured(reason) => not_measured(reason),
        Verdict::NotBetter => "The new model is not better".into(),
    }
}

fn trade(rows: &[TaskResult], focus: Focus) -> &'static str {
    let Some((better, worse)) = traded(rows, focus) else {
        return "A trade: better by one measure, worse by another";
    };
    let is_sure = [worse.gain.recall_at_1, worse.gain.map_at_r].iter().any(Interval::is_loss);
    match (better.task, is_sure) {
        (Task::SeenSpecies, true) => "A trade: better on your species, worse on unseen ones",
        (Task::SeenSpecies, false) => "A trade: better on your species, perhaps worse on unseen ones",
        (_, true) => "A trade: better on unseen species, worse on your own",
        (_, false) => "A trade: better on unseen species, perhaps worse on your own",
    }
}

/// The task at which the new model of a trade is better, and the one at which it is worse; `None` where that is the same.
pub(crate) fn traded(rows: &[TaskResult], focus: Focus) -> Option<(&TaskResult, &TaskResult)> {
    let counted = || rows.iter().filter(|row| focus.asks_for(row.task));
    let worse = counted().find(|row| loses(row))?;
    Some((counted().find(|row| row.gain.map_at_r.is_gain() && !loses(row))?, worse))
}

fn loses(row: &TaskResult) -> bool {
    matters_as_loss(&row.gain.recall_at_1) || matters_as_loss(&row.gain.map_at_r)
}

/// Which of the figures of a task a sentence is about.
#[derive(Clone, Copy)]
enum Figure {
    /// R@1.
    First,
    /// MAP@R.
    Ranking,
}

impl Figure {
    fn of(self, score: &Score) -> Interval {
        match self {
            Self::First => score.recall_at_1,
            Self::Ranking => score.map_at_r,
        }
    }
}

/// What carries the verdict, in sentences that agree with the figures.
pub(crate) fn sentences(report: &EvaluationReport, focus: Focus) -> Vec<String> {
    let counted = || report.rows.iter().filter(|row| focus.asks_for(row.task));
    let gain = || counted().find(|row| row.gain.map_at_r.is_gain());
    let loss = || counted().find(|row| loses(row));
    match report.verdict {
        Verdict::Better => gain().into_iter().map(gain_sentence).collect(),
        Verdict::Trade => trade_sentence(&report.rows, focus).map_or_else(
            || gain().into_iter().map(gain_sentence).chain(loss().into_iter().map(loss_sentence)).collect(),
            |sentence| vec![sentence],
        ),
        Verdict::Worse => counted()
            .find(|row| [row.gain.recall_at_1, row.gain.map_at_r].iter().any(|g| matters_as_loss(g) && g.is_loss()))
            .into_iter()
            .map(loss_sentence)
            .collect(),
        Verdict::NoClearDifference => {
            let change = |row: &&TaskResult| row.gain.recall_at_1.value.abs();
            let row = counted().max_by(|a, b| change(a).total_cmp(&change(b)));
            row.map(unclear_sentences).unwrap_or_default()
        }
        Verdict::SameModel | Verdict::NotMeasured(_) | Verdict::NotBetter => Vec::new(),
    }
}

/// Both sides of a trade in one sentence, where one figure shows both.
fn trade_sentence(rows: &[TaskResult], focus: Focus) -> Option<String> {
    let (better, worse) = traded(rows, focus)?;
    let shows_both = |figure: &Figure| figure.of(&better.gain).is_gain() && matters_as_loss(&figure.of(&worse.gain));
    let figure = [Figure::First, Figure::Ranking].into_iter().find(shows_both)?;
    let of = |task| {
        let row = [better, worse].into_iter().find(|row| row.task == task)?;
        Some([&row.before, &row.after].map(|score| percent(figure.of(score).value)))
    };
    let ([before, after], [unseen_before, unseen_after]) = (of(Task::SeenSpecies)?, of(Task::UnseenSpecies)?);
    Some(match figure {
        Figure::First => format!(
            "The first result is right in {after} for your species (before: {before}), in {unseen_after} for unseen ones (before: {unseen_before})."
        ),
        Figure::Ranking => format!(
            "All photos of a species are ranked well: {after} for yours (before: {before}), {unseen_after} for unseen ones (before: {unseen_before})."
        ),
    })
}

fn gain_sentence(row: &TaskResult) -> String {
    let is_told_by_first = row.gain.recall_at_1.is_gain() && change(row, Figure::First).is_some();
    sentence(row, if is_told_by_first { Figure::First } else { Figure::Ranking })
}

fn loss_sentence(row: &TaskResult) -> String {
    let [first, ranking] = [row.gain.recall_at_1, row.gain.map_at_r];
    let is_told_by_first = matters_as_loss(&first) && (first.is_loss() || !ranking.is_loss());
    sentence(row, if is_told_by_first { Figure::First } else { Figure::Ranking })
}

fn unclear_sentences(row: &TaskResult) -> Vec<String> {
    let is_chance = |figure: Figure| {
        let gain = figure.of(&row.gain);
        !gain.is_gain() && !gain.is_loss()
    };
    let figure = if is_chance(Figure::First) || !is_chance(Figure::Ranking) { Figure::First } else { Figure::Ranking };
    let remark = change(row, figure).filter(|_| is_chance(figure));
    let remark = remark.map(|points| format!("{points} points, but chance alone could do that."));
    std::iter::once(sentence(row, figure)).chain(remark).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// By how many points a figure has changed, with its sign; `None` where it reads the same.
fn change(row: &TaskResult, figure: Figure) -> Option<String> {
    let (before, after) = (figure.of(&row.before).value, figure.of(&row.after).value);
    // Of the numbers as they are shown, so that they add up.
    let points = (after * 1000.0).round() / 10.0 - (before * 1000.0).round() / 10.0;
    (points.abs() > 0.05).then(|| format!("{}{:.1}", if points < 0.0 { '\u{2212}' } else { '+' }, points.abs()))
}

/// What one task says, as a sentence.
fn sentence(row: &TaskResult, figure: Figure) -> String {
    let figure = if row.task.has_one_answer() { Figure::First } else { figure };
    let [before, after] = [&row.before, &row.after].map(|score| percent(figure.of(score).value));
    let before = if before == after { "as before".to_owned() } else { format!("before: {before}") };
    match (row.task, figure) {
        (Task::SeenSpecies, Figure::First) => {
            format!("For new photos of your species, the first result is right in {after} ({before}).")
        }
        (Task::UnseenSpecies, Figure::First) => {
            format!("For species that it has never seen, the first result is right in {after} ({before}).")
        }
        (Task::SeenSpecies, Figure::Ranking) => {
            format!("For new photos of your species, all photos of the species are ranked well: {after} ({before}).")
        }
        (Task::UnseenSpecies, Figure::Ranking) => {
            format!(
                "For species that it has never seen, all photos of the species are ranked well: {after} ({before})."
            )
        }
        (Task::AlteredViews, _) => {
            format!("Cropped and recoloured copies find their original first in {after} ({before}).")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluation::certain;

    fn report(verdict: Verdict, rows: Vec<TaskResult>) -> EvaluationReport {
        EvaluationReport { rows, verdict, ..EvaluationReport::default() }
    }

    fn interval(value: f64, half: f64) -> Interval {
        Interval { value, low: value - half, high: value + half }
    }

    #[test]
    fn a_trade_says_what_is_better_and_what_is_worse() {
        let rows = vec![certain(Task::SeenSpecies, 0.8, 0.9), certain(Task::UnseenSpecies, 0.9, 0.85)];
        let trade = report(Verdict::Trade, rows);
        assert_eq!(headline(&trade, Focus::default()), "A trade: better on your species, worse on unseen ones");
        assert_eq!(
            sentences(&trade, Focus::default()),
            [
                "The first result is right in 90.0\u{a0}% for your species (before: 80.0\u{a0}%), in 85.0\u{a0}% for unseen ones (before: 90.0\u{a0}%)."
            ]
        );
        // The first results are as right as before: it is the whole ranking that was traded.
        let mut ranking = trade.clone();
        ranking.rows.iter_mut().for_each(|row| row.gain.recall_at_1 = Interval::default());
        assert_eq!(
            sentences(&ranking, Focus::default()),
            [
                "All photos of a species are ranked well: 90.0\u{a0}% for yours (before: 80.0\u{a0}%), 85.0\u{a0}% for unseen ones (before: 90.0\u{a0}%)."
            ]
        );
        let mut perhaps = trade;
        (perhaps.rows[1].gain.recall_at_1, perhaps.rows[1].gain.map_at_r) =
            (interval(-0.05, 0.1), interval(-0.05, 0.1));
        let words = headline(&perhaps, Focus::default());
        assert_eq!(words, "A trade: better on your species, perhaps worse on unseen ones");
        // At one and the same task.
        let mut row = certain(Task::SeenSpecies, 0.8, 0.9);
        (row.after.recall_at_1, row.gain.recall_at_1) = (interval(0.7, 0.0), interval(-0.1, 0.0));
        let one = report(Verdict::Trade, vec![row]);
        assert_eq!(headline(&one, Focus::default()), "A trade: better by one measure, worse by another");
        assert_eq!(
            sentences(&one, Focus::default()),
            [
                "For new photos of your species, all photos of the species are ranked well: 90.0\u{a0}% (before: 80.0\u{a0}%).",
                "For new photos of your species, the first result is right in 70.0\u{a0}% (before: 80.0\u{a0}%).",
            ]
        );
    }

    #[test]
    fn no_sentence_says_more_than_its_figures() {
        // The first result is as right as before: what is better is the ranking.
        let mut row = certain(Task::SeenSpecies, 0.8, 0.9);
        (row.after.recall_at_1, row.gain.recall_at_1) = (row.before.recall_at_1, Interval::default());
        let better = sentences(&report(Verdict::Better, vec![row]), Focus::default());
        assert_eq!(
            better,
            [
                "For new photos of your species, all photos of the species are ranked well: 90.0\u{a0}% (before: 80.0\u{a0}%)."
            ]
        );
        let mut row = certain(Task::SeenSpecies, 0.883, 0.92);
        (row.gain.recall_at_1, row.gain.map_at_r) = (interval(0.037, 0.05), interval(0.037, 0.05));
        assert_eq!(
            sentences(&report(Verdict::NoClearDifference, vec![row]), Focus::default()),
            [
                "For new photos of your species, the first result is right in 92.0\u{a0}% (before: 88.3\u{a0}%).",
                "+3.7 points, but chance alone could do that.",
            ]
        );
        let same = certain(Task::AlteredViews, 0.5, 0.5);
        assert_eq!(
            sentences(&report(Verdict::NoClearDifference, vec![same]), Focus::default()),
            ["Cropped and recoloured copies find their original first in 50.0\u{a0}% (as before)."]
        );
    }

    #[test]
    fn what_the_model_is_not_meant_for_is_not_spoken_of() {
        let rows = vec![certain(Task::SeenSpecies, 0.8, 0.9), certain(Task::UnseenSpecies, 0.9, 0.85)];
        let better = sentences(&report(Verdict::Better, rows.clone()), Focus::OnlyThese);
        assert!(better.len() == 1 && better[0].contains("90.0"), "{better:?}");
        let worse = sentences(&report(Verdict::Worse, rows), Focus::OtherSpecies);
        assert!(worse.len() == 1 && worse[0].contains("85.0"), "{worse:?}");
    }
}
