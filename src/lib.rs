//! draft
pub mod catalog;
pub mod cli;
pub mod decode;
pub mod embed;
pub mod evaluate;
pub mod index;
pub mod ingest;
pub mod job;
pub mod library;
pub mod model;
pub mod photo;
pub mod query;
pub mod scan;
