use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{StatementStatus, TransactionBehavior};

use super::embeddings::FEATURES_TO_PROJECT;
use super::schema::{FILE, MIGRATIONS, THUMBNAIL_FILE, THUMBNAIL_SCHEMA};
use super::*;

const M: ModelKey = ModelKey { name: "m", backbone: "m", metric: Metric::Cosine };

fn photo(path: &str, content: u8) -> NewPhoto {
    NewPhoto {
        path: PathBuf::from(path),
        stamp: FileStamp { size: 1, modified: 2, changed: None },
        content: ContentHash([content; 16]),
        embedded: Embedded { embedding: Embedding::normalised(vec![1.0, f32::from(content)]).unwrap(), features: None },
        thumbnail: Some(vec![content]),
        damage: None,
        metadata: Metadata::default(),
    }
}

fn photos_of(changes: &Changes) -> Vec<Photo> {
    changes.added.iter().map(|(photo, _)| photo.clone()).collect()
}

#[test]
fn what_is_written_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let problem = Problem { path: "bad.jpg".into(), reason: "The file is empty".into() };
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let written =
        catalog.write(M, vec![photo("a/1.jpg", 1), photo("a/2.jpg", 2)], &[problem.clone().of_any_state()]).unwrap();
    drop(catalog);

    let catalog = Catalog::open_read_only(folder.path()).unwrap().unwrap();
    let stored = catalog.photos_after(PhotoId(0), 10, M).unwrap();
    assert_eq!(stored.iter().map(|(photo, _)| photo.clone()).collect::<Vec<_>>(), photos_of(&written));
    let embedding = stored[1].1.as_ref().unwrap().to_embedding(Metric::Cosine).unwrap();
    let vector = embedding.values();
    assert!((vector[1] / vector[0] - 2.0).abs() < 1e-2);
    assert_eq!((catalog.problems().unwrap(), catalog.problem_count().unwrap()), (vec![problem], 1));
    assert_eq!(catalog.thumbnail(ContentHash([2; 16])).unwrap(), Some(vec![2]));
    assert!(catalog.is_sound().unwrap());
}

#[test]
fn a_changed_photo_gets_a_new_id_and_a_moved_one_keeps_its_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let before = catalog.write(M, vec![photo("1.jpg", 1)], &[]).unwrap();
    let after = catalog.write(M, vec![photo("1.jpg", 2)], &[]).unwrap();
    assert_eq!(after.removed, [before.added[0].0.id]);
    assert_eq!(catalog.photo_count().unwrap(), 1);

    catalog.write(M, vec![photo("moved.jpg", 2)], &[]).unwrap();
    catalog.remove(&[after.added[0].0.id], &[]).unwrap();
    catalog.forget_unused().unwrap();
    assert!(catalog.embedding_of(ContentHash([2; 16]), M).unwrap().is_some());
    assert!(catalog.embedding_of(ContentHash([1; 16]), M).unwrap().is_none());
}

#[test]
fn a_photo_keeps_its_id_while_its_content_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let before = catalog.write(M, vec![photo("1.jpg", 1), photo("2.jpg", 2)], &[]).unwrap();
    let touched = FileStamp { size: 1, modified: 7, changed: None };
    let again = vec![NewPhoto { stamp: touched, ..photo("1.jpg", 1) }];
    let after = catalog.write(ModelKey::features("other"), again, &[]).unwrap();
    let unchanged = Photo { modified: touched.modified, ..before.added[0].0.clone() };
    assert_eq!((after.removed.as_slice(), &after.added[0].0), (&[][..], &unchanged));
    assert_eq!(catalog.known_files("m").unwrap()[b"1.jpg".as_slice()].stamp, touched);
    assert_eq!(catalog.photo_count().unwrap(), 2);
}

#[test]
fn a_clean_up_that_fails_is_undone_and_the_next_write_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let written = catalog.write(M, vec![photo("1.jpg", 1)], &[]).unwrap();
    catalog.remove(&[written.added[0].0.id], &[]).unwrap();
    let thumbnails = Connection::open(folder.path().join(THUMBNAIL_FILE)).unwrap();
    let fails = "CREATE TRIGGER fails BEFORE DELETE ON thumbnails BEGIN SELECT RAISE(ABORT, 'not now'); END";
    thumbnails.execute_batch(fails).unwrap();
    let error = catalog.forget_unused().unwrap_err();
    assert!(error.to_string().contains("not now"), "{error}");
    assert!(catalog.embedding_of(ContentHash([1; 16]), M).unwrap().is_some(), "all or nothing");
    catalog.write(M, vec![photo("2.jpg", 2)], &[]).unwrap();
    thumbnails.execute_batch("DROP TRIGGER fails").unwrap();
    catalog.forget_unused().unwrap();
    assert!(catalog.embedding_of(ContentHash([1; 16]), M).unwrap().is_none());
    assert!(catalog.embedding_of(ContentHash([2; 16]), M).unwrap().is_some());
}

