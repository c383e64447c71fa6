//! What models are called where their embeddings are kept.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Names a model, or a backbone by itself, in catalogs, files and on the command line: embeddings of one id can be
/// compared with each other. It follows from the numbers, see [`super::Model::pack`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelId(String);

impl ModelId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for ModelId {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// The catalog knows names of models only as text.
impl Deref for ModelId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl PartialEq<str> for ModelId {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for ModelId {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}
