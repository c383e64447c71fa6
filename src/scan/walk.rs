//! The way through a folder: which files are there, and how they are stamped.
//!
//! Several threads ask the disk at once, for a drive in the network takes its time for each answer. One that does not
//! answer at all is left behind with its thread, and the walk goes on with the rest.
//!
//! What a link leads to is looked at after all that lies in the folder itself, in the order of the links' names: so it does
//! not depend on the threads by which way a photo is found that can be reached in two.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::ScanError;
use super::account::{Account, PlainPath};
use super::kinds::{Kind, OtherKind, is_passed_over, kind_of};
use crate::catalog::{FileStamp, Problem};
use crate::decode::{DecodeError, HEAD, is_picture};
use crate::job::Cancel;
use crate::patience::{LOOK_EVERY, patience};

/// Questions that are asked at once.
const THREADS: usize = 8;
/// Files that one question asks of.
const CHUNK: usize = 256;
/// After so many questions without an answer a drive is asked no more.
const MOST_STALLS: usize = 3;

/// A folder by the path that it is shown with, relative to the root, and by the path without links.
struct Folder {
    shown: PathBuf,
    real: PathBuf,
}

/// A question to the disk.
#[derive(Clone)]
enum Question {
    List(Arc<Folder>),
    Stat(Files),
    /// Of files whose names do not tell.
    Sniff(Files),
    /// What a link leads to.
    Follow(PathBuf),
}

#[derive(Clone)]
struct Files {
    paths: Arc<[PathBuf]>,
    /// Which of them is being asked of.
    at: Arc<AtomicUsize>,
}

impl Files {
    fn new(paths: &[PathBuf]) -> Self {
        Self { paths: paths.into(), at: Arc::default() }
    }

    fn each<T>(&self, ask: impl Fn(&Path) -> T) -> Vec<T> {
        let asked = self.paths.iter().enumerate().map(|(number, path)| {
            self.at.store(number, Ordering::Relaxed);
            ask(path)
        });
        asked.collect()
    }
}

enum Answer {
    Listing(Arc<Folder>, io::Result<Listing>),
    Stamps(Files, Vec<io::Result<FileStamp>>),
    Pictures(Files, Vec<bool>),
    Target(PathBuf, io::Result<Target>),
}

/// What lies in a folder.
#[derive(Default)]
struct Listing {
    folders: Vec<OsString>,
    links: Vec<OsString>,
    files: Vec<(OsString, Kind)>,
}

/// What a link leads to.
pub(super) struct Target {
    pub(super) real: PathBuf,
    is_folder: bool,
    is_file: bool,
}

fn answer(root: &Path, question: Question) -> Answer {
    match question {
        Question::List(folder) => {
            let listing = list(&folder.real);
            Answer::Listing(folder, listing)
        }
        Question::Stat(files) => {
            let stamps = files.each(|path| Ok(FileStamp::from(&std::fs::metadata(root.join(path))?)));
            Answer::Stamps(files, stamps)
        }
        Question::Sniff(files) => {
            let pictures = files.each(|path| begins_as_picture(&root.join(path)).unwrap_or(false));
            Answer::Pictures(files, pictures)
        }
        Question::Follow(link) => {
            let follow = || {
                let real = root.join(&link).canonicalize()?;
                let kind = std::fs::metadata(&real)?;
                Ok(Target { real, is_folder: kind.is_dir(), is_file: kind.is_file() })
            };
            let target = follow();
            Answer::Target(link, target)
        }
    }
}

fn list(folder: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            listing.folders.push(name);
        } else if kind.is_symlink() {
            listing.links.push(name);
        } else {
            let by_name = kind_of(&name);
            let is_hidden = by_name == Kind::Other(OtherKind::Hidden);
            // Pipes, sockets and devices are nothing to be read.
            let kind = if kind.is_file() || is_hidden { by_name } else { Kind::Other(OtherKind::Other) };
            listing.files.push((name, kind));
        }
    }
    Ok(listing)
}

fn begins_as_picture(path: &Path) -> io::Result<bool> {
    let mut head = Vec::with_capacity(HEAD);
    std::fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(is_picture(&head))
}

/// What a walk has found.
#[derive(Default)]
pub(super) struct Found {
    /// Files that are photos by their names.
    pub(super) photos: Vec<(PathBuf, FileStamp)>,
    /// Files whose names do not tell what they are.
    pub(super) unknown: Vec<(PathBuf, FileStamp)>,
    pub(super) problems: Vec<Problem>,
    /// What was given up because its drive does not answer.
    pub(super) stalled: Vec<Problem>,
    /// Folders and files that could not be looked at: what is known of them stays.
    pub(super) unread: Vec<PathBuf>,
    /// Links that lead out of the folder, or nowhere.
    pub(super) links: HashMap<PathBuf, io::Result<Target>>,
    pub(super) account: Account,
    /// All folders that were entered, without links.
    pub(super) folders: Vec<PathBuf>,
}

