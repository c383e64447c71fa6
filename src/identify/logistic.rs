//! Logistic regression: how likely something is, given a few numbers.

use serde::{Deserialize, Serialize};

/// Steps of Newton's method; a few are enough where they work at all.
const STEPS: usize = 25;
/// How much weights are drawn to 0, for each example.
const SHRINK: f64 = 1e-3;
const TINY: f64 = 1e-9;

/// A model of N numbers and a constant, the numbers brought to mean 0 and variance 1 first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Logistic {
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// One for each number, then the constant.
    weights: Vec<f64>,
}

impl Logistic {
    /// Fits it to examples and whether each is true, by Newton's method with a ridge (Hastie, Tibshirani and Friedman 2009,
    /// "The Elements of Statistical Learning", section 4.4). `None` where all are true, or none.
    pub(super) fn fit<const N: usize>(examples: &[([f64; N], bool)]) -> Option<Self> {
        let (count, positives) = (examples.len() as f64, examples.iter().filter(|(_, is)| *is).count());
        if positives == 0 || positives == examples.len() {
            return None;
        }
        let mean = |of: &dyn Fn(&[f64; N]) -> f64| examples.iter().map(|(numbers, _)| of(numbers)).sum::<f64>() / count;
        let means: Vec<f64> = (0..N).map(|at| mean(&|numbers| numbers[at])).collect();
        let variance = |at: usize| mean(&|numbers: &[f64; N]| (numbers[at] - means[at]).powi(2));
        let deviations: Vec<f64> = (0..N).map(|at| variance(at).sqrt().max(TINY)).collect();
        let mut fitted = Self { means, deviations, weights: vec![0.0; N + 1] };
        let ridge = |at: usize| if at == N { 0.0 } else { SHRINK * count };
        for _ in 0..STEPS {
            let mut gradient = vec![0.0; N + 1];
            let mut hessian = vec![vec![0.0; N + 1]; N + 1];
            for (numbers, is) in examples {
                let scaled = fitted.scaled(numbers);
                let probability = fitted.of_scaled(&scaled);
                let error = probability - f64::from(u8::from(*is));
                let weight = probability * (1.0 - probability) + TINY;
                for (row, value) in scaled.iter().enumerate() {
                    gradient[row] += error * value;
                    for (entry, other) in hessian[row].iter_mut().zip(&scaled) {
                        *entry += weight * value * other;
                    }
                }
            }
            for at in 0..=N {
                gradient[at] += ridge(at) * fitted.weights[at];
                hessian[at][at] += ridge(at);
            }
            let step = solve(hessian, gradient)?;
            fitted.weights.iter_mut().zip(&step).for_each(|(weight, step)| *weight -= step);
            if step.iter().all(|step| step.abs() < 1e-8) {
                break;
            }
        }
        fitted.weights.iter().all(|weight| weight.is_finite()).then_some(fitted)
    }

    /// How likely it is, 0 to 1.
    pub(super) fn probability(&self, numbers: &[f64]) -> f64 {
        self.of_scaled(&self.scaled(numbers))
    }

    fn scaled(&self, numbers: &[f64]) -> Vec<f64> {
        let scale = numbers.iter().zip(&self.means).zip(&self.deviations);
        scale.map(|((number, mean), deviation)| (number - mean) / deviation).chain([1.0]).collect()
    }

    fn of_scaled(&self, scaled: &[f64]) -> f64 {
        let sum: f64 = scaled.iter().zip(&self.weights).map(|(value, weight)| value * weight).sum();
        1.0 / (1.0 + (-sum).exp())
    }
}

/// Solves a system of linear equations by elimination with pivots; `None` where it has no single solution.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for at in 0..size {
        let pivot = (at..size).max_by(|a, b| matrix[*a][at].abs().total_cmp(&matrix[*b][at].abs()))?;
        if matrix[pivot][at].abs() < f64::MIN_POSITIVE {
            return None;
        }
        matrix.swap(at, pivot);
        right.swap(at, pivot);
        for row in at + 1..size {
            let factor = matrix[row][at] / matrix[at][at];
            let (above, below) = matrix.split_at_mut(row);
            below[0].iter_mut().zip(&above[at]).for_each(|(entry, of_pivot)| *entry -= factor * of_pivot);
            right[row] -= factor * right[at];
        }
    }
    for at in (0..size).rev() {
        let known: f64 = (at + 1..size).map(|column| matrix[at][column] * right[column]).sum();
        right[at] = (right[at] - known) / matrix[at][at];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn finds_the_probabilities_that_the_examples_were_drawn_with() {
        let mut random = Random::new(3);
        let truth = |[a, b]: [f64; 2]| 1.0 / (1.0 + (-(0.8 * a - 0.05 * b + 0.4)).exp());
        let examples: Vec<([f64; 2], bool)> = (0..20_000)
            .map(|_| {
                let numbers = [random.normal(), 20.0 * random.normal() + 7.0];
                (numbers, random.unit() < truth(numbers))
            })
            .collect();
        let fitted = Logistic::fit(&examples).unwrap();
        for numbers in [[0.0, 0.0], [2.0, -10.0], [-1.0, 40.0]] {
            let (found, wanted) = (fitted.probability(&numbers), truth(numbers));
            assert!((found - wanted).abs() < 0.03, "{numbers:?}: {found} instead of {wanted}");
        }
        let kept: Logistic = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        assert!((kept.probability(&[1.0, 1.0]) - fitted.probability(&[1.0, 1.0])).abs() < 1e-9);
    }

    #[test]
    fn what_can_be_told_without_error_stays_finite() {
        let examples: Vec<([f64; 1], bool)> = (0..100).map(|n| ([f64::from(n)], n >= 50)).collect();
        let fitted = Logistic::fit(&examples).unwrap();
        assert!(fitted.probability(&[0.0]) < 0.05 && fitted.probability(&[99.0]) > 0.95);
        assert_eq!(Logistic::fit(&examples[..50]), None);
        assert_eq!(Logistic::fit::<1>(&[]), None);
        // A number that is always the same tells nothing.
        let flat: Vec<([f64; 1], bool)> = (0..10).map(|n| ([4.0], n % 2 == 0)).collect();
        assert!((Logistic::fit(&flat).unwrap().probability(&[4.0]) - 0.5).abs() < 1e-6);
    }
}
