//! A network whose weights change: the tensors that learn, the exponential moving average (EMA) of their
//! weights, and the map from features to the
//! embeddings that the loss sees.

use tch::{Device, Kind, Tensor};

use super::checkpoint::named_tensor;
use crate::artefact::{Model, NamedTensor};
use crate::model::{Architecture, Backbone, HeadPart, ModelError, NamedTensors, Norms, Weights, normalised};
use crate::random::Random;

/// Statistics of batch norms: they are measured rather than learnt.
fn is_statistic(name: &str) -> bool {
    name.ends_with("running_mean") || name.ends_with("running_var")
}

/// A network that learns, on a device.
pub(crate) struct TrainableNetwork {
    pub(crate) architecture: Architecture,
    pub(crate) device: Device,
    /// What the forward pass is computed in; the weights themselves have 32 bits.
    dtype: Kind,
    norms: Norms,
    /// Of the backbone.
    tensors: NamedTensors,
    /// Their exponential moving average; `None` where the last weights are used as they are.
    ema: Option<NamedTensors>,
    projection: Option<Projection>,
}

/// Features of length 1 -> embeddings of length 1.
struct Projection {
    centre: Tensor,
    /// `[outputs, inputs]`.
    matrix: Tensor,
}

const CENTRE: &str = "projection.centre";
const MATRIX: &str = "projection.matrix";

impl TrainableNetwork {
    /// Goes on from a model's backbone, its batch norms frozen, with a first map from features to embeddings.
    ///
    /// # Errors
    /// When the weights are damaged or the device has no room.
    pub(crate) fn fine_tune(model: &Model, projection: &HeadPart, device: Device) -> Result<Self, ModelError> {
        let tensors = model.weights()?.all(|name| model.card.architecture.needs(name))?;
        let tensors = learning(tensors, device)?;
        let ema = tensors.iter().map(|(name, t)| Ok((name.clone(), copy_of(t)?)));
        let ema = Some(ema.collect::<Result<_, ModelError>>()?);
        let (centre, matrix) = projection.tensors()?;
        let projection = Projection {
            centre: centre.f_to_device(device)?,
            matrix: matrix.f_to_device(device)?.f_set_requires_grad(true)?,
        };
        let architecture = model.card.architecture;
        let dtype = architecture.training_dtype(device);
        let norms = Norms::Frozen;
        Ok(Self { architecture, device, dtype, norms, tensors, ema, projection: Some(projection) })
    }

    /// Begins from nothing, its batch norms live; embeddings are the features themselves.
    ///
    /// # Errors
    /// When the device has no room.
    pub(crate) fn from_scratch(architecture: Architecture, seed: u64, device: Device) -> Result<Self, ModelError> {
        let mut random = Random::new(seed);
        let weights = Weights::random_init(move || random.normal());
        let dtype = architecture.training_dtype(device);
        Backbone::build(architecture, &weights, Device::Cpu, Kind::Float)?;
        let tensors = learning(weights.into_random_init(), device)?;
        Ok(Self { architecture, device, dtype, norms: Norms::Live, tensors, ema: None, projection: None })
    }

