//! What can be wrong with the bytes of a weight file.

use crate::text::sanitise_line;

/// Why the bytes of a file are no weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightFormatError {
    #[error(
        "This is no file of weights, but {0}. Florascope reads .safetensors files and PyTorch's state dicts (.pt, .pth)"
    )]
    NoWeights(&'static str),
    #[error("The file is damaged or of a kind that Florascope does not read: {0}")]
    Damaged(String),
    #[error(
        "The file wants to call {0}; only tensors are read, and nothing in the file was run. Save the network's state dict alone"
    )]
    Refused(String),
}

/// A name out of a file, which may be anything, fit to be shown.
pub(crate) fn short(name: &str) -> String {
    sanitise_line(name, 60)
}
