//! Watches the open folder, so that what changes in it is found without being asked for.
//!
//! The folders are those that the last scan has entered, each watched by itself: none that is passed over takes one of the
//! system's watches. Many changes at once are told as one, once there is quiet; a file that is being written is waited for.
//! Where a file system tells of nothing, or the system allows no more watches, the folder is looked through now and then.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select, tick};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::mounts::Mounts;

/// Changes are told after so long without another one ...
const QUIET: Duration = Duration::from_millis(400);
/// ... or after this time, where they do not end.
const LONGEST: Duration = Duration::from_secs(5);
/// A file of whose closing nothing is heard is taken for complete after so long without a change.
const COMPLETE_AFTER: Duration = Duration::from_secs(2);
/// How often a folder is looked through that nothing is heard of.
const POLL_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Events that may wait; where there are more, it is enough to know that something has changed.
const MOST_WAITING: usize = 4096;

/// What is told of the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something has changed, or may have.
    Changed,
    /// The system allows no more watches: some folders are only looked through now and then.
    TooManyFolders,
}

/// A folder that is watched until this is dropped.
pub(crate) struct Watch {
    folders: Sender<Vec<PathBuf>>,
    pub(crate) news: Receiver<News>,
}

impl Watch {
    /// Watches nothing until it is told what.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let ((folders, to_watch), (sender, news)) = (bounded(4), bounded(1));
        std::thread::Builder::new().name("watch".into()).spawn(move || Watching::new(sender).run(&to_watch))?;
        Ok(Self { folders, news })
    }

    /// Watches these folders from now on.
    pub(crate) fn set_folders(&self, folders: Vec<PathBuf>) {
        // Where it is behind, the next scan tells it again.
        let _ = self.folders.try_send(folders);
    }
}

struct Watching {
    news: Sender<News>,
    watcher: Option<RecommendedWatcher>,
    events: Receiver<notify::Result<notify::Event>>,
    watched: HashSet<PathBuf>,
    is_first: bool,
    polls: bool,
    changes: Changes,
}

impl Watching {
    fn new(news: Sender<News>) -> Self {
        let (sender, events) = bounded(MOST_WAITING);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let tells_nothing = event.as_ref().is_ok_and(|event| {
                let is_close = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
                event.kind.is_access() && !is_close
            });
            // Where there is no room, those that wait are enough.
            if !tells_nothing && let Err(TrySendError::Disconnected(_)) = sender.try_send(event) {}
        });
        let watcher = watcher.inspect_err(|error| log::warn!("The folder cannot be watched: {error}")).ok();
        let polls = watcher.is_none();
        Self { news, watcher, events, watched: HashSet::new(), is_first: true, polls, changes: Changes::default() }
    }

    fn run(mut self, to_watch: &Receiver<Vec<PathBuf>>) {
        let (ticks, mut polled) = (tick(LOOK_EVERY), Instant::now());
        loop {
            let events = if self.watcher.is_some() { self.events.clone() } else { never() };
            select! {
                recv(to_watch) -> folders => match folders {
                    Ok(folders) => self.watch(folders),
                    Err(_) => return,
                },
                recv(events) -> event => match event {
                    Ok(Ok(event)) => self.changes.take(&event, Instant::now()),
                    Ok(Err(_)) | Err(_) => self.changes.something(Instant::now()),
                },
                recv(ticks) -> _ => {}
            }
            if self.polls && polled.elapsed() >= POLL_EVERY {
                polled = Instant::now();
                self.tell(News::Changed);
            }
            if self.changes.are_due(Instant::now()) {
                self.changes.told();
                polled = Instant::now();
                self.tell(News::Changed);
            }
        }
    }

    fn tell(&self, news: News) {
        // One that has not been heard yet says the same.
        let _ = self.news.try_send(news);
    }

    fn watch(&mut self, folders: Vec<PathBuf>) {
        let wanted: BTreeSet<PathBuf> = folders.into_iter().collect();
        let mounts = Mounts::read();
        let is_silent = |folder: &Path| mounts.of(folder).is_some_and(|mount| mount.is_silent());
        self.polls = self.watcher.is_none() || wanted.iter().any(|folder| is_silent(folder));
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.extract_if(|folder| !wanted.contains(folder)) {
            // It is watched no more where it is not there any more.
            let _ = watcher.unwatch(&gone);
        }
        let mut some_are_new = false;
        for folder in wanted {
            if self.watched.contains(&folder) || is_silent(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    // What was put there before is not heard of.
                    some_are_new |= !self.is_first || is_fresh(&folder);
                    self.watched.insert(folder);
                }
                Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                    self.polls = true;
                    let _ = self.news.send(News::TooManyFolders);
                    break;
                }
                // Deleted meanwhile: its own folder tells of that.
                Err(_) => {}
            }
        }
        self.is_first = false;
        if some_are_new {
            self.changes.something(Instant::now());
        }
    }
}

