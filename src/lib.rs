//! Florascope finds, in a folder of flower photos, those that look most like a given one.
//!
//! Data flows one way:
//!
//! ```text
//! photos on disk -> scan -> decode -> embed -> catalog (SQLite) -> index -> query -> grid
//! ```
//!
//! Training is a job beside that road:
//!
//! ```text
//! catalog (features, thumbnails, labels) -> data set -> split -> train -> evaluate -> model file
//!     -> the library embedded with it (ingest::embed_library) -> in use (active_model)
//! ```
//!
//! A network turns each photo into an embedding, a vector of length 1, such that photos of the same species lie close
//! together. Embeddings are kept in the library's catalog; the index answers which of them lie nearest to a query's.
//!
//! # Modules
//!
//! | module | what lives there | depends on |
//! |---|---|---|
//! | [`photo`] | the nouns: photo, path as bytes, content hash, embedding | - |
//! | [`metadata`] | bytes of a file, and its name -> when and where its photo was taken, the camera, the size | - |
//! | `pairs` | which raw file and which picture are one shot | metadata |
//! | `atomic_file` | files written whole or not at all | - |
//! | `system`, `text`, [`random`] | cores and clock; text of others made fit to be shown; pseudo-random numbers | - |
//! | `names` | the order of names as people expect it; which names are one | - |
//! | [`job`] | what every long work has in common: cancel, progress, outcome | - |
//! | [`library`] | where things lie on disk; who may write a library | photo |
//! | `mounts`, [`patience`] | which drives are where; questions to drives that may never answer | - |
//! | [`scan`] | folder -> files that are new, changed, gone, and an account of all that are no photos | catalog's nouns, decode's list of kinds |
//! | `watch` | tells when something in the open folder has changed | - |
//! | [`decode`] | bytes -> upright picture in sRGB, in confined processes; resizing; thumbnails. The only decode path | - |
//! | [`model`] | networks, heads, and their weights; weight files of others, read as data; libtorch's threads | libtorch |
//! | [`artefact`] | a trained model as one file, and how it was trained; weights of others made a model; the folder of all models | model, catalog's nouns |
//! | [`device`] | what the networks compute on: CPU or GPU | libtorch |
//! | [`embed`] | batches of pictures -> embeddings, on threads that own the networks | libtorch |
//! | [`catalog`] | photos, embeddings, thumbnails, problems. The only SQL | SQLite |
//! | [`index`] | nearest neighbours: exact, and beyond some 200,000 photos with an approximate index. The only Faiss | Faiss |
//! | [`query`] | query -> ranked photos; browsing; evaluation over a gallery | catalog, index, embed |
//! | [`identify`] | what is it: the name that the nearest photos give, how far to trust it, "nothing like it" | index |
//! | [`evaluate`] | recall@k, R-precision, MAP@R | - |
//! | [`ingest`] | the indexing job: scan, decode, embed, commit, in a bounded line of threads; embedding a library with another model | all the above |
//! | `compare` | several models side by side on a folder: accuracy and speed | embed, ingest, train's evaluation |
//! | [`tune`] | batch size and networks side by side, measured once a computer | embed |
//! | [`train`] | the training job: data set, samplers, losses, heads, networks, evaluation, checkpoints, watchdog | libtorch, catalog, artefact |
//! | [`active_model`] | the model that a library uses, the change to another, and what no model needs any more | catalog, artefact, ingest |
//! | `libraries` | all libraries as a list; what nothing uses any more | active_model, catalog, artefact |
//! | `moved` | a library whose folder lies elsewhere now, known again by its contents | catalog, library |
//! | [`worker`] | owns the open library: loads it, runs its jobs, answers queries | ingest, train, query |
//! | [`cli`] | the same without a window | ingest, train, query |
//! | [`pictures`] | thumbnails, large pictures and their tiles for the screen, on threads of their own | catalog, decode |
//! | [`garden`] | the sample garden: flower pictures that the program draws itself | - |
//! | [`logging`], [`crash`] | the log; reports of what should not happen. Nothing is sent | about |
//! | `about` | version, system, what the program is built on | catalog |
//! | [`settings`] | what the window remembers | - |
//! | [`language`] | the window's language: translations of its texts, and of what other rooms say | - |
//! | [`desktop`] | file dialogs, file manager, the system's light or dark; what other programs hand over: drops, the clipboard | - |
//! | [`command`] | what a user can do: text, explanation, shortcut | egui |
//! | [`app`], [`ui`] | the window | egui, worker |
//!
//! # What always holds
//!
//! - Only `main`, [`app`], [`command`] and [`ui`] know egui; workers get a plain wake-up closure.
//! - Only [`device`], [`model`], [`embed`] and [`train`] know libtorch, only [`catalog`] SQL, only [`index`] Faiss.
//! - The catalog is the truth. The index is built from it at every start; thumbnails and the approximate index on disk can
//!   be thrown away. Each embedding names the model that made it, and belongs to a content rather than a path.
//! - The thread that draws never decodes, queries or waits.
//! - A job ends as done, cancelled or failed; what it finished is kept. What is finished is committed every second.
//! - A new model is used only where it proved better on photos that it had not learnt from, unless the user says
//!   otherwise; until the library is embedded with it, the old one answers.
//! - Files of others are decoded in processes that can open, write and send nothing ([`decode::process`]); whatever one of
//!   them does costs its file only.
//! - A photo that cannot be read is a row in the problem list, never the end of a job.
//! - Nothing of the user's is ever written to, moved or deleted, and nothing leaves the machine: there is no network
//!   code in the program.

// Public is what `main`, a test or a benchmark uses; among all the rest the compiler finds what nobody does.
#![cfg_attr(not(test), warn(unreachable_pub))]

mod about;
pub mod active_model;
pub mod app;
pub mod artefact;
mod atomic_file;
pub mod catalog;
pub mod cli;
mod command;
mod compare;
pub mod crash;
pub mod decode;
pub mod desktop;
pub mod device;
mod difference_hash;
pub mod embed;
mod evaluate;
pub mod filter;
pub mod garden;
pub mod identify;
pub mod index;
pub mod ingest;
pub mod job;
mod kept_files;
pub mod language;
mod libraries;
pub mod library;
pub mod logging;
pub mod metadata;
pub mod model;
mod mounts;
mod moved;
mod names;
mod pairs;
pub mod patience;
pub mod photo;
mod pictures;
pub mod query;
pub mod random;
pub mod scan;
mod searches;
pub mod settings;
mod system;
mod text;
pub mod train;
pub mod tune;
pub mod ui;
mod watch;
pub mod worker;