impl Found {
    pub(super) fn is_unread(&self, path: &Path) -> bool {
        self.unread.iter().any(|unread| path.starts_with(unread))
    }
}

type Channel<T> = (Sender<T>, Receiver<T>);

/// Threads that answer questions.
pub(super) struct Walk<'a> {
    root: Arc<Path>,
    cancel: &'a Cancel,
    seen: &'a mut dyn FnMut(u64),
    /// Where other drives are mounted within the root.
    drives: Vec<PathBuf>,
    stalls: HashMap<PathBuf, usize>,
    waiting: VecDeque<Question>,
    /// By the number of the question: when it was asked.
    running: HashMap<u64, (Instant, Question)>,
    asked: u64,
    questions: Channel<(u64, Question)>,
    answers: Channel<(u64, Answer)>,
    /// Links whose ends have to be looked for.
    links: Vec<PathBuf>,
    targets: Vec<(PathBuf, Target)>,
    pictures: Vec<(PathBuf, bool)>,
    /// Folders out of the root that links lead to, without links.
    followed: HashSet<PathBuf>,
    /// Files whose stamps are being asked for, by whether they are photos by their names.
    kinds: HashMap<PathBuf, Kind>,
    found: Found,
}

impl<'a> Walk<'a> {
    /// `drives` are the places of other drives within the root, relative to it.
    pub(super) fn new(
        root: &Path,
        drives: Vec<PathBuf>,
        cancel: &'a Cancel,
        seen: &'a mut dyn FnMut(u64),
    ) -> io::Result<Self> {
        let walk = Self {
            root: root.into(),
            cancel,
            seen,
            drives,
            stalls: HashMap::new(),
            waiting: VecDeque::new(),
            running: HashMap::new(),
            asked: 0,
            questions: bounded(THREADS),
            answers: bounded(THREADS),
            links: Vec::new(),
            targets: Vec::new(),
            pictures: Vec::new(),
            followed: HashSet::new(),
            kinds: HashMap::new(),
            found: Found::default(),
        };
        (0..THREADS).try_for_each(|_| walk.start_thread())?;
        Ok(walk)
    }

