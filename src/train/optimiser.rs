//! AdamW over groups of parameters with a learning rate each.

use tch::Tensor;

use crate::model::ModelError;

/// Parameters that share a learning rate and a weight decay.
#[derive(Debug)]
pub struct Group {
    pub parameters: Vec<Tensor>,
    pub rate: f64,
    pub decay: f64,
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization").
#[derive(Debug)]
pub struct AdamW {
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
    pub fn new(groups: Vec<Group>) -> Result<Self, ModelError> {
        let moments = |p: &Tensor| Ok::<_, ModelError>([p.f_zeros_like()?, p.f_zeros_like()?]);
        let moments = groups.iter().flat_map(|group| &group.parameters).map(moments).collect::<Result<_, _>>()?;
        Ok(Self { groups, moments, steps: 0 })
    }

    /// One step down the gradients, which are then cleared. `factor` scales all learning rates: the schedule. A
    /// parameter without a gradient stays.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn step(&mut self, factor: f64) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        self.steps += 1;
        let [first, second] = BETAS.map(|beta| 1.0 - beta.powi(self.steps as i32));
        let mut moments = self.moments.iter_mut();
        for Group { parameters, rate, decay } in &mut self.groups {
            let rate = *rate * factor;
            for (parameter, [mean, square]) in parameters.iter_mut().zip(&mut moments) {
                let gradient = parameter.f_grad()?;
                if !gradient.defined() {
                    continue;
                }
                if *decay > 0.0 {
                    let _ = parameter.f_mul_scalar_(1.0 - rate * *decay)?;
                }
                let _ = mean.f_mul_scalar_(BETAS[0])?.f_add_(&gradient.f_mul_scalar(1.0 - BETAS[0])?)?;
                let squared = gradient.f_square()?.f_mul_scalar(1.0 - BETAS[1])?;
                let _ = square.f_mul_scalar_(BETAS[1])?.f_add_(&squared)?;
                let deviation = square.f_div_scalar(second)?.f_sqrt()?.f_add_scalar(EPSILON)?;
                let step = mean.f_div(&deviation)?.f_mul_scalar(rate / first)?;
                let _ = parameter.f_sub_(&step)?;
                parameter.zero_grad();
            }
        }
        Ok(())
    }

    /// What a checkpoint has to keep: the number of steps, and both moments of each parameter.
    pub fn state(&self) -> (i64, Vec<Tensor>) {
        (self.steps, self.moments.iter().flatten().map(Tensor::shallow_clone).collect())
    }

    /// The inverse of [`AdamW::state`], for the same groups.
    ///
    /// # Errors
    /// When the shapes are others.
    pub fn restore(&mut self, steps: i64, moments: &[Tensor]) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        for (mine, kept) in self.moments.iter_mut().flatten().zip(moments) {
            mine.f_copy_(kept)?;
        }
        self.steps = steps;
        Ok(())
    }
}
