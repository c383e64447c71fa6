//! Detects when a training goes wrong: a loss that is not finite, embeddings that collapse to a point.

use std::collections::VecDeque;

use tch::{Kind, Tensor};

use crate::model::ModelError;

/// Steps that have to look collapsed one after the other.
const PATIENCE: usize = 30;
/// A variance_ratio below this is a single point for all photos.
const POINT: f64 = 1e-3;
/// And below this where the loss, too, sits at its margin.
const NEARLY_A_POINT: f64 = 2e-2;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The loss is infinite or undefined.
    NonFiniteLoss,
    /// All photos have nearly the same embedding.
    Collapsed,
}

/// Looks at every step of one training.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The loss when all embeddings are the same, where that is known: a triplet's margin.
    margin: Option<f64>,
    /// Of the last steps: whether they looked collapsed.
    suspicious: VecDeque<bool>,
}

impl Watchdog {
    pub(crate) fn new(margin: Option<f64>) -> Self {
        Self { margin, suspicious: VecDeque::new() }
    }

    /// Takes a step's loss and the [`variance_ratio`] of its embeddings.
    pub(crate) fn look(&mut self, loss: f64, variance_ratio: f64) -> Option<Alarm> {
        if !loss.is_finite() || !variance_ratio.is_finite() {
            return Some(Alarm::NonFiniteLoss);
        }
        let at_margin = self.margin.is_some_and(|margin| (loss - margin).abs() < 0.01 * margin);
        self.suspicious.push_back(variance_ratio < POINT || (at_margin && variance_ratio < NEARLY_A_POINT));
        if self.suspicious.len() > PATIENCE {
            self.suspicious.pop_front();
        }
        let collapsed = self.suspicious.len() == PATIENCE && self.suspicious.iter().all(|suspicious| *suspicious);
        collapsed.then_some(Alarm::Collapsed)
    }
}

/// The variance of embeddings `[n, dimension]` as a share of their mean squared length. 0 when all are
/// the same, near 1 when they point everywhere.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn variance_ratio(embeddings: &Tensor) -> Result<f64, ModelError> {
    let _no_grad = tch::no_grad_guard();
    let mean = embeddings.f_mean_dim([0i64].as_slice(), false, Kind::Float)?.f_square()?.f_sum(Kind::Float)?;
    let squares = embeddings.f_square()?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?;
    let share = mean.f_div(&squares.f_mean(Kind::Float)?.f_clamp_min(1e-12)?)?;
    Ok(1.0 - f64::try_from(share)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_that_is_no_number_is_seen_at_once() {
        assert_eq!(Watchdog::new(None).look(f64::NAN, 0.5), Some(Alarm::NonFiniteLoss));
        assert_eq!(Watchdog::new(None).look(1.0, f64::NAN), Some(Alarm::NonFiniteLoss));
    }

    #[test]
    fn a_collapse_is_seen_when_it_lasts_and_a_hard_start_is_none() {
        let mut watchdog = Watchdog::new(Some(1.0));
        assert!((0..100).all(|_| watchdog.look(1.0, 0.3).is_none()), "far apart, though the loss is at the margin");
        assert!((1..PATIENCE).all(|_| watchdog.look(1.001, 0.01).is_none()));
        assert_eq!(watchdog.look(1.001, 0.01), Some(Alarm::Collapsed));
        let mut watchdog = Watchdog::new(None);
        assert!((1..PATIENCE).all(|_| watchdog.look(3.0, 1e-5).is_none()));
        assert_eq!(watchdog.look(3.0, 1e-5), Some(Alarm::Collapsed));
    }

    #[test]
    fn spread_of_one_point_and_of_opposites() {
        let same = Tensor::from_slice(&[1.0f32, 2.0, 1.0, 2.0]).view([2, 2]);
        let opposite = Tensor::from_slice(&[1.0f32, 2.0, -1.0, -2.0]).view([2, 2]);
        assert!(variance_ratio(&same).unwrap().abs() < 1e-6);
        assert!((variance_ratio(&opposite).unwrap() - 1.0).abs() < 1e-6);
    }
}