/// Whether something may have been put into a folder while it was being looked through.
fn is_fresh(folder: &Path) -> bool {
    let modified = folder.metadata().and_then(|metadata| metadata.modified()).ok();
    modified.and_then(|time| SystemTime::now().duration_since(time).ok()).is_some_and(|age| age < COMPLETE_AFTER)
}

/// What has been heard since changes were told the last time.
#[derive(Default)]
struct Changes {
    /// The first and the last one that can be told.
    since: Option<(Instant, Instant)>,
    /// Files that are being written, and when that was last heard of.
    writing: HashMap<PathBuf, Instant>,
}

impl Changes {
    fn something(&mut self, now: Instant) {
        let first = self.since.map_or(now, |(first, _)| first);
        self.since = Some((first, now));
    }

    fn take(&mut self, event: &notify::Event, now: Instant) {
        match event.kind {
            EventKind::Create(notify::event::CreateKind::File) | EventKind::Modify(ModifyKind::Data(_)) => {
                self.writing.extend(event.paths.iter().map(|path| (path.clone(), now)));
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                // Who opens a file to write, and does not, has changed nothing.
                let was_written = event.paths.iter().filter(|path| self.writing.remove(*path).is_some()).count() > 0;
                if was_written {
                    self.something(now);
                }
            }
            EventKind::Access(_) => {}
            _ => {
                event.paths.iter().for_each(|path| _ = self.writing.remove(path));
                self.something(now);
            }
        }
    }

    fn are_due(&mut self, now: Instant) -> bool {
        let before = self.writing.len();
        self.writing.retain(|_, heard| now.duration_since(*heard) < COMPLETE_AFTER);
        if self.writing.len() < before {
            self.something(now);
        }
        self.since
            .is_some_and(|(first, last)| now.duration_since(last) >= QUIET || now.duration_since(first) >= LONGEST)
    }

    fn told(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_changes_are_told_as_one_and_a_file_is_waited_for() {
        let (mut changes, start) = (Changes::default(), Instant::now());
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let event = |kind, path: &str| notify::Event::new(kind).add_path(path.into());
        let create = EventKind::Create(notify::event::CreateKind::File);
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let write = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        changes.take(&event(create, "a.jpg"), at(0));
        changes.take(&event(write, "a.jpg"), at(1900));
        assert!(!changes.are_due(at(2500)), "it is being written");
        changes.take(&event(close, "a.jpg"), at(2600));
        assert!(!changes.are_due(at(2700)), "there may be more");
        assert!(changes.are_due(at(3000)));
        changes.told();
        for number in 0..1000 {
            changes.take(&event(create, &number.to_string()), at(3000 + number));
            changes.take(&event(close, &number.to_string()), at(3000 + number));
            assert!(!changes.are_due(at(3000 + number)));
        }
        assert!(changes.are_due(at(4500)));
        changes.told();
        // Of a file without a closing.
        changes.take(&event(create, "b.jpg"), at(5000));
        assert!(!changes.are_due(at(6900)) && !changes.are_due(at(7100)) && changes.are_due(at(7600)));
        // Where changes do not end.
        changes.told();
        (0..60).for_each(|number| changes.take(&event(EventKind::Any, "c"), at(8000 + 100 * number)));
        assert!(changes.are_due(at(13_950)));
    }
}
