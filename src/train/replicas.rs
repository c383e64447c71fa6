//! One step of learning on all cores: each has a replica of the network and a part of the batch.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::cores;
use super::loss::Objective;
use super::network::{TrainableNetwork, copy_of};
use crate::artefact::Loss;
use crate::model::ModelError;

/// A copy of the network. Behind a lock, since a tensor may be sent to another thread but not shared.
pub(super) type Replica = Mutex<TrainableNetwork>;

/// Replicas that learn side by side; none where one network takes the whole batch: on a GPU, and on the tutorial's triplets,
/// which have no loss of a whole batch. More than eight would have too small a part of a batch each.
pub(super) fn replica_count(device: Device, loss: Option<Loss>) -> usize {
    if device == Device::Cpu && loss.is_some() { cores().min(8) } else { 0 }
}

/// A batch in as many parts as there are replicas, each on a thread of its own: on a CPU that is faster than all threads
/// on one network, since nobody waits for the slowest at every layer. The loss sees the whole batch. Gradients come into
/// the replicas; gives the loss and the embeddings.
pub(super) fn step_side_by_side(
    replicas: &[Replica],
    objective: &Objective,
    pictures: &Tensor,
    labels: &Tensor,
) -> Result<(Tensor, Tensor), ModelError> {
    let parts = pictures.f_chunk(replicas.len() as i64, 0)?;
    let tasks = replicas.iter().zip(parts).map(|(replica, part)| {
        move || {
            let replica = replica.lock().unwrap_or_else(PoisonError::into_inner);
            replica.embed(&part)
        }
    });
    let embedded = on_threads(tasks.collect())?;
    let joined = Tensor::f_cat(&embedded, 0)?.f_detach()?.f_set_requires_grad(true)?;
    let loss = objective.of(&joined, labels)?;
    loss.f_backward()?;
    let mut first = 0;
    let mut tasks = Vec::new();
    for part in embedded {
        let count = part.size()[0];
        let gradient = joined.f_grad()?.f_narrow(0, first, count)?;
        first += count;
        tasks.push(move || Ok(part.f_mul(&gradient)?.f_sum(Kind::Float)?.f_backward()?));
    }
    on_threads(tasks)?;
    Ok((loss, joined))
}

/// Runs each task on a thread of its own, on which libtorch uses no further ones; the answers come in order.
fn on_threads<T: Send>(tasks: Vec<impl FnOnce() -> Result<T, ModelError> + Send>) -> Result<Vec<T>, ModelError> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for task in tasks {
            threads.push(scope.spawn(move || {
                tch::set_num_threads(1);
                task()
            }));
        }
        let answers = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        answers.collect()
    })
}

/// The gradients of all replicas, added in their order, so that the same seed gives the same numbers.
pub(super) fn sum_of_gradients(replicas: &mut [Replica]) -> Result<Vec<Tensor>, ModelError> {
    let mut sums: Vec<Tensor> = Vec::new();
    for (number, replica) in replicas.iter_mut().enumerate() {
        let replica = replica.get_mut().unwrap_or_else(PoisonError::into_inner);
        let parameters = replica.backbone_parameters().into_iter().chain(replica.projection_parameters());
        for (place, mut parameter) in parameters.enumerate() {
            let gradient = parameter.f_grad()?;
            if number == 0 {
                sums.push(if gradient.defined() { copy_of(&gradient)? } else { gradient });
            } else if gradient.defined() && sums[place].defined() {
                let _ = sums[place].f_add_(&gradient)?;
            }
            parameter.zero_grad();
        }
    }
    Ok(sums)
}
