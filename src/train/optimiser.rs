//! AdamW over groups of parameters with a learning rate each.

use tch::Tensor;

use crate::model::ModelError;

/// Parameters that share a learning rate and a weight decay.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) learning_rate: f64,
    pub(crate) weight_decay: f64,
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization").
#[derive(Debug)]
pub(crate) struct AdamW {
    groups: Vec<Group>,
    /// First and second moments, parameter by parameter in the order of the groups.
    moments: Vec<[Tensor; 2]>,
    steps: i64,
}

const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

impl AdamW {
    /// An optimiser that has made no step yet. The parameters must require gradients.
    ///
    /// # Errors
    /// When there is no memory for the moments.
    pub(crate) fn new(groups: Vec<Group>) -> Result<Self, ModelError> {
        let moments = |p: &Tensor| Ok::<_, ModelError>([p.f_zeros_like()?, p.f_zeros_like()?]);
        let moments = groups.iter().flat_map(|group| &group.parameters).map(moments).collect::<Result<_, _>>()?;
        Ok(Self { groups, moments, steps: 0 })
    }

    /// One step down the gradients of the parameters, which are then cleared. `factor` scales all learning rates: the
    /// schedule. A parameter without a gradient stays.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn step(&mut self, factor: f64) -> Result<(), ModelError> {
        let parameters = self.groups.iter().flat_map(|group| &group.parameters);
        let gradients: Vec<Tensor> = parameters.map(Tensor::f_grad).collect::<Result<_, _>>()?;
        self.step_down(&gradients, factor)?;
        self.zero_grad();
        Ok(())
    }

    /// One step down the given gradients, one for each parameter in the order of the groups.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn step_down(&mut self, gradients: &[Tensor], factor: f64) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let [first, second] = BETAS.map(|beta| 1.0 - beta.powi(self.steps as i32));
        let mut moments = self.moments.iter_mut().zip(gradients);
        for Group { parameters, learning_rate, weight_decay } in &mut self.groups {
            let rate = *learning_rate * factor;
            for (parameter, ([mean, square], gradient)) in parameters.iter_mut().zip(&mut moments) {
                if !gradient.defined() {
                    continue;
                }
                if *weight_decay > 0.0 {
                    let _ = parameter.f_mul_scalar_(1.0 - rate * *weight_decay)?;
                }
                // Few passes over the numbers: for a small network the memory is what takes the time.
                let _ = mean.f_lerp_(gradient, 1.0 - BETAS[0])?;
                let _ = square.f_lerp_(&gradient.f_square()?, 1.0 - BETAS[1])?;
                let mut deviation = square.f_sqrt()?;
                let _ = deviation.f_add_scalar_(EPSILON * second.sqrt())?;
                let step = mean.f_mul_scalar(-rate * second.sqrt() / first)?;
                let _ = parameter.f_addcdiv_(&step, &deviation)?;
            }
        }
        Ok(())
    }

    /// What a checkpoint has to keep: the number of steps, and both moments of each parameter.
    pub(crate) fn state(&self) -> (i64, Vec<Tensor>) {
        (self.steps, self.moments.iter().flatten().map(Tensor::shallow_clone).collect())
    }

    /// The inverse of [`AdamW::state`], for the same groups.
    ///
    /// # Errors
    /// When moments are missing, left over or of other shapes.
    pub(crate) fn restore(&mut self, steps: i64, moments: &[Tensor]) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        copy_all("optimiser", self.moments.iter_mut().flatten(), moments)?;
        self.steps = steps;
        Ok(())
    }

    /// Forgets the gradients of a step that was not finished.
    pub(crate) fn zero_grad(&mut self) {
        self.groups.iter_mut().flat_map(|group| &mut group.parameters).for_each(Tensor::zero_grad);
    }
}