/// So many photos with features of a backbone, of this many values each.
fn with_features(folder: &Path, photos: u32, dimension: usize) -> Catalog {
    let mut catalog = Catalog::open(folder).unwrap();
    let new = |number: u32| NewPhoto {
        path: format!("{number}.jpg").into(),
        content: ContentHash::of(&number.to_le_bytes()),
        embedded: Embedded { embedding: Embedding::normalised(vec![1.0; dimension]).unwrap(), features: None },
        thumbnail: None,
        damage: None,
        ..photo("", 0)
    };
    for first in (0..photos).step_by(4096) {
        catalog.write(M, (first..photos.min(first + 4096)).map(new).collect(), &[]).unwrap();
    }
    catalog
}

const HEAD: ModelKey = ModelKey { name: "head", backbone: "m", metric: Metric::Cosine };

/// Gives all that have features an embedding of [`HEAD`], as the indexing job does: how many got one, and what SQLite
/// did to find them, in steps of its machine.
fn project_all(catalog: &mut Catalog, chunk: usize) -> (usize, u64) {
    let (mut after, mut projected, mut steps) = (None, 0, 0);
    loop {
        let found = catalog.features_to_project(HEAD, after, chunk).unwrap();
        let statement = catalog.connection.prepare_cached(FEATURES_TO_PROJECT).unwrap();
        steps += statement.reset_status(StatementStatus::VmStep) as u64;
        drop(statement);
        let Some((last, _)) = found.last() else { return (projected, steps) };
        after = Some(*last);
        let usable = found.into_iter().filter_map(|(content, embedding)| Some((content, embedding?)));
        let embedded: Vec<_> =
            usable.map(|(content, embedding)| (content, Embedded { embedding, features: None })).collect();
        catalog.add_embeddings(HEAD, &embedded).unwrap();
        projected += embedded.len();
    }
}

#[test]
fn features_that_are_unusable_do_not_hide_those_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = with_features(folder.path(), 100, 4);
    // More of them than are asked for at a time, and the first in order.
    catalog
        .connection
        .execute_batch(
            "UPDATE embeddings SET vector = zeroblob(8)
             WHERE content IN (SELECT content FROM embeddings ORDER BY content LIMIT 25)",
        )
        .unwrap();
    assert_eq!(project_all(&mut catalog, 10).0, 75);
    assert_eq!(catalog.contents_to_embed(HEAD).unwrap().len(), 25);
}

#[test]
fn twice_the_photos_take_twice_the_work_to_find() {
    let steps = |photos: u32| {
        let folder = tempfile::tempdir().unwrap();
        let (projected, steps) = project_all(&mut with_features(folder.path(), photos, 4), 50);
        assert_eq!(projected, photos as usize);
        steps
    };
    let (once, twice) = (steps(1000), steps(2000));
    assert!(twice < once * 5 / 2, "{once} steps for 1,000 photos, {twice} for 2,000");
}

/// `cargo test --lib measure_the_projection -- --ignored --nocapture`: SELECT and INSERT at sizes of real libraries.
#[test]
#[ignore = "a measurement, of minutes and gigabytes"]
fn measure_the_projection() {
    for photos in [20_000, 40_000, 80_000, 100_000, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let mut catalog = with_features(folder.path(), photos, 1280);
        let began = Instant::now();
        let (mut after, mut select) = (None, Duration::ZERO);
        loop {
            let asked = Instant::now();
            let found = catalog.features_to_project(HEAD, after, 2048).unwrap();
            select += asked.elapsed();
            let Some((last, _)) = found.last() else { break };
            after = Some(*last);
            let small = Embedding::normalised(vec![1.0; 128]).unwrap();
            let embedded = Embedded { embedding: small, features: None };
            let embedded: Vec<_> = found.iter().map(|(content, _)| (*content, embedded.clone())).collect();
            catalog.add_embeddings(HEAD, &embedded).unwrap();
        }
        println!("{photos} photos: SELECT {select:.2?} of {:.2?}", began.elapsed());
    }
}

fn sizes(folder: &Path) -> (i64, u64) {
    let catalog = Catalog::open_read_only(folder).unwrap().unwrap();
    let rows = catalog.connection.query_row("SELECT count(*) FROM embeddings", [], |row| row.get(0)).unwrap();
    (rows, std::fs::metadata(folder.join(FILE)).unwrap().len())
}

