//! Reports of what should never happen, as files among the program's data, so that the next start can say where one
//! lies. Nothing is ever sent.
//!
//! A panic is reported with a backtrace, also where the program goes on after it; a signal that ends the program for a
//! mistake of its own (a bad address, an abort) with the little that can be said from within it. A program that is
//! killed, or whose computer loses its power, leaves nothing: nothing went wrong with it.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use time::OffsetDateTime;

use crate::about;

/// What the name of a report begins with until the user has been told of it.
const NEW: &str = "new-";
const PREFIX: &str = "crash-";
/// A part that fails again and again has said all after these.
const REPORTS_A_RUN: usize = 3;
/// Reports that are kept.
const KEPT: usize = 5;

thread_local! {
    /// A panic on this thread is caught, and is no surprise.
    static FORESEEN: Cell<bool> = const { Cell::new(false) };
}

/// Gives what `work` does, or its panic, which leaves no report: for work on what others have made.
///
/// # Errors
/// The panic.
pub(crate) fn foresee<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = FORESEEN.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    FORESEEN.set(before);
    result
}

/// Has panics and deadly signals reported in a folder from now on. To be called once.
pub fn report_to(folder: PathBuf) {
    #[cfg(unix)]
    signals::report_to(&folder);
    let written = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !FORESEEN.get() && written.fetch_add(1, Ordering::Relaxed) < REPORTS_A_RUN {
            let report = report(panic);
            // Where it cannot be written, standard error still tells.
            if let Err(error) = write(&folder, &report) {
                eprintln!("The report could not be written: {error}");
            }
        }
        before(panic);
    }));
}

fn report(panic: &PanicHookInfo<'_>) -> String {
    let mut text = header();
    let thread = std::thread::current();
    let _ = writeln!(text, "Thread {:?}: {panic}\n", thread.name().unwrap_or("without a name"));
    let _ = writeln!(text, "{}", Backtrace::force_capture());
    text
}

/// What every report begins with: no word of the user's files.
fn header() -> String {
    let now = OffsetDateTime::now_utc();
    format!("{}\n{} {}, UTC\n", about::program(), now.date(), now.time())
}

fn write(folder: &Path, report: &str) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut names = (0..).map(|number| folder.join(format!("{NEW}{}", file_name(number, ""))));
    let name = names.find(|path| !path.exists());
    std::fs::write(name.unwrap_or_default(), report)
}

/// In the order of time; `kind` and number tell apart what happens in one second.
fn file_name(number: usize, kind: &str) -> String {
    let now = OffsetDateTime::now_utc();
    let (date, [hour, minute, second]) = (now.date(), [now.hour(), now.minute(), now.second()]);
    let number = if number == 0 { String::new() } else { format!("-{number}") };
    format!("{PREFIX}{date}-{hour:02}{minute:02}{second:02}-{}{kind}{number}.txt", std::process::id())
}

/// The newest report that the user has not been told of; from now on all count as told. Older ones are deleted.
pub fn take_news(folder: &Path) -> Option<PathBuf> {
    let names = |prefix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    };
    // Whoever renames a report first tells of it; who cannot would tell of it for ever.
    let told = names(&format!("{NEW}{PREFIX}")).into_iter().filter_map(|name| {
        let path = folder.join(name.strip_prefix(NEW)?);
        std::fs::rename(folder.join(&name), &path).is_ok().then_some(path)
    });
    let newest = told.collect::<Vec<_>>().pop();
    let known = names(PREFIX);
    for name in &known[..known.len().saturating_sub(KEPT)] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    newest
}

#[cfg(unix)]
mod signals {
    //! In a signal's handler hardly anything may be done: what is written, and where to, is made ready before.

    use std::ffi::{CString, c_int};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{NEW, file_name, header};

    const SIGNALS: [(c_int, &str); 5] = [
        (libc::SIGSEGV, "a bad address (SIGSEGV)\n"),
        (libc::SIGBUS, "a bad address (SIGBUS)\n"),
        (libc::SIGILL, "a bad instruction (SIGILL)\n"),
        (libc::SIGFPE, "a bad calculation (SIGFPE)\n"),
        (libc::SIGABRT, "an abort (SIGABRT)\n"),
    ];

    struct Ready {
        folder: CString,
        file: CString,
        header: String,
        /// What each signal did before.
        before: Vec<(c_int, libc::sigaction)>,
    }

    static READY: OnceLock<Ready> = OnceLock::new();
    static WRITTEN: AtomicBool = AtomicBool::new(false);

    pub(super) fn report_to(folder: &Path) {
        let file = folder.join(format!("{NEW}{}", file_name(0, "-signal")));
        let [Ok(folder), Ok(file)] = [folder, &file].map(|path| CString::new(path.as_os_str().as_bytes())) else {
            return;
        };
        let header = format!("{}The program was ended by ", header().replace(", UTC", ", UTC: started"));
        let before = SIGNALS.map(|(signal, _)| (signal, current(signal))).to_vec();
        if READY.set(Ready { folder, file, header, before }).is_ok() {
            SIGNALS.iter().for_each(|(signal, _)| handle(*signal));
        }
    }

