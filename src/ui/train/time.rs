//! How times are said that nobody can know exactly.

use std::time::Duration;

use tr::tr;

use crate::train::progress::TimeRange;
use crate::ui::duration;

/// Less is "a few seconds".
const FEW: u64 = 5;

/// Between which times something will end: "12–20 s", "5–9 min", "a few seconds to 30 s".
pub(super) fn range_text(range: TimeRange) -> String {
    let (low, high) = (range.low.as_secs_f64(), range.high.as_secs_f64());
    // In the unit of the longer one, where the shorter one is not too small for that.
    match (low, high) {
        (_, high) if high < FEW as f64 => tr!("a few seconds"),
        (low, high) if high < 90.0 => match (step_of(low), step_of(high)) {
            (low, high) if low < FEW => tr!("a few seconds to {} s", high),
            (low, high) if low == high => tr!("about {}", tr!("{} s", high)),
            (low, high) => tr!("{}–{} s", low, high),
        },
        (low, high) if low >= 50.0 && high < 5400.0 => {
            match ((low / 60.0).round().max(1.0) as u64, (high / 60.0).ceil() as u64) {
                (low, high) if low == high => tr!("about {}", tr!("{} min", high)),
                (low, high) => tr!("{}–{} min", low, high),
            }
        }
        (low, high) => {
            let low = if low < FEW as f64 { tr!("a few seconds") } else { duration(rounded(low)) };
            tr!("{} to {}", low, duration(rounded(high)))
        }
    }
}

/// Seconds as one would say them: from 20 on in steps of five.
fn step_of(seconds: f64) -> u64 {
    if seconds < 20.0 { seconds.round() as u64 } else { (seconds / 5.0).round() as u64 * 5 }
}

/// The same for times of any length: from an hour on in steps of ten minutes.
fn rounded(seconds: f64) -> Duration {
    let seconds = if seconds < 5400.0 { step_of(seconds) } else { (seconds / 600.0).round() as u64 * 600 };
    Duration::from_secs(seconds)
}

/// How much time is left.
pub(super) fn time_left(left: Option<Duration>) -> String {
    match left {
        None => tr!("The time left is not known yet"),
        Some(left) if left.as_secs() < FEW => tr!("a few seconds left"),
        Some(left) => tr!("about {} left", duration(rounded(left.as_secs_f64()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_said_no_more_exactly_than_it_is_known() {
        let said = |low: f64, high: f64| {
            let [low, high] = [low, high].map(|seconds| Duration::from_millis((seconds * 1000.0) as u64));
            range_text(TimeRange { low, high })
        };
        for (low, high, words) in [
            (0.4, 2.0, "a few seconds"),
            (1.3, 9.2, "a few seconds to 9 s"),
            (4.0, 29.0, "a few seconds to 30 s"),
            (11.6, 20.3, "12–20 s"),
            (38.0, 71.0, "40–70 s"),
            (310.0, 530.0, "5–9 min"),
            (31.0, 140.0, "30 s to 2 min"),
            (2.0, 100.0, "a few seconds to 2 min"),
            (2000.0, 7000.0, "33 min to 2 h 0 min"),
        ] {
            assert_eq!(said(low, high), words, "{low} {high}");
        }
    }

    #[test]
    fn the_time_left_does_not_flicker() {
        let left = |seconds| time_left(Some(Duration::from_secs(seconds)));
        assert_eq!(
            [left(0), left(17), left(22), left(23)].map(|text| text.replace("about ", "")),
            ["a few seconds left", "17 s left", "20 s left", "25 s left"]
        );
        assert_eq!(left(840), "about 14 min left");
        assert_eq!(time_left(None), "The time left is not known yet");
    }
}