#[test]
fn a_file_shrinks_when_a_model_is_forgotten_also_one_of_an_older_version() {
    for old in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        if old {
            let connection = Connection::open(folder.path().join(FILE)).unwrap();
            connection.execute_batch(MIGRATIONS[0]).unwrap();
            connection.pragma_update(None, "user_version", 1).unwrap();
        }
        let mut catalog = with_features(folder.path(), 300, 1280);
        let embedding = Embedding::normalised(vec![1.0; 1280]).unwrap();
        let embedded = Embedded { embedding, features: None };
        let contents = catalog.contents_to_embed(ModelKey::features("other")).unwrap();
        for key in ["other", "second"].map(ModelKey::features) {
            let embedded: Vec<_> = contents.iter().map(|(content, _)| (*content, embedded.clone())).collect();
            catalog.add_embeddings(key, &embedded).unwrap();
        }
        drop(catalog);
        let before = sizes(folder.path());
        let mut catalog = Catalog::open(folder.path()).unwrap();
        // Somebody reads meanwhile.
        let reader = Catalog::open_read_only(folder.path()).unwrap().unwrap();
        assert_eq!(reader.photo_count().unwrap(), 300);
        for (forgotten, name) in ["other", "second"].into_iter().enumerate() {
            catalog.forget_models(&[name.into()]).unwrap();
            let after = sizes(folder.path());
            assert_eq!(after.0, 600 - 300 * forgotten as i64);
            assert!(after.1 < before.1 * (5 - 2 * forgotten as u64) / 6, "{before:?} -> {after:?}");
        }
        assert_eq!(catalog.models().unwrap(), ["m"]);
        assert!(catalog.is_sound().unwrap());
        assert_eq!(reader.photo_count().unwrap(), 300);
    }
}

#[test]
fn an_embedding_of_another_model_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    catalog.write(ModelKey::features("old"), vec![photo("1.jpg", 1)], &[]).unwrap();
    assert!(catalog.known_files("old").unwrap()[b"1.jpg".as_slice()].embedded);
    assert!(!catalog.known_files("new").unwrap()[b"1.jpg".as_slice()].embedded);
    assert!(catalog.photos_after(PhotoId(0), 10, ModelKey::features("new")).unwrap()[0].1.is_none());
}

#[test]
fn features_are_kept_beside_the_embeddings_of_a_head() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    catalog.write(M, vec![photo("1.jpg", 1), photo("2.jpg", 2)], &[]).unwrap();
    let to_project = |catalog: &Catalog, model| catalog.features_to_project(model, None, 10).unwrap();
    let found = to_project(&catalog, HEAD);
    assert_eq!(found.len(), 2);
    let (content, embedding) = found[0].clone();
    let embedded = Embedded { embedding: embedding.unwrap(), features: None };
    catalog.add_embeddings(HEAD, &[(content, embedded)]).unwrap();
    assert_eq!(to_project(&catalog, HEAD).len(), 1);
    let mut third = photo("3.jpg", 3);
    third.embedded.features = Some(third.embedded.embedding.clone());
    catalog.write(HEAD, vec![third], &[]).unwrap();
    assert!(catalog.embedding_of(ContentHash([3; 16]), M).unwrap().is_some());
    assert!(to_project(&catalog, M).is_empty());
    catalog.forget_models(&["head".into()]).unwrap();
    assert_eq!(to_project(&catalog, HEAD).len(), 3);
}

#[test]
fn thumbnails_can_be_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    Catalog::open(folder.path()).unwrap().write(M, vec![photo("1.jpg", 1)], &[]).unwrap();
    std::fs::remove_file(folder.path().join(THUMBNAIL_FILE)).unwrap();
    let catalog = Catalog::open_read_only(folder.path()).unwrap().unwrap();
    assert_eq!(catalog.photo_count().unwrap(), 1);
    assert_eq!(catalog.thumbnail(ContentHash([1; 16])).unwrap(), None);
    assert!(!folder.path().join(THUMBNAIL_FILE).exists(), "a reader makes no file");
}

#[test]
fn a_reader_tells_what_is_not_there_yet_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Catalog::open_read_only(folder.path()).unwrap().is_none());
    // As another process leaves it that is just making it.
    std::fs::write(folder.path().join(FILE), b"").unwrap();
    assert!(Catalog::open_read_only(folder.path()).unwrap().is_none());
    Catalog::open(folder.path()).unwrap();
    let mut reader = Catalog::open_read_only(folder.path()).unwrap().unwrap();
    assert!(reader.write(M, vec![photo("1.jpg", 1)], &[]).is_err());
    assert!(reader.connection.pragma_update(None, "query_only", false).is_ok());
    assert!(reader.write(M, vec![photo("1.jpg", 1)], &[]).is_err(), "whatever it is asked");
}