    fn start_thread(&self) -> io::Result<()> {
        let (root, questions, answers) = (Arc::clone(&self.root), self.questions.1.clone(), self.answers.0.clone());
        let work = move || {
            for (number, question) in questions {
                if answers.send((number, answer(&root, question))).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("scan".into()).spawn(work).map(drop)
    }

    /// Goes through the folder.
    pub(super) fn run(&mut self) -> Result<(), ScanError> {
        let root = Folder { shown: PathBuf::new(), real: self.root.to_path_buf() };
        self.ask(Question::List(Arc::new(root)))?;
        let mut files = Vec::new();
        while !self.links.is_empty() {
            let mut links = std::mem::take(&mut self.links);
            links.sort_unstable();
            self.waiting.extend(links.into_iter().map(Question::Follow));
            self.work()?;
            let mut targets = std::mem::take(&mut self.targets);
            targets.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            for (link, target) in targets {
                if target.is_folder {
                    self.follow_folder(link, target)?;
                } else {
                    files.push((link, target));
                }
            }
        }
        self.follow_files(files)
    }

    /// The files whose names do not tell what they are.
    pub(super) fn take_unknown(&mut self) -> Vec<(PathBuf, FileStamp)> {
        std::mem::take(&mut self.found.unknown)
    }

    /// Which of these files begin as pictures do; those that could not be opened do not.
    pub(super) fn sniff(&mut self, files: &[PathBuf]) -> Result<Vec<(PathBuf, bool)>, ScanError> {
        self.waiting.extend(files.chunks(CHUNK).map(|files| Question::Sniff(Files::new(files))));
        self.work()?;
        Ok(std::mem::take(&mut self.pictures))
    }

    /// What was found; the threads end.
    pub(super) fn end(self) -> Found {
        self.found
    }

    fn follow_folder(&mut self, link: PathBuf, target: Target) -> Result<(), ScanError> {
        let name = link.file_name().unwrap_or_default();
        if is_passed_over(name) {
            self.found.account.passed_over.push(PlainPath(link));
        } else if let Some(inside) = self.in_root(&target.real) {
            if link.starts_with(&inside) {
                self.found.problems.push(Problem { path: link, reason: leads_back(&inside) });
            } else {
                self.found.account.count(OtherKind::Links);
            }
        } else if self.is_followed(&target.real) {
            self.found.account.count(OtherKind::Links);
        } else {
            self.followed.insert(target.real.clone());
            self.drives.push(link.clone());
            let folder = Folder { shown: link.clone(), real: target.real.clone() };
            self.found.links.insert(link, Ok(target));
            self.ask(Question::List(Arc::new(folder)))?;
        }
        Ok(())
    }

    fn follow_files(&mut self, mut links: Vec<(PathBuf, Target)>) -> Result<(), ScanError> {
        links.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let mut reached = HashSet::new();
        let mut photos = Vec::new();
        for (link, target) in links {
            if !target.is_file {
                self.found.account.count(OtherKind::Other);
            } else if self.in_root(&target.real).is_some()
                || self.is_followed(&target.real)
                || !reached.insert(target.real)
            {
                self.found.account.count(OtherKind::Links);
            } else {
                let kind = kind_of(link.file_name().unwrap_or_default());
                self.take_file(link, kind, &mut photos);
            }
        }
        self.stat(&photos);
        self.work()
    }

    /// Where a path without links lies in the root, if it does and if all of that is looked through.
    fn in_root(&self, real: &Path) -> Option<PathBuf> {
        let inside = real.strip_prefix(&self.root).ok()?;
        is_looked_through(inside, real).then(|| inside.to_owned())
    }

    fn is_followed(&self, real: &Path) -> bool {
        self.followed.iter().any(|folder| real.strip_prefix(folder).is_ok_and(|inside| is_looked_through(inside, real)))
    }

    fn ask(&mut self, question: Question) -> Result<(), ScanError> {
        self.waiting.push_back(question);
        self.work()
    }

    /// Has all questions answered, and those that follow from the answers.
    fn work(&mut self) -> Result<(), ScanError> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(ScanError::Stopped);
            }
            while self.running.len() < THREADS
                && let Some(question) = self.waiting.pop_front()
            {
                if self.has_stalled(&question) {
                    self.leave_out(&question);
                    continue;
                }
                self.asked += 1;
                self.running.insert(self.asked, (Instant::now(), question.clone()));
                // There is room for what is running.
                let _ = self.questions.0.send((self.asked, question));
            }
            if self.running.is_empty() {
                return Ok(());
            }
            match self.answers.1.recv_timeout(LOOK_EVERY) {
                // One that was given up may be answered after all: too late.
                Ok((number, answer)) => {
                    if self.running.remove(&number).is_some() {
                        self.take(answer)?;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.give_up_late_ones(patience())?;
        }
    }

    fn give_up_late_ones(&mut self, patience: Duration) -> Result<(), ScanError> {
        let late = self.running.iter().filter(|(_, (asked, _))| asked.elapsed() >= patience);
        let late: Vec<u64> = late.map(|(number, _)| *number).collect();
        for number in late {
            let Some((_, question)) = self.running.remove(&number) else { continue };
            // Its thread is lost to us.
            self.start_thread().map_err(ScanError::Thread)?;
            let drive = self.drive_of(&question);
            let stalls = self.stalls.entry(drive.clone()).or_default();
            *stalls += 1;
            if drive.as_os_str().is_empty() && *stalls >= MOST_STALLS {
                return Err(ScanError::NoAnswer);
            }
            let path = match question {
                Question::List(folder) if folder.shown.as_os_str().is_empty() => return Err(ScanError::NoAnswer),
                Question::List(folder) => folder.shown.clone(),
                Question::Follow(link) => link,
                Question::Stat(files) => self.without_late_one(&files, Question::Stat),
                Question::Sniff(files) => self.without_late_one(&files, Question::Sniff),
            };
            self.found.unread.push(path.clone());
            self.found.stalled.push(Problem { path, reason: DecodeError::NoAnswer.to_string() });
        }
        Ok(())
    }

    /// Asks of the other files once more; gives the one without an answer.
    fn without_late_one(&mut self, files: &Files, question: fn(Files) -> Question) -> PathBuf {
        let at = files.at.load(Ordering::Relaxed).min(files.paths.len() - 1);
        let others = [&files.paths[..at], &files.paths[at + 1..]];
        let others = others.into_iter().filter(|part| !part.is_empty());
        self.waiting.extend(others.map(|part| question(Files::new(part))));
        files.paths[at].clone()
    }

    /// The place of the drive that is asked; empty for the root's own.
    fn drive_of(&self, question: &Question) -> PathBuf {
        let path = match question {
            Question::List(folder) => &folder.shown,
            Question::Follow(link) => link,
            Question::Stat(files) | Question::Sniff(files) => &files.paths[0],
        };
        let holding = self.drives.iter().filter(|drive| path.starts_with(drive));
        holding.max_by_key(|drive| drive.components().count()).cloned().unwrap_or_default()
    }

    fn has_stalled(&self, question: &Question) -> bool {
        !self.stalls.is_empty()
            && self.stalls.get(&self.drive_of(question)).is_some_and(|stalls| *stalls >= MOST_STALLS)
    }

    /// What is on a drive that does not answer is as it was.
    fn leave_out(&mut self, question: &Question) {
        match question {
            Question::List(folder) => self.found.unread.push(folder.shown.clone()),
            Question::Follow(link) => self.found.unread.push(link.clone()),
            Question::Stat(files) | Question::Sniff(files) => self.found.unread.extend(files.paths.iter().cloned()),
        }
    }

    fn take(&mut self, answer: Answer) -> Result<(), ScanError> {
        match answer {
            Answer::Listing(folder, Ok(listing)) => self.take_listing(&folder, listing),
            Answer::Listing(folder, Err(error)) if folder.shown.as_os_str().is_empty() => {
                return Err(ScanError::Root(error));
            }
            Answer::Listing(folder, Err(error)) => {
                let path = folder.shown.clone();
                self.found.unread.push(path.clone());
                self.found.problems.push(Problem { path, reason: could_not_open(&error) });
            }
            Answer::Stamps(files, stamps) => self.take_stamps(&files, stamps),
            Answer::Pictures(files, pictures) => {
                self.pictures.extend(files.paths.iter().cloned().zip(pictures));
            }
            Answer::Target(link, Ok(target)) => self.targets.push((link, target)),
            Answer::Target(link, Err(error)) => {
                self.found.links.insert(link, Err(error));
            }
        }
        Ok(())
    }

    fn take_listing(&mut self, folder: &Arc<Folder>, listing: Listing) {
        let is_outside = !folder.real.starts_with(&self.root);
        for name in listing.folders {
            let (shown, real) = (folder.shown.join(&name), folder.real.join(&name));
            if is_passed_over(&name) {
                self.found.account.passed_over.push(PlainPath(shown));
            } else if is_outside && (*real == *self.root || self.followed.contains(&real)) {
                self.found.account.count(OtherKind::Links);
            } else {
                self.waiting.push_back(Question::List(Arc::new(Folder { shown, real })));
            }
        }
        for name in listing.links {
            match kind_of(&name) {
                Kind::Other(OtherKind::Hidden) => self.found.account.count(OtherKind::Hidden),
                _ => self.links.push(folder.shown.join(&name)),
            }
        }
        let mut to_stat = Vec::new();
        for (name, kind) in listing.files {
            self.take_file(folder.shown.join(name), kind, &mut to_stat);
        }
        self.stat(&to_stat);
        self.found.folders.push(folder.real.clone());
    }

    fn take_file(&mut self, path: PathBuf, kind: Kind, to_stat: &mut Vec<PathBuf>) {
        match kind {
            Kind::Other(kind) => self.found.account.count(kind),
            Kind::Unread(kind) => {
                let reason = DecodeError::Unsupported(kind.into()).to_string();
                self.found.problems.push(Problem { path, reason });
            }
            Kind::Photo => to_stat.push(path),
            Kind::Unknown => {
                self.kinds.insert(path.clone(), kind);
                to_stat.push(path);
            }
        }
    }

    fn stat(&mut self, files: &[PathBuf]) {
        self.waiting.extend(files.chunks(CHUNK).map(|files| Question::Stat(Files::new(files))));
    }

    fn take_stamps(&mut self, files: &Files, stamps: Vec<io::Result<FileStamp>>) {
        for (path, stamp) in files.paths.iter().zip(stamps) {
            let is_unknown = !self.kinds.is_empty() && self.kinds.remove(path).is_some();
            match stamp {
                Ok(stamp) if is_unknown => self.found.unknown.push((path.clone(), stamp)),
                Ok(stamp) => self.found.photos.push((path.clone(), stamp)),
                // Deleted since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.found.unread.push(path.clone());
                    let reason = format!("The file could not be read: {error}");
                    self.found.problems.push(Problem { path: path.clone(), reason });
                }
            }
        }
        (self.seen)(self.found.photos.len() as u64);
    }
}

/// Whether nothing between a folder and a path inside of it is passed over.
fn is_looked_through(inside: &Path, real: &Path) -> bool {
    let is_hidden_file = || matches!(kind_of(real.file_name().unwrap_or_default()), Kind::Other(OtherKind::Hidden));
    !inside.iter().any(is_passed_over) && (inside.as_os_str().is_empty() || !is_hidden_file())
}

fn leads_back(folder: &Path) -> String {
    if folder.as_os_str().is_empty() {
        "A link that leads back to the folder itself; not followed".into()
    } else {
        format!("A link that leads back to \"{}\"; not followed", folder.display())
    }
}

/// What is said of a folder or link that cannot be entered.
pub(super) fn could_not_open(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("You may not open this folder; change its permissions ({error})")
        }
        _ => format!("Could not be opened: {error}"),
    }
}
