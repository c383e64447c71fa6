//! Training: from a folder of photos to a better model, with the proof that it is better.

pub mod report;
