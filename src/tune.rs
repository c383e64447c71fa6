//! How indexing shares this computer out: photos in a batch, and networks that work side by side. What is quickest
//! depends on caches and memory, so it is measured, once for each computer, network and version of the program.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::atomic_file::{self, Survives};
use crate::embed::{EmbedError, Embedder, ModelInfo};
use crate::job::Cancel;
use crate::library::Library;
use crate::model::NetworkInput;
use crate::system::cores;

/// Fewer photos are indexed before a measurement would pay.
const WORTH_IT: usize = 1000;
/// Photos that each network embeds for a measurement, after a batch that is not counted.
const PHOTOS: usize = 48;
/// What is not clearly quicker than the usual config is noise.
const CLEARLY: f64 = 1.05;

/// Networks that work side by side, and the photos that each embeds at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InferenceConfig {
    pub networks: usize,
    pub batch: usize,
}

impl InferenceConfig {
    /// Before anything was measured.
    pub(crate) fn usual(info: &ModelInfo) -> Self {
        Self { networks: info.parallel, batch: info.batch }
    }

    /// Threads for each network.
    pub fn threads(self) -> usize {
        (cores() / self.networks.max(1)).max(1)
    }
}

/// The best config that is known; measures it where `photos` are many and none is. A query that comes meanwhile is
/// answered first, as always.
///
/// # Errors
/// When the model fails.
pub fn inference_config(
    library: &Library,
    info: &ModelInfo,
    embedder: &Embedder,
    photos: usize,
    cancel: &Cancel,
) -> Result<InferenceConfig, EmbedError> {
    let file = library.speed_file();
    let key = format!("{} {} {} cores {}", env!("CARGO_PKG_VERSION"), info.architecture.id(), info.device, cores());
    let mut known = read(&file);
    // A file from elsewhere cannot ask for more than there is.
    let fits =
        |config: &InferenceConfig| (1..=info.parallel).contains(&config.networks) && (1..=1024).contains(&config.batch);
    if let Some(config) = known.get(&key).copied().filter(fits) {
        return Ok(config);
    }
    if photos < WORTH_IT {
        return Ok(InferenceConfig::usual(info));
    }
    let best = measure(info, embedder, cancel)?;
    if !cancel.is_cancelled() {
        known.insert(key, best);
        // Not kept, it is measured again.
        let text = serde_json::to_vec_pretty(&known).map_err(std::io::Error::other);
        if let Err(error) = text.and_then(|text| atomic_file::write(&file, &text, Survives::Kill)) {
            log::warn!("{} could not be written: {error}", file.display());
        }
    }
    Ok(best)
}

fn read(file: &Path) -> BTreeMap<String, InferenceConfig> {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// First the batch, with all networks; then whether half as many, each with twice the threads, are quicker.
fn measure(info: &ModelInfo, embedder: &Embedder, cancel: &Cancel) -> Result<InferenceConfig, EmbedError> {
    let mut best = (0.0, InferenceConfig::usual(info));
    let consider = |config: InferenceConfig, best: &mut (f64, InferenceConfig)| -> Result<(), EmbedError> {
        if !cancel.is_cancelled() {
            let rate = rate(embedder, config, PHOTOS.div_ceil(config.batch), cancel)?;
            log::info!("{config:?}: {rate:.0} photos a second");
            if rate > best.0 * CLEARLY && !cancel.is_cancelled() {
                *best = (rate, config);
            }
        }
        Ok(())
    };
    for batch in [info.batch, info.batch / 2, info.batch * 2, info.batch * 4] {
        consider(InferenceConfig { networks: info.parallel, batch: batch.max(1) }, &mut best)?;
    }
    if info.parallel > 1 {
        consider(InferenceConfig { networks: info.parallel / 2, batch: best.1.batch }, &mut best)?;
    }
    Ok(best.1)
}

/// Photos a second while each network embeds so many batches, after one that is not counted. Nonsense where it was
/// stopped.
///
/// # Errors
/// When the model fails.
pub fn rate(embedder: &Embedder, config: InferenceConfig, batches: usize, cancel: &Cancel) -> Result<f64, EmbedError> {
    let grey = NetworkInput::grey(embedder.info()?.architecture);
    let embed = || embedder.embed_batch_on(vec![grey.clone(); config.batch], config.threads());
    let side_by_side = |batches: usize| {
        std::thread::scope(|scope| {
            let work = || (0..batches).take_while(|_| !cancel.is_cancelled()).try_for_each(|_| embed().map(drop));
            let networks: Vec<_> = (0..config.networks).map(|_| scope.spawn(work)).collect();
            networks.into_iter().try_for_each(|network| network.join().unwrap_or(Err(EmbedError::Gone)))
        })
    };
    side_by_side(1)?;
    let begun = Instant::now();
    side_by_side(batches)?;
    Ok((config.networks * batches * config.batch) as f64 / begun.elapsed().as_secs_f64())
}

/// Photos a second of a model, with the usual config, within some two seconds: what people are told before they choose.
/// Nonsense where it was stopped.
///
/// # Errors
/// When the model fails.
pub(crate) fn quick_rate(embedder: &Embedder, cancel: &Cancel) -> Result<f64, EmbedError> {
    const ENOUGH: f64 = 1.0;
    let config = InferenceConfig::usual(&embedder.info()?);
    let once = rate(embedder, config, 1, cancel)?;
    // The batch that is not counted has taken as long.
    let batches = (ENOUGH * once / (config.networks * config.batch) as f64) as usize;
    if batches > 1 && !cancel.is_cancelled() { rate(embedder, config, batches, cancel) } else { Ok(once) }
}

/// A rate for people: slow networks embed less than one photo a second.
pub(crate) fn rate_text(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artefact::Model;
    use crate::device::DeviceChoice;

    #[test]
    fn it_is_measured_once_and_only_for_many_photos() {
        let data = tempfile::tempdir().unwrap();
        let library = Library { root: data.path().into(), folder: data.path().join("libraries/0") };
        let embedder = Embedder::start(DeviceChoice::Cpu, Model::built_in()).unwrap();
        let info = embedder.info().unwrap();
        let config = |photos| inference_config(&library, &info, &embedder, photos, &Cancel::default()).unwrap();

        assert_eq!(config(WORTH_IT - 1), InferenceConfig::usual(&info));
        assert!(!library.speed_file().exists());
        std::fs::write(library.speed_file(), b"{}").unwrap();
        let kept = data.path().join("kept");
        std::fs::hard_link(library.speed_file(), &kept).unwrap();
        let measured = config(WORTH_IT);
        assert_eq!(std::fs::read(kept).unwrap(), b"{}", "a file is replaced, not cut off and filled");
        assert!(measured.networks >= 1 && measured.networks <= info.parallel && measured.batch >= 1);

        // From now on what the file says holds, unless that is impossible.
        let text = std::fs::read_to_string(library.speed_file()).unwrap();
        let batch =
            |number: usize| text.replace(&format!("\"batch\": {}", measured.batch), &format!("\"batch\": {number}"));
        std::fs::write(library.speed_file(), batch(7)).unwrap();
        assert_eq!(config(1), InferenceConfig { batch: 7, ..measured });
        std::fs::write(library.speed_file(), batch(0)).unwrap();
        assert_eq!(config(1), InferenceConfig::usual(&info));
    }
}