/// Locks one file of a catalog for writing and gives it free after a while, as another process may.
fn locked_for_a_while(file: &Path) -> std::thread::JoinHandle<()> {
    let mut connection = Connection::open(file).unwrap();
    let (locked, wait) = std::sync::mpsc::sync_channel(1);
    let lock = move || {
        let _transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        locked.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    };
    let lock = std::thread::Builder::new().name("lock".into()).spawn(lock).unwrap();
    wait.recv().unwrap();
    lock
}

#[test]
fn opening_and_writing_wait_for_the_locks_of_others() {
    let folder = tempfile::tempdir().unwrap();
    // As left by a process that was killed while it made the catalog: not in WAL mode yet.
    let thumbnails = folder.path().join(THUMBNAIL_FILE);
    Connection::open(&thumbnails).unwrap().execute_batch(&THUMBNAIL_SCHEMA.replace("thumbnails.", "")).unwrap();
    for file in [FILE, THUMBNAIL_FILE] {
        let lock = locked_for_a_while(&folder.path().join(file));
        Catalog::open(folder.path()).unwrap();
        lock.join().unwrap();
    }
    let mut catalog = Catalog::open(folder.path()).unwrap();
    for (file, content) in [(FILE, 1), (THUMBNAIL_FILE, 2)] {
        let lock = locked_for_a_while(&folder.path().join(file));
        catalog.write(M, vec![photo("1.jpg", content)], &[]).unwrap();
        lock.join().unwrap();
    }
}

#[test]
fn a_catalog_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(folder.path()).unwrap();
    catalog.connection.pragma_update(None, "user_version", MIGRATIONS.len() as i64 + 1).unwrap();
    drop(catalog);
    assert!(matches!(Catalog::open(folder.path()), Err(CatalogError::TooNew(_))));
}

#[test]
fn what_is_known_of_a_content_is_there_after_opening_and_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let metadata = Metadata {
        taken: crate::metadata::Taken::from_iso("2024-05-12T10:15:30.25+02:00"),
        camera: Some("Canon EOS R5".into()),
        size: Some((6000, 4000)),
        place: crate::metadata::Place::new(-33.51, 151.205),
    };
    let described = NewPhoto { metadata: metadata.clone(), ..photo("IMG_20200101_000000.jpg", 1) };
    let written = catalog.write(M, vec![described, photo("IMG_20200101_000000 (1).jpg", 2)], &[]).unwrap();
    drop(catalog);
    let mut catalog = Catalog::open(folder.path()).unwrap();
    let stored = catalog.photos_after(PhotoId(0), 10, M).unwrap();
    assert_eq!(stored.iter().map(|(photo, _)| photo.clone()).collect::<Vec<_>>(), photos_of(&written));
    assert_eq!(stored[0].0.metadata, metadata);
    // The name tells what the file does not.
    assert_eq!(stored[1].0.metadata.taken.unwrap().to_string(), "2020-01-01T00:00:00");
    catalog.remove(&[stored[0].0.id], &[]).unwrap();
    catalog.forget_unused().unwrap();
    let rows: i64 = catalog.connection.query_row("SELECT count(*) FROM metadata", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn contents_of_an_older_version_are_described_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut catalog = Catalog::open(folder.path()).unwrap();
    catalog.write(M, vec![photo("a.jpg", 1), photo("b.jpg", 1), photo("c.jpg", 2)], &[]).unwrap();
    catalog.connection.execute_batch("DELETE FROM metadata").unwrap();
    assert_eq!(catalog.undescribed_count().unwrap(), 2);
    let first = catalog.undescribed_after(None, 1).unwrap();
    assert_eq!((first.len(), first[0].content), (1, ContentHash([1; 16])));
    let metadata = Metadata { size: Some((4, 3)), ..Metadata::default() };
    let photos = catalog.describe(&[(first[0].content, metadata.clone())]).unwrap();
    assert_eq!(photos.len(), 2);
    assert!(photos.iter().all(|photo| photo.metadata == metadata));
    let rest = catalog.undescribed_after(Some(first[0].content), 10).unwrap();
    assert_eq!(rest.iter().map(|one| one.path.clone()).collect::<Vec<_>>(), [PathBuf::from("c.jpg")]);
    assert_eq!(catalog.undescribed_count().unwrap(), 1);
}