    fn current(signal: c_int) -> libc::sigaction {
        // SAFETY: all zeros are a valid value, and the call only writes to it.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            action
        }
    }

    fn handle(signal: c_int) {
        // SAFETY: the handler does only what is allowed in one; the other fields may be zero.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(_, _, _) = on_signal;
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }

    extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
        let Some(ready) = READY.get() else { return };
        if !WRITTEN.swap(true, Ordering::SeqCst) {
            let what = SIGNALS.iter().find(|(one, _)| *one == signal).map_or("a signal\n", |(_, what)| what);
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
            // SAFETY: these calls are allowed in a handler, and the memory is of this length.
            unsafe {
                libc::mkdir(ready.folder.as_ptr(), 0o777);
                let file = libc::open(ready.file.as_ptr(), flags, 0o666);
                for part in [ready.header.as_bytes(), what.as_bytes()] {
                    libc::write(file, part.as_ptr().cast(), part.len());
                }
                libc::close(file);
            }
        }
        // SAFETY: as above; `info` is the system's.
        unsafe {
            if let Some((_, before)) = ready.before.iter().find(|(one, _)| *one == signal) {
                libc::sigaction(signal, before, std::ptr::null_mut());
            }
            // What the processor refused it refuses again, and what was there before says more of it, an overflow of
            // the stack for instance. What was sent has to be sent again.
            if (*info).si_code <= 0 {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_of_once_and_few_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(take_news(folder.path()), None);
        for day in 1..=7 {
            std::fs::write(folder.path().join(format!("{NEW}{PREFIX}2026-01-0{day}-1.txt")), "").unwrap();
        }
        std::fs::write(folder.path().join("florascope.log"), "").unwrap();
        let newest = folder.path().join(format!("{PREFIX}2026-01-07-1.txt"));
        assert_eq!(take_news(folder.path()), Some(newest));
        assert_eq!(take_news(folder.path()), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
        // Two in one second.
        write(folder.path(), "one").unwrap();
        write(folder.path(), "two").unwrap();
        assert!(take_news(folder.path()).is_some());
        assert_eq!(take_news(folder.path()), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), KEPT + 1);
    }

    const CRASH: &str = "FLORASCOPE_TEST_CRASH";

    /// Not a test by itself: what the next one runs as a program of its own.
    #[test]
    #[ignore = "crashes"]
    fn crashes() {
        let Some(folder) = std::env::var_os("FLORASCOPE_TEST_REPORTS") else { return };
        report_to(folder.into());
        assert!(foresee(|| panic!("foreseen")).is_err());
        match std::env::var(CRASH).as_deref() {
            Ok("panic") => panic!("a part that fails"),
            Ok("abort") => std::process::abort(),
            Ok("overflow") => {
                let _ = overflow(1);
            }
            // SAFETY: a signal like any other program's.
            Ok("sent") => unsafe {
                libc::raise(libc::SIGSEGV);
            },
            _ => {}
        }
    }

    #[expect(unconditional_recursion, reason = "that is what overflows the stack")]
    fn overflow(depth: u64) -> u64 {
        std::hint::black_box([depth; 64])[7] + overflow(depth + 1)
    }

    #[cfg(unix)]
    #[test]
    fn what_should_not_happen_leaves_one_report_and_ends_the_program_as_before() {
        use std::os::unix::process::ExitStatusExt;

        for (crash, signal, text) in [
            ("nothing", None, None),
            ("panic", None, Some("a part that fails")),
            ("abort", Some(libc::SIGABRT), Some("an abort")),
            ("overflow", Some(libc::SIGABRT), Some("a bad address")),
            ("sent", Some(libc::SIGSEGV), Some("a bad address")),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let logs = folder.path().join("logs");
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "crash::tests::crashes", "--ignored", "--nocapture"]);
            let ended = command.env("FLORASCOPE_TEST_REPORTS", &logs).env(CRASH, crash).output().unwrap();
            assert_eq!(ended.status.signal(), signal, "{crash}: {}", String::from_utf8_lossy(&ended.stderr));
            let report = take_news(&logs).map(|path| std::fs::read_to_string(path).unwrap());
            match text {
                None => assert_eq!((report, logs.exists()), (None, false)),
                Some(text) => {
                    let report = report.unwrap();
                    assert!(report.starts_with(&about::program()) && report.contains(text), "{crash}: {report}");
                    assert!(!report.contains("foreseen"), "{crash}: {report}");
                    assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 1, "{crash}");
                }
            }
        }
    }

    #[test]
    fn a_foreseen_panic_is_an_error() {
        assert_eq!(foresee(|| 1).unwrap(), 1);
        assert!(foresee(|| panic!("foreseen")).is_err());
        assert!(!FORESEEN.get());
    }
}
