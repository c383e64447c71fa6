//! Safetensors files: tensors in and out of them, and their headers without the numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, View};
use serde::Deserialize;

/// The description of our largest model has 30 KB.
const MAX_HEADER_BYTES: u64 = 8 << 20;

/// One named tensor of 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>().into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

/// Numbers of 32 bits as they lie in such a file.
pub fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

/// The size of a safetensors file, and its header: all but the numbers.
///
/// # Errors
/// When the file cannot be read.
pub fn read_header(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let mut header = Vec::new();
    let size = file.metadata()?.len();
    file.take(u64::from_le_bytes(length).min(MAX_HEADER_BYTES)).read_to_end(&mut header)?;
    Ok((size, header))
}

/// What the header of a safetensors file says besides names and shapes.
///
/// # Errors
/// When it is no such header.
pub fn metadata_in(header: &[u8]) -> serde_json::Result<Option<HashMap<String, String>>> {
    #[derive(Deserialize)]
    struct Header {
        #[serde(rename = "__metadata__")]
        metadata: Option<HashMap<String, String>>,
    }
    serde_json::from_slice::<Header>(header).map(|header| header.metadata)
}
