//! What the program logs: to standard error as `RUST_LOG` says, and warnings to a small file among its data.
//!
//! The file may name the user's photos, in warnings about them; it stays on this computer.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use env_logger::{Builder, Env, Logger, Target};
use log::{Log, Metadata, Record};
use time::OffsetDateTime;

use crate::text::escape;

/// The others warn of desktops without a locale or a portal, which are none of the user's business.
const FILTER: &str = "warn,egui_system_font_provider=error,sctk_adwaita=off";
/// Bytes from which on a new file is begun; the one before is kept, and the one before that is not.
const LARGEST: u64 = 256 << 10;
const FILE: &str = "florascope.log";
const BEFORE: &str = "florascope.old.log";

/// Begins to log; to a file as well, in this folder, where there is one. To be called once.
pub fn start(folder: Option<&Path>) {
    // A file may be called anything, and what is logged may name it: nothing of that is obeyed by a terminal.
    let stderr = Builder::from_env(Env::default().default_filter_or(FILTER))
        .format(|line, record| {
            writeln!(line, "[{} {}] {}", record.level(), record.target(), escape(&record.args().to_string()))
        })
        .build();
    let file = folder.map(|folder| {
        let mut builder = Builder::new();
        builder.parse_filters(FILTER).target(Target::Pipe(Box::new(LogFile::new(folder)))).format(|line, record| {
            let now = OffsetDateTime::now_utc();
            let (date, time) = (now.date(), now.time().replace_nanosecond(0).unwrap_or(now.time()));
            let (process, level, target) = (std::process::id(), record.level(), record.target());
            writeln!(line, "{date} {time} [{process}] {level} {target}: {}", escape(&record.args().to_string()))
        });
        builder.build()
    });
    let most = file.as_ref().map_or(stderr.filter(), |file| file.filter().max(stderr.filter()));
    if log::set_boxed_logger(Box::new(Both { stderr, file })).is_ok() {
        log::set_max_level(most);
    }
}

struct Both {
    stderr: Logger,
    file: Option<Logger>,
}

impl Log for Both {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stderr.enabled(metadata) || self.file.as_ref().is_some_and(|file| file.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        self.stderr.log(record);
        self.file.iter().for_each(|file| file.log(record));
    }

    fn flush(&self) {
        self.stderr.flush();
        self.file.iter().for_each(|file| file.flush());
    }
}

/// A file that begins anew when it is full. Several processes may write it: each line is one write at its end.
struct LogFile {
    path: PathBuf,
    before: PathBuf,
    /// Made when there is something to write.
    file: Option<File>,
}

impl LogFile {
    fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE), before: folder.join(BEFORE), file: None }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let size = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        if let Some(file) = &self.file
            && (file.metadata()?.len() >= LARGEST || size(&self.path) == 0)
        {
            // Another process may have begun a new one already.
            self.file = None;
        }
        if self.file.is_none() {
            if size(&self.path) >= LARGEST {
                std::fs::rename(&self.path, &self.before)?;
            }
            self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            self.file = Some(File::options().append(true).create(true).open(&self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(line))
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Where it cannot be written, standard error still tells; nobody could be told of this any better.
        let _ = self.append(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_small_and_no_process_loses_what_another_writes() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let [mut one, mut other] = [LogFile::new(&logs), LogFile::new(&logs)];
        assert!(!logs.exists(), "not before there is something to write");
        let line = |number: u64| format!("{number:0>1023}\n");
        let lines = 3 * LARGEST / 1024;
        for number in 0..lines {
            let log = if number % 2 == 0 { &mut one } else { &mut other };
            log.write_all(line(number).as_bytes()).unwrap();
        }
        let read = |name| std::fs::read_to_string(logs.join(name)).unwrap();
        let kept = read(BEFORE) + &read(FILE);
        let first = lines - kept.lines().count() as u64;
        assert_eq!(kept, (first..lines).map(line).collect::<String>(), "the last lines, all of them and in order");
        assert!(kept.len() as u64 >= LARGEST && kept.len() as u64 <= 2 * (LARGEST + 1024), "{}", kept.len());
        assert_eq!(std::fs::read_dir(&logs).unwrap().count(), 2);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("logs");
        std::fs::write(&in_the_way, "").unwrap();
        LogFile::new(&in_the_way).write_all(b"lost\n").unwrap();
    }
}