    /// Another way to the same numbers, for a thread of its own: what it learns from comes into its own gradients.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn replica(&self) -> Result<Self, ModelError> {
        let alias = |tensor: &Tensor| tensor.f_detach()?.f_set_requires_grad(tensor.requires_grad());
        let tensors = self.tensors.iter().map(|(name, tensor)| Ok((name.clone(), alias(tensor)?)));
        let projection = self.projection.as_ref().map(|Projection { centre, matrix }| {
            Ok::<_, ModelError>(Projection { centre: centre.shallow_clone(), matrix: alias(matrix)? })
        });
        Ok(Self {
            architecture: self.architecture,
            device: self.device,
            dtype: self.dtype,
            norms: self.norms,
            tensors: tensors.collect::<Result<_, ModelError>>()?,
            ema: None,
            projection: projection.transpose()?,
        })
    }

    /// Forgets the gradients.
    pub(crate) fn zero_grad(&self) {
        let parameters = self.backbone_parameters().into_iter().chain(self.projection_parameters());
        parameters.for_each(|mut parameter| parameter.zero_grad());
    }

    /// What the optimiser has to move in the backbone.
    pub(crate) fn backbone_parameters(&self) -> Vec<Tensor> {
        let learns = |(name, _): &(&String, &Tensor)| !is_statistic(name);
        self.tensors.iter().filter(learns).map(|(_, tensor)| tensor.shallow_clone()).collect()
    }

    /// And behind it.
    pub(crate) fn projection_parameters(&self) -> Vec<Tensor> {
        self.projection.iter().map(|projection| projection.matrix.shallow_clone()).collect()
    }

    /// 8-bit RGB pictures, rows first `[n, height, width, 3]`, -> embeddings `[n, dimension]` with gradients.
    ///
    /// # Errors
    /// When libtorch fails, out of memory among other things.
    pub(crate) fn embed(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        self.embed_with(&self.tensors, self.norms, pictures)
    }

    /// The same with the averaged weights, for measuring.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn embed_for_validation(&self, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let _no_grad = tch::no_grad_guard();
        self.embed_with(self.ema.as_ref().unwrap_or(&self.tensors), Norms::Frozen, pictures)
    }

    fn embed_with(&self, tensors: &NamedTensors, norms: Norms, pictures: &Tensor) -> Result<Tensor, ModelError> {
        let weights = Weights::from_memory(tensors, norms);
        let backbone = Backbone::build(self.architecture, &weights, self.device, self.dtype)?;
        let features = backbone.forward(&pictures.f_to_device(self.device)?.f_permute([0, 3, 1, 2])?)?;
        if self.projection.is_some() { self.project(&normalised(&features)?) } else { Ok(features) }
    }

    /// Features of length 1 -> embeddings of length 1; the features themselves where there is no map.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn project(&self, features: &Tensor) -> Result<Tensor, ModelError> {
        let Some(Projection { centre, matrix }) = &self.projection else { return Ok(features.shallow_clone()) };
        normalised(&features.f_sub(centre)?.f_matmul(&matrix.f_transpose(0, 1)?)?)
    }

    /// Goes on computing on another device.
    ///
    /// # Errors
    /// When it has no room.
    pub(crate) fn move_to(&mut self, device: Device) -> Result<(), ModelError> {
        self.device = device;
        self.dtype = self.architecture.training_dtype(device);
        self.tensors = learning(std::mem::take(&mut self.tensors), device)?;
        for ema in self.ema.iter_mut().flat_map(|ema| ema.values_mut()) {
            *ema = ema.f_to_device(device)?;
        }
        if let Some(Projection { centre, matrix }) = &mut self.projection {
            *centre = centre.f_to_device(device)?;
            *matrix = copy_of(&matrix.f_to_device(device)?)?.f_set_requires_grad(true)?;
        }
        Ok(())
    }

    /// Updates the average after step number `step` of the optimiser. The decay grows towards `decay` with the steps.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn update_ema(&mut self, step: i64, decay: f64) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        let share = 1.0 - decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (ema, tensor) in self.ema.iter_mut().flat_map(|a| a.values_mut()).zip(self.tensors.values()) {
            let _ = ema.f_lerp_(tensor, share)?;
        }
        Ok(())
    }

    /// All that a checkpoint has to keep.
    pub(crate) fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        for (prefix, tensors) in [("", Some(&self.tensors)), ("average.", self.ema.as_ref())] {
            for (name, tensor) in tensors.into_iter().flatten() {
                state.insert(format!("{prefix}{name}"), tensor.shallow_clone());
            }
        }
        if let Some(Projection { centre, matrix }) = &self.projection {
            state.insert(CENTRE.to_owned(), centre.shallow_clone());
            state.insert(MATRIX.to_owned(), matrix.shallow_clone());
        }
        state
    }

    /// The inverse of [`TrainableNetwork::state`].
    ///
    /// # Errors
    /// When a tensor is missing or otherwise shaped.
    pub(crate) fn restore(&mut self, state: &NamedTensors) -> Result<(), ModelError> {
        let _no_grad = tch::no_grad_guard();
        for (name, mut tensor) in self.state() {
            let kept = state.get(&name).ok_or(ModelError::MissingTensor(name))?;
            tensor.f_copy_(kept)?;
        }
        Ok(())
    }

    /// The weights to use: the averaged ones where there are such.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn finish(&self) -> Result<Vec<NamedTensor>, ModelError> {
        let tensors = self.ema.as_ref().unwrap_or(&self.tensors);
        tensors.iter().map(|(name, tensor)| named_tensor(name, tensor)).collect()
    }
}

fn learning(tensors: NamedTensors, device: Device) -> Result<NamedTensors, ModelError> {
    let place = |(name, tensor): (String, Tensor)| {
        let learns = !is_statistic(&name);
        Ok((name, copy_of(&tensor.f_to_device(device)?)?.f_set_requires_grad(learns)?))
    };
    tensors.into_iter().map(place).collect()
}

/// The numbers of a tensor in memory of their own, without gradients.
///
/// # Errors
/// When there is no memory.
pub(crate) fn copy_of(tensor: &Tensor) -> Result<Tensor, ModelError> {
    let mut copy = tensor.f_detach()?.f_zeros_like()?;
    copy.f_copy_(&tensor.f_detach()?)?;
    Ok(copy)
}
