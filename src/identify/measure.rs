//! How good answers are: calibration, coverage, and how well known species are told from unknown ones.

use serde::Serialize;

/// Bins of the expected calibration error.
const BINS: usize = 10;

/// An answer: how likely it was said to be right, and whether it was.
pub(crate) type Answered = (f64, bool);

/// The mean difference between how likely answers were said to be right and how many were, over ten bins of equal width
/// (Guo et al. 2017, "On Calibration of Modern Neural Networks"), and what each bin holds.
pub(crate) fn calibration_error(answers: &[Answered]) -> (f64, Vec<Bin>) {
    let mut bins = vec![Bin::default(); BINS];
    for (probability, right) in answers {
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.answers += 1;
        bin.said += probability;
        bin.right += f64::from(u8::from(*right));
    }
    for bin in &mut bins {
        let count = bin.answers.max(1) as f64;
        (bin.said, bin.right) = (bin.said / count, bin.right / count);
    }
    let weighted = bins.iter().map(|bin| bin.answers as f64 * (bin.said - bin.right).abs());
    (weighted.sum::<f64>() / answers.len().max(1) as f64, bins)
}

/// Answers that were said to be about equally likely right.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Bin {
    pub(crate) answers: u64,
    /// Means: how likely they were said to be right, and how many were.
    pub(crate) said: f64,
    pub(crate) right: f64,
}

/// The largest share of queries, the surest first, of whose answers this part is right.
pub(crate) fn coverage(answers: &[Answered], precision: f64) -> f64 {
    let mut sorted: Vec<&Answered> = answers.iter().collect();
    sorted.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut right = 0_u64;
    let enough = sorted.iter().enumerate().filter_map(|(at, (_, is_right))| {
        right += u64::from(*is_right);
        (right as f64 >= precision * (at + 1) as f64).then_some(at + 1)
    });
    enough.last().unwrap_or(0) as f64 / answers.len().max(1) as f64
}

/// How often a number is larger for one of `positives` than for one of `negatives`: the area under the ROC curve (Hanley
/// and McNeil 1982).
pub(crate) fn auroc(positives: &[f64], negatives: &[f64]) -> f64 {
    let mut sorted = negatives.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins = |value: &f64| {
        let (below, up_to) = (sorted.partition_point(|n| n < value), sorted.partition_point(|n| n <= value));
        (below + up_to) as f64 / 2.0
    };
    positives.iter().map(wins).sum::<f64>() / (positives.len() * negatives.len()).max(1) as f64
}

/// A text that shows the bins: what was said against what was right.
pub(crate) fn reliability_plot(bins: &[Bin]) -> String {
    const WIDTH: f64 = 40.0;
    let line = |bin: &Bin| {
        let place = |share: f64| (share * WIDTH).round() as usize;
        let mut row: Vec<char> = vec![' '; WIDTH as usize + 1];
        row[..=place(bin.right)].fill('#');
        row[place(bin.said)] = '|';
        let row: String = row.into_iter().collect();
        format!("  said {:3.0} %  right {:3.0} %  {row}  {}", bin.said * 100.0, bin.right * 100.0, bin.answers)
    };
    bins.iter().filter(|bin| bin.answers > 0).map(line).collect::<Vec<_>>().join("\n")
}

/// Classes in random halves: what is left out of a gallery, to be unknown to it.
pub(crate) fn half_of(classes: usize, random: &mut crate::random::Random) -> Vec<bool> {
    let mut order: Vec<usize> = (0..classes).collect();
    random.shuffle(&mut order);
    let mut is_known = vec![false; classes];
    order.into_iter().take(classes / 2).for_each(|class| is_known[class] = true);
    is_known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measures_equal_the_textbooks() {
        // Said to be right in 8 of 10 cases, and is.
        let good: Vec<Answered> = (0..10).map(|n| (0.8, n < 8)).collect();
        assert!(calibration_error(&good).0 < 1e-9);
        let vain: Vec<Answered> = (0..10).map(|n| (0.99, n < 8)).collect();
        let (error, bins) = calibration_error(&vain);
        assert!((error - 0.19).abs() < 1e-9 && bins[9].answers == 10, "{error} {bins:?}");
        assert_eq!(calibration_error(&[(1.0, true)]).1[9].answers, 1);

        let answers = [(0.9, true), (0.8, true), (0.7, false), (0.6, true), (0.5, false)];
        assert_eq!(coverage(&answers, 1.0), 0.4);
        assert_eq!(coverage(&answers, 0.75), 0.8);
        assert_eq!(coverage(&[(0.9, false)], 0.5), 0.0);
        assert_eq!(coverage(&[], 0.5), 0.0);

        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.2]), 1.0);
        assert_eq!(auroc(&[0.5, 0.9], &[0.5, 0.1]), 0.875);
        assert_eq!(auroc(&[0.1], &[0.9]), 0.0);
        assert!(reliability_plot(&bins).contains("said  99 %  right  80 %"));
    }
}
