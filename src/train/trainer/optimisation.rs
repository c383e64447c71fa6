//! What one step of a training changes: the network, the loss with what it learns itself, and the optimiser.

use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::super::hyperparameters::Hyperparameters;
use super::super::loss::{Objective, triplet};
use super::super::network::{TrainableNetwork, copy_of};
use super::super::optimiser::{AdamW, Group, copy_all};
use super::super::replicas::{Replica, replica_count, step_side_by_side, sum_of_gradients};
use super::super::watchdog::{Watchdog, variance_ratio};
use super::batches::{StepInput, Targets, TrainingSet};
use crate::artefact::Loss;
use crate::model::{ModelError, NamedTensors, normalised};

/// The tutorial's margin between squared distances.
const MARGIN: f64 = 1.0;

/// Learning rates, and the decay of the backbone's weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Of the backbone, of the map to embeddings, and of the loss's proxies.
    pub(super) learning_rates: [f64; 3],
    weight_decay: f64,
}

impl Rates {
    pub(super) fn of(hyperparameters: &Hyperparameters) -> Self {
        let Hyperparameters { learning_rates, weight_decay, .. } = *hyperparameters;
        Self { learning_rates, weight_decay }
    }
}

/// What a step showed.
pub(super) struct StepOutcome {
    pub(super) loss: f64,
    /// Of the embeddings of the batch, see [`variance_ratio`].
    pub(super) variance_ratio: f64,
}

pub(super) struct Optimisation {
    pub(super) network: TrainableNetwork,
    pub(super) rates: Rates,
    /// For the threads that learn side by side on a CPU; none where one network takes the whole batch.
    pub(super) replicas: Vec<Replica>,
    /// `None` for the tutorial's loss on triplets.
    objective: Option<Objective>,
    optimiser: AdamW,
}

impl Optimisation {
    pub(super) fn new(
        network: TrainableNetwork,
        rates: Rates,
        loss: Option<Loss>,
        set: &TrainingSet,
    ) -> Result<Self, ModelError> {
        let optimiser = AdamW::new(Vec::new())?;
        let mut new = Self { network, rates, replicas: Vec::new(), objective: None, optimiser };
        new.set_loss(loss, set)?;
        Ok(new)
    }

    /// A loss, its proxies and the optimiser from their beginning.
    pub(super) fn set_loss(&mut self, loss: Option<Loss>, set: &TrainingSet) -> Result<(), ModelError> {
        let device = self.network.device;
        let dimension = self.network.projection_parameters().first().map_or(0, |matrix| matrix.size()[0]);
        let objective =
            loss.map(|loss| Objective::new(loss, set.classes.len() as i64, dimension, device)).transpose()?;
        let [backbone, projection, proxies] = self.rates.learning_rates;
        let group = |parameters, learning_rate, weight_decay| Group { parameters, learning_rate, weight_decay };
        self.optimiser = AdamW::new(vec![
            group(self.network.backbone_parameters(), backbone, self.rates.weight_decay),
            group(self.network.projection_parameters(), projection, 0.0),
            group(objective.iter().flat_map(Objective::parameters).collect(), proxies, 0.0),
        ])?;
        self.objective = objective;
        let replicas = (0..replica_count(device, loss)).map(|_| Ok(Mutex::new(self.network.replica()?)));
        self.replicas = replicas.collect::<Result<_, ModelError>>()?;
        self.start_proxies(set)
    }

    /// Proxies begin as the means of their classes, as the features are before any learning.
    fn start_proxies(&mut self, set: &TrainingSet) -> Result<(), ModelError> {
        let Some(mut proxies) = self.objective.as_ref().and_then(|o| o.parameters().pop()) else { return Ok(()) };
        let _no_grad = tch::no_grad_guard();
        for (class, photos) in set.classes.iter().enumerate() {
            let features = set.data.features_of(photos)?.f_to_device(self.network.device)?;
            let mean = self.network.project(&features)?.f_mean_dim([0i64].as_slice(), true, Kind::Float)?;
            // As long as numbers drawn at random are, to which the learning rates fit.
            let mean = normalised(&mean)?.f_mul_scalar((proxies.size()[1] as f64).sqrt())?;
            proxies.f_narrow(0, class as i64, 1)?.f_copy_(&mean)?;
        }
        proxies.zero_grad();
        Ok(())
    }

    /// A watchdog for the loss.
    pub(super) fn watchdog(&self) -> Watchdog {
        Watchdog::new(self.objective.as_ref().map_or(Some(MARGIN), Objective::collapsed))
    }