/// Copies numbered tensors of a kept state over those in memory.
///
/// # Errors
/// When there are fewer or more of them, or their shapes are others: the first that does not fit is named.
pub(crate) fn copy_all<'a>(
    name: &str,
    mine: impl Iterator<Item = &'a mut Tensor>,
    kept: &[Tensor],
) -> Result<(), ModelError> {
    let mut kept = kept.iter();
    let mut number = 0;
    for mine in mine {
        let name = || format!("{name}.{number}");
        let kept = kept.next().ok_or_else(|| ModelError::MissingTensor(name()))?;
        if kept.size() != mine.size() {
            let found = kept.size().iter().map(|side| *side as usize).collect();
            return Err(ModelError::WrongShape { name: name(), expected: mine.size(), found });
        }
        mine.f_copy_(kept)?;
        number += 1;
    }
    match kept.next() {
        Some(extra) => {
            let found = extra.size().iter().map(|side| *side as usize).collect();
            Err(ModelError::WrongShape { name: format!("{name}.{number}"), expected: Vec::new(), found })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(value: f32) -> Tensor {
        Tensor::from_slice(&[value]).set_requires_grad(true)
    }

    /// The gradient of `slope * parameter` is `slope`.
    fn learn(optimiser: &mut AdamW, parameter: &Tensor, slope: f64, factor: f64) -> f64 {
        (parameter * slope).sum(tch::Kind::Float).backward();
        optimiser.step(factor).unwrap();
        parameter.double_value(&[0])
    }

    #[test]
    fn steps_are_those_of_the_paper() {
        let p = parameter(1.0);
        let group = Group { parameters: vec![p.shallow_clone()], learning_rate: 0.1, weight_decay: 0.5 };
        let mut optimiser = AdamW::new(vec![group]).unwrap();
        // Decay: 1 - 0.1 * 0.5. The first step is one rate long, whatever the gradient: mean 4 / 1, square 16 / 1.
        let first = 0.95 - 0.1;
        assert!((learn(&mut optimiser, &p, 4.0, 1.0) - first).abs() < 1e-6);
        // Mean (0.9 * 0.4 + 0.1 * 1) / 0.19, square (0.999 * 0.016 + 0.001 * 1) / 0.001999; at half the rate.
        let step = (0.46 / 0.19) / f64::sqrt(0.016984 / 0.001999);
        let second = first * (1.0 - 0.05 * 0.5) - 0.05 * step;
        assert!((learn(&mut optimiser, &p, 1.0, 0.5) - second).abs() < 1e-6);
    }

    #[test]
    fn groups_have_their_own_rates_and_what_has_no_gradient_stays() {
        let (a, b, idle) = (parameter(1.0), parameter(1.0), parameter(1.0));
        let group =
            |p: &Tensor, rate| Group { parameters: vec![p.shallow_clone()], learning_rate: rate, weight_decay: 0.0 };
        let mut optimiser = AdamW::new(vec![group(&idle, 0.5), group(&a, 0.1), group(&b, 0.01)]).unwrap();
        (&a + &b).sum(tch::Kind::Float).backward();
        optimiser.step(1.0).unwrap();
        let values = [&a, &b, &idle].map(|p| p.double_value(&[0]));
        assert!((values[0] - 0.9).abs() < 1e-6 && (values[1] - 0.99).abs() < 1e-6 && values[2] == 1.0, "{values:?}");
        assert_eq!(a.grad().double_value(&[0]), 0.0);
    }

    #[test]
    fn it_goes_on_from_a_kept_state_as_if_it_had_not_been_interrupted() {
        let optimiser_of = |p: &Tensor| {
            AdamW::new(vec![Group { parameters: vec![p.shallow_clone()], learning_rate: 0.1, weight_decay: 0.01 }])
                .unwrap()
        };
        let whole = parameter(2.0);
        let mut optimiser = optimiser_of(&whole);
        learn(&mut optimiser, &whole, 3.0, 1.0);
        let kept = parameter(whole.double_value(&[0]) as f32);
        let mut resumed = optimiser_of(&kept);
        let (steps, moments) = optimiser.state();
        resumed.restore(steps, &moments.iter().map(Tensor::copy).collect::<Vec<_>>()).unwrap();
        let expected = learn(&mut optimiser, &whole, -1.0, 1.0);
        assert_eq!(learn(&mut resumed, &kept, -1.0, 1.0), expected);
        // Moments that are missing, left over or otherwise shaped are no state of this optimiser.
        assert!(
            matches!(resumed.restore(1, &moments[..1]), Err(ModelError::MissingTensor(name)) if name == "optimiser.1")
        );
        let three: Vec<Tensor> = moments.iter().chain(&moments[..1]).map(Tensor::copy).collect();
        assert!(matches!(resumed.restore(1, &three), Err(ModelError::WrongShape { .. })));
        let wide = [Tensor::zeros([2], tch::kind::FLOAT_CPU), moments[1].copy()];
        assert!(matches!(resumed.restore(1, &wide), Err(ModelError::WrongShape { .. })));
    }
}
