//! The folder of all models on this computer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::SafeTensors;

use super::card::{Description, description, metadata};
use super::{
    ArtefactError, BUILT_IN, Card, EXTENSION, Flaw, GENERAL, MAX_TITLE, Model, ModelId, ModelSummary, is_built_in,
};
use crate::atomic_file::{self, Survives};
use crate::model::{ModelError, metadata_in, read_header};
use crate::text::sanitise_line;

/// Models beyond this are not ours: the largest network here has 350 MB.
const MAX_BYTES: u64 = 1 << 30;

/// The models on this computer.
#[derive(Clone, Debug)]
pub struct ModelFolder(PathBuf);

impl ModelFolder {
    /// The models in a folder, which is made when the first one is saved.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.{EXTENSION}"))
    }

    /// The file of a model that is here.
    fn existing(&self, id: &str) -> Result<PathBuf, ArtefactError> {
        let path = self.path(id);
        // An id comes from the command line, too: it must not lead out of the folder.
        let is_name = !id.contains(['/', '\\', '\0']);
        if is_name && path.is_file() { Ok(path) } else { Err(ArtefactError::Unknown(sanitise_line(id, MAX_TITLE))) }
    }

    /// All models, those in the program first, then the newest first. Only their descriptions are read. A file that
    /// cannot be read is passed over with a word in the log.
    pub fn list(&self) -> Vec<ModelSummary> {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut models: Vec<ModelSummary> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .filter_map(|path| read_summary(&path).inspect_err(|error| log::warn!("{error}")).ok())
            // What was put here by hand under another name cannot be found by its id; importing is the way.
            .filter(|summary| self.path(&summary.id).is_file() && !summary.is_built_in())
            .collect();
        models.sort_by(|a, b| b.card.made.cmp(&a.card.made).then_with(|| a.id.cmp(&b.id)));
        models.dedup_by(|a, b| a.id == b.id);
        models.splice(0..0, built_in());
        models
    }

    /// As [`ModelFolder::list`], but all of them or none, in any order: for those who must not take a model that cannot be
    /// read for one that is gone.
    ///
    /// # Errors
    /// When the folder, or a single file in it, cannot be read.
    pub(crate) fn list_all(&self) -> Result<Vec<ModelSummary>, ArtefactError> {
        let io_error = |error| ArtefactError::Io { path: self.0.clone(), error };
        let mut models = built_in().to_vec();
        for entry in std::fs::read_dir(&self.0).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                models.push(read_summary(&path)?);
            }
        }
        Ok(models)
    }

    /// The model of an id.
    ///
    /// # Errors
    /// When there is none or its file is damaged.
    pub(crate) fn load(&self, id: &str) -> Result<Model, ArtefactError> {
        match id {
            BUILT_IN => return Ok(Model::built_in()),
            GENERAL => return Ok(Model::general()),
            _ => {}
        }
        let path = self.existing(id)?;
        let model = read(&path)?;
        if model.id != id {
            return Err(ArtefactError::Damaged { path, reason: format!("it is the model {}", model.id) });
        }
        Ok(model)
    }

    /// Keeps a model. One of the same numbers is replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, model: &Model) -> Result<(), ArtefactError> {
        std::fs::create_dir_all(&self.0).map_err(|error| ArtefactError::NoFolder { path: self.0.clone(), error })?;
        self.export(model, &self.path(&model.id))
    }

    /// Gives a model another title.
    ///
    /// # Errors
    /// When there is no such model, nothing of the title can be seen, or the file cannot be written.
    pub(crate) fn rename(&self, id: &str, title: &str) -> Result<Model, ArtefactError> {
        let title = sanitise_line(title, MAX_TITLE);
        if title.is_empty() {
            return Err(ArtefactError::NoTitle);
        }
        let model = self.load(id)?;
        let Some(file) = model.file.as_ref().filter(|_| !is_built_in(id)) else { return Err(ArtefactError::BuiltIn) };
        let card = Card { title, ..Card::clone(&model.card) };
        let bytes = safetensors::serialize(SafeTensors::deserialize(file)?.tensors(), Some(metadata(id, &card)?))?;
        let renamed =
            Model { id: model.id, card: Arc::new(card), dimension: model.dimension, file: Some(bytes.into()) };
        self.save(&renamed)?;
        Ok(renamed)
    }

    /// Deletes a model's file.
    ///
    /// # Errors
    /// When there is no such model, or the file cannot be deleted.
    pub(crate) fn delete(&self, id: &str) -> Result<(), ArtefactError> {
        if is_built_in(id) {
            return Err(ArtefactError::BuiltIn);
        }
        let path = self.existing(id)?;
        std::fs::remove_file(&path).map_err(|error| ArtefactError::Io { path, error })
    }

    /// Writes a model to a file of the user's choice, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written, or the model is the one in the program.
    pub fn export(&self, model: &Model, path: &Path) -> Result<(), ArtefactError> {
        let file = model.file.as_ref().filter(|_| !is_built_in(&model.id)).ok_or(ArtefactError::BuiltIn)?;
        write(path, file)
    }

    /// Takes a model in from a file that was exported elsewhere. All that is in it is checked, its backbone by opening
    /// it.
    ///
    /// # Errors
    /// When the file is no such model.
    pub(crate) fn import(&self, path: &Path) -> Result<Model, ArtefactError> {
        let model = read(path)?;
        if is_built_in(&model.id) {
            return self.load(&model.id);
        }
        let damaged = |error: ModelError| Flaw::Damaged(error.to_string()).at(path);
        model.check_backbone().map_err(damaged)?;
        self.save(&model)?;
        Ok(model)
    }
}

