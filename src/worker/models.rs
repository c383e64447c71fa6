//! The model in use and the device that it computes on; what the user does with models.

use crossbeam_channel::RecvError;

use super::messages::{Event, Outbox};
use super::tasks::Slot;
use super::{Loaded, Loop, OnDevice};
use crate::active_model::{delete_model, forget_deleted, names};
use crate::artefact::{ModelFolder, ModelId};
use crate::device::DeviceChoice;
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::Cancel;
use crate::model::Architecture;
use crate::tune::quick_rate;

impl Loop {
    /// Opens the model in use on another device, while the present one goes on answering.
    pub(super) fn change_device(&mut self, device: DeviceChoice) {
        self.device = device;
        self.speeds.cancel();
        let model = self.model.clone();
        // What comes of an earlier choice has no one to receive it any more.
        self.device_change = Some(self.model_tasks.ask(Slot::Device, move || {
            let id = model.id.clone();
            let open = || -> Result<(Embedder, ModelInfo), String> {
                let embedder = Embedder::start(device, model).map_err(|error| error.to_string())?;
                let info = embedder.info().map_err(|error| error.to_string())?;
                Ok((embedder, info))
            };
            OnDevice { model: id, result: open() }
        }));
    }

    pub(super) fn take_on_device(&mut self, opened: Result<OnDevice, RecvError>) {
        self.device_change = None;
        match opened {
            // Another model has come into use meanwhile.
            Ok(OnDevice { model, result: Ok(_) }) if model != self.model.id => self.change_device(self.device),
            Ok(OnDevice { result: Ok((embedder, info)), .. }) => {
                self.device_in_use = self.device;
                self.embedder = embedder.clone();
                if let Some(open) = &mut self.open {
                    open.embedder = embedder;
                }
                self.outbox.send(Event::ModelReady(info));
            }
            Ok(OnDevice { result: Err(message), .. }) => self.refuse_device(message),
            Err(RecvError) => self.refuse_device("The device could not be used".into()),
        }
    }

    pub(super) fn refuse_device(&mut self, message: String) {
        self.device = self.device_in_use;
        self.outbox.send(Event::DeviceRefused { device: self.device, message });
    }

    /// Says when the model in use has been loaded, or why it cannot be.
    pub(super) fn announce_model(&mut self) {
        let embedder = self.embedder.clone();
        self.loading = Some(self.model_tasks.ask(Slot::Model, move || embedder.info()));
    }

    pub(super) fn take_loaded(&mut self, loaded: Result<Loaded, RecvError>) {
        self.loading = None;
        match loaded.unwrap_or(Err(EmbedError::Gone)) {
            Ok(info) if info.name == self.model.id => self.outbox.send(Event::ModelReady(info)),
            Ok(_) => {}
            Err(error) => self.outbox.send(Event::ModelLoadFailed { message: error.to_string() }),
        }
    }

    pub(super) fn list_models(&self) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
        self.file_tasks.run_newest(Slot::ModelList, move || send_models(&models, in_use, &outbox));
    }

    /// Says how fast networks are on the device in use. Not while a job needs the processor: it ends with the next one.
    pub(super) fn measure_speeds(&mut self, networks: Vec<Architecture>) {
        self.speeds.cancel();
        if self.open.as_ref().is_some_and(|open| open.job.is_some()) {
            return;
        }
        self.speeds = Cancel::default();
        let (device, cancel) = (self.device, self.speeds.clone());
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        self.training_tasks.run_newest(Slot::Speeds, move || {
            let known = models.list();
            for architecture in networks {
                let model = known.iter().find(|model| model.card.architecture == architecture);
                let Some(model) = model.filter(|_| !cancel.is_cancelled()) else { continue };
                let measure = || -> Result<f64, Box<dyn std::error::Error>> {
                    let embedder = Embedder::start(device, models.load(&model.id)?)?;
                    Ok(quick_rate(&embedder, &cancel)?)
                };
                match measure() {
                    Ok(_) if cancel.is_cancelled() => {}
                    Ok(photos_a_second) => outbox.send(Event::Speed { architecture, device, photos_a_second }),
                    Err(error) => log::warn!("The speed of {} could not be measured: {error}", model.id),
                }
            }
        });
    }

    /// Does something with the models, says what came of it, and lists them anew.
    pub(super) fn with_models(&self, work: impl FnOnce(&ModelFolder) -> Result<String, String> + Send + 'static) {
        let (models, outbox) = (self.models.clone(), self.outbox.clone());
        let in_use = self.open.as_ref().map(|open| open.model.id.clone());
        let is_taken = self.file_tasks.run(move || {
            outbox.send(match work(&models) {
                Ok(text) => Event::ModelDone(text),
                Err(message) => Event::ModelFailed(message),
            });
            send_models(&models, in_use, &outbox);
        });
        if !is_taken {
            let message = "Too much is waiting to be done with models; try again when some of it is done";
            self.outbox.send(Event::ModelFailed(message.into()));
        }
    }

    pub(super) fn delete_model(&self, id: ModelId) {
        let data = self.data.clone();
        // A training may have begun with this model; the next indexing throws away what it leaves.
        let open = self.held();
        self.with_models(move |models| {
            let deleted = models.list().into_iter().find(|model| model.id == id);
            let away = delete_model(&data, models, &id).map_err(|error| error.to_string())?;
            // Other libraries follow when they are next indexed.
            if let (Some((library, _lock)), Some(deleted)) = (open, deleted) {
                forget_deleted(&library, models, &deleted);
            }
            Ok(match away.as_slice() {
                [] => "The model was deleted".to_owned(),
                away => format!("The model was deleted; the built-in one will be used for {}", names(away)),
            })
        });
    }
}

fn send_models(models: &ModelFolder, in_use: Option<ModelId>, outbox: &Outbox) {
    outbox.send(Event::Models { models: models.list().into(), in_use });
}