    /// One step of the optimiser; `factor` scales all learning rates.
    pub(super) fn step(&mut self, input: &StepInput, factor: f64) -> Result<StepOutcome, ModelError> {
        let (loss, embeddings) = self.backward(input)?;
        if self.replicas.is_empty() {
            self.optimiser.step(factor)?;
        } else {
            let mut gradients = sum_of_gradients(&mut self.replicas)?;
            for mut proxies in self.objective.iter().flat_map(Objective::parameters) {
                gradients.push(copy_of(&proxies.f_grad()?)?);
                proxies.zero_grad();
            }
            self.optimiser.step_down(&gradients, factor)?;
        }
        Ok(StepOutcome { loss: loss.f_double_value(&[])?, variance_ratio: variance_ratio(&embeddings)? })
    }

    /// Computes the gradients; gives the loss and the embeddings that it was computed from.
    fn backward(&self, StepInput { pictures, targets }: &StepInput) -> Result<(Tensor, Tensor), ModelError> {
        let (loss, embeddings) = match (&self.objective, targets) {
            (Some(objective), Targets::Labels(labels)) => {
                let labels = labels.f_to_device(self.network.device)?;
                if !self.replicas.is_empty() {
                    return step_side_by_side(&self.replicas, objective, pictures, &labels);
                }
                let embeddings = self.network.embed(pictures)?;
                (objective.of(&embeddings, &labels)?, embeddings)
            }
            (_, Targets::Triplets(rows)) => self.triplet_loss(pictures, rows)?,
            // Not reached: labels come with an objective.
            (None, Targets::Labels(_)) => return Err(ModelError::MissingTensor("objective".into())),
        };
        loss.f_backward()?;
        Ok((loss, embeddings))
    }

    /// The tutorial's: anchors, positives and negatives go through the network one after the other. Gives the anchors'
    /// embeddings.
    fn triplet_loss(&self, pictures: &Tensor, rows: &[Vec<i64>; 3]) -> Result<(Tensor, Tensor), ModelError> {
        let part = |rows: &[i64]| self.network.embed(&pictures.f_index_select(0, &Tensor::f_from_slice(rows)?)?);
        let (anchor, positive, negative) = (part(&rows[0])?, part(&rows[1])?, part(&rows[2])?);
        Ok((triplet(&anchor, &positive, &negative, MARGIN)?, anchor))
    }

    /// A step that ended early, out of memory perhaps, has left some of its gradients: they must not add to the next
    /// one's.
    pub(super) fn zero_grad(&mut self) {
        self.optimiser.zero_grad();
        for replica in &mut self.replicas {
            replica.get_mut().unwrap_or_else(PoisonError::into_inner).zero_grad();
        }
    }

    /// Steps that the optimiser has made since it was begun anew.
    pub(super) fn optimiser_steps(&self) -> i64 {
        self.optimiser.state().0
    }

    /// All that a checkpoint has to keep.
    pub(super) fn state(&self) -> NamedTensors {
        let mut state = self.network.state();
        for (number, tensor) in self.objective.iter().flat_map(Objective::parameters).enumerate() {
            state.insert(format!("objective.{number}"), tensor);
        }
        for (number, tensor) in self.optimiser.state().1.into_iter().enumerate() {
            state.insert(format!("optimiser.{number}"), tensor);
        }
        state
    }

    /// The same in memory of its own, which no step changes.
    pub(super) fn copy_state(&self) -> Result<NamedTensors, ModelError> {
        self.state().into_iter().map(|(name, tensor)| Ok((name, copy_of(&tensor)?))).collect()
    }

    /// The inverse of [`Optimisation::state`], for the same loss.
    ///
    /// # Errors
    /// When something is missing or otherwise shaped.
    pub(super) fn restore(&mut self, state: &NamedTensors, optimiser_steps: i64) -> Result<(), ModelError> {
        let numbered = |what: &str| {
            let find = |number: usize| state.get(&format!("{what}.{number}")).map(Tensor::shallow_clone);
            (0..).map_while(find).collect::<Vec<_>>()
        };
        self.network.restore(state)?;
        {
            let _no_grad = tch::no_grad_guard();
            let mut proxies: Vec<Tensor> = self.objective.iter().flat_map(Objective::parameters).collect();
            copy_all("objective", proxies.iter_mut(), &numbered("objective"))?;
        }
        self.optimiser.restore(optimiser_steps, &numbered("optimiser"))
    }

    /// Goes on on another device, the optimiser from its beginning.
    pub(super) fn move_to(&mut self, device: Device, loss: Option<Loss>, set: &TrainingSet) -> Result<(), ModelError> {
        self.network.move_to(device)?;
        self.set_loss(loss, set)
    }
}