impl Model {
    /// Writes the model with half the bits for each number: a file of half the size, and a model of another id, which is
    /// told.
    ///
    /// # Errors
    /// When the file cannot be written, or the model is one in the program.
    pub(crate) fn export_halved(&self, path: &Path) -> Result<ModelId, ArtefactError> {
        if is_built_in(&self.id) {
            return Err(ArtefactError::BuiltIn);
        }
        let (id, bytes) = self.halved()?;
        write(path, &bytes)?;
        Ok(id)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ArtefactError> {
    atomic_file::write(path, bytes, Survives::PowerCut)
        .map_err(|error| ArtefactError::Io { path: path.to_owned(), error })
}

fn built_in() -> [ModelSummary; 2] {
    [Model::built_in(), Model::general()].map(|model| model.summary())
}

fn read(path: &Path) -> Result<Model, ArtefactError> {
    let io_error = |error| ArtefactError::Io { path: path.to_owned(), error };
    let length = std::fs::metadata(path).map_err(io_error)?.len();
    if length > MAX_BYTES {
        return Err(ArtefactError::NotOurs { path: path.to_owned(), reason: "it is larger than 1 GiB".into() });
    }
    Model::from_bytes(std::fs::read(path).map_err(io_error)?, path)
}

/// A model's description, without its numbers.
fn read_summary(path: &Path) -> Result<ModelSummary, ArtefactError> {
    let (size, header) = read_header(path).map_err(|error| ArtefactError::Io { path: path.to_owned(), error })?;
    let no_model = |error: serde_json::Error| Flaw::NotOurs(format!("not a safetensors file: {error}")).at(path);
    let metadata = metadata_in(&header).map_err(no_model)?;
    let Description { id, card, .. } = description(metadata.as_ref()).map_err(|flaw| flaw.at(path))?;
    Ok(ModelSummary { id, card: Arc::new(card), size })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{card, head, model, models};
    use super::*;

    #[test]
    fn a_model_survives_saving_renaming_and_travelling() {
        let (folder, models) = models();
        let saved = model(0.5);
        models.save(&saved).unwrap();
        let renamed = models.rename(&saved.id, "Garden roses").unwrap();
        assert_eq!(renamed.id, saved.id);
        let file = folder.path().join("travel");
        models.export(&renamed, &file).unwrap();
        models.delete(&saved.id).unwrap();
        assert!(matches!(models.load(&saved.id), Err(ArtefactError::Unknown(_))));
        let imported = models.import(&file).unwrap();
        assert_eq!((imported.id.as_str(), imported.card.title.as_str()), (saved.id.as_str(), "Garden roses"));
        assert_eq!(imported.head().unwrap(), saved.head().unwrap());
        let listed = models.list();
        assert_eq!(listed, [Model::built_in().summary(), Model::general().summary(), imported.summary()]);
        assert_eq!(listed[2].size, std::fs::metadata(&file).unwrap().len());
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn the_models_in_the_program_stay() {
        let (folder, models) = models();
        for id in [BUILT_IN, GENERAL] {
            let built_in = models.load(id).unwrap();
            assert_eq!(built_in.id, id);
            assert!(matches!(models.rename(id, "Mine"), Err(ArtefactError::BuiltIn)));
            assert!(matches!(models.delete(id), Err(ArtefactError::BuiltIn)));
            let file = folder.path().join("x");
            assert!(matches!(models.export(&built_in, &file), Err(ArtefactError::BuiltIn)));
            assert!(matches!(built_in.export_halved(&file), Err(ArtefactError::BuiltIn)));
        }
        assert_eq!(models.list(), built_in());
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let (folder, models) = models();
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        for path in [&taken, Path::new("/"), &folder.path().join("none/x")] {
            let error = models.export(&model(0.5), path).unwrap_err();
            assert!(matches!(error, ArtefactError::Io { .. }), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_what_to_do() {
        let (folder, models) = models();
        std::fs::write(folder.path().join("models"), b"in the way").unwrap();
        let error = models.save(&model(0.5)).unwrap_err();
        assert!(matches!(error, ArtefactError::NoFolder { .. }), "{error}");
        assert!(error.to_string().contains("Move away what is in its place"), "{error}");
    }

    #[test]
    fn a_list_names_only_what_can_be_loaded() {
        let (_folder, models) = models();
        let old = model(0.5);
        let new = Model::pack(Card { made: 9, ..card("New") }, Vec::new(), Some(&head(0.25))).unwrap();
        for model in [&old, &new] {
            models.save(model).unwrap();
        }
        assert_eq!(models.list_all().unwrap().len(), 4);
        std::fs::write(models.0.join("notes.safetensors"), b"no model").unwrap();
        assert!(models.list_all().is_err(), "it may be a model that cannot be read now");
        models.export(&model(0.75), &models.0.join("copied by hand.safetensors")).unwrap();
        models.export(&old, &models.0.join("twice.safetensors")).unwrap();
        let ids: Vec<_> = models.list().into_iter().map(|summary| summary.id).collect();
        assert_eq!(ids, [BUILT_IN, GENERAL, new.id.as_str(), old.id.as_str()]);
        assert!(ids.iter().all(|id| models.load(id).is_ok()));
    }
}
