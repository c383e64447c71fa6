//! How long frames take, kept in a file and shown in a corner of the window: the option `--frame-log FILE`.
//!
//! The log has one line a frame: when it began, in milliseconds since the process was started, and the program's own
//! share of its time: input, layout, tessellation, uploads and the drawing commands, but not the wait for the screen.
//! Lines that begin with `#` say when the first frame stood, and sum up each second and, at the end, all frames.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use eframe::egui::{self, Align2, Color32, FontId, Id, LayerId, Order};

const SUM_UP_EVERY: Duration = Duration::from_secs(1);

/// An app that is watched while it draws.
pub struct FrameLog<A> {
    app: A,
    file: File,
    /// When the process was started.
    started: Instant,
    /// Number and beginning of the frame that is being drawn.
    frame: Option<(u64, Instant)>,
    /// Shares of all frames so far, in milliseconds, and how many of them are summed up.
    shares: Vec<f32>,
    summed_up: (usize, Instant),
    /// What the corner shows.
    text: String,
}

impl<A> FrameLog<A> {
    /// Writes what is seen of `app` to a new file.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(app: A, file: &Path) -> std::io::Result<Self> {
        let mut file = File::create(file)?;
        writeln!(file, "# milliseconds since the start of the process, milliseconds of the program's own share")?;
        let now = Instant::now();
        let started = now.checked_sub(age_of_process()).unwrap_or(now);
        let text = String::new();
        Ok(Self { app, file, started, frame: None, shares: Vec::new(), summed_up: (0, now), text })
    }

    /// At the beginning of a frame, when the one before it is on the screen and its share is known.
    fn look(&mut self, ctx: &egui::Context, share: Option<f32>) -> std::io::Result<()> {
        let (number, now) = (ctx.cumulative_frame_nr(), Instant::now());
        if self.frame.is_some_and(|(drawn, _)| drawn == number) {
            return Ok(()); // once more within one frame
        }
        let before = self.frame.replace((number, now));
        let Some((_, began)) = before else {
            // So that the end of the first frame is seen.
            ctx.request_repaint();
            self.summed_up.1 = now;
            return Ok(());
        };
        if self.shares.is_empty() {
            let first = (now - self.started).as_millis();
            writeln!(self.file, "# first frame {first} ms after the start of the process")?;
        }
        let share = share.unwrap_or(0.0) * 1e3;
        self.shares.push(share);
        writeln!(self.file, "{:.1} {share:.2}", (began - self.started).as_secs_f64() * 1e3)?;
        let (count, since) = self.summed_up;
        if now - since >= SUM_UP_EVERY {
            let second = summary(&self.shares[count..]);
            let rate = (self.shares.len() - count) as f64 / (now - since).as_secs_f64();
            self.text = format!("{rate:.0} frames a second, {second}");
            writeln!(self.file, "# {}", self.text)?;
            self.summed_up = (self.shares.len(), now);
        }
        Ok(())
    }
}

impl<A> Drop for FrameLog<A> {
    fn drop(&mut self) {
        // There is nobody left to tell of a full disk.
        let _ = writeln!(self.file, "# all {} frames: {}", self.shares.len(), summary(&self.shares));
    }
}

impl<A: eframe::App> eframe::App for FrameLog<A> {
    fn logic(&mut self, ctx: &egui::Context, frame: &mut eframe::Frame) {
        if let Err(error) = self.look(ctx, frame.info().cpu_usage) {
            log::warn!("The frame log cannot be written: {error}");
        }
        self.app.logic(ctx, frame);
    }

    fn ui(&mut self, ui: &mut egui::Ui, frame: &mut eframe::Frame) {
        self.app.ui(ui, frame);
        let painter = ui.ctx().layer_painter(LayerId::new(Order::Debug, Id::unique("frame log")));
        let corner = ui.ctx().content_rect().right_bottom() - egui::vec2(8.0, 4.0);
        let font = FontId::monospace(11.0);
        let galley = painter.layout_no_wrap(self.text.clone(), font, Color32::WHITE);
        let place = Align2::RIGHT_BOTTOM.anchor_size(corner, galley.size());
        painter.rect_filled(place.expand(3.0), 3.0, Color32::from_black_alpha(200));
        painter.galley(place.min, galley, Color32::WHITE);
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, input: &mut egui::RawInput) {
        self.app.raw_input_hook(ctx, input);
    }
}

/// Percentiles of some frames' shares, in words.
fn summary(shares: &[f32]) -> String {
    let mut sorted = shares.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)));
    let at = |percent: usize| at(percent).copied().unwrap_or(0.0);
    format!("share p50 {:.1}, p95 {:.1}, p99 {:.1}, max {:.1} ms", at(50), at(95), at(99), at(100))
}

/// Since the system started the process, and with that the loading of its libraries: to a hundredth of a second where
/// `/proc` tells it, zero elsewhere.
fn age_of_process() -> Duration {
    let age = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in brackets, may hold spaces. In clock ticks, which are hundredths for all programs.
        let started: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(uptime - started / 100.0).ok()
    };
    age().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_percentiles() {
        let shares: Vec<f32> = (1..=200).rev().map(|share| share as f32).collect();
        assert_eq!(summary(&shares), "share p50 101.0, p95 191.0, p99 199.0, max 200.0 ms");
        assert_eq!(summary(&[]), "share p50 0.0, p95 0.0, p99 0.0, max 0.0 ms");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_grows_older_at_the_pace_of_the_clock() {
        // The clock is read around each age, as on a busy computer any time may pass between two readings.
        let timed_age = || {
            let before = Instant::now();
            (before, age_of_process(), Instant::now())
        };
        let (earliest, young, begun) = timed_age();
        std::thread::sleep(Duration::from_millis(200));
        let (ended, old, latest) = timed_age();
        // Both ages are told in hundredths.
        let rounding = Duration::from_millis(20);
        let (least, most) = (ended.duration_since(begun), latest.duration_since(earliest));
        assert!(young + least <= old + rounding && old <= young + most + rounding, "{young:?} to {old:?}: {least:?}");
    }

    #[test]
    fn each_frame_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("frames");
        let ctx = egui::Context::default();
        let mut log = FrameLog::new((), &file).unwrap();
        for share in [None, Some(0.010), Some(0.002)] {
            ctx.run_ui(egui::RawInput::default(), |_| {
                log.look(&ctx, share).unwrap();
                log.look(&ctx, share).unwrap();
            })
            .drop_without_applying_deltas();
        }
        drop(log);
        let text = std::fs::read_to_string(&file).unwrap();
        let (said, frames): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
        assert_eq!(frames.iter().map(|line| line.split(' ').nth(1).unwrap()).collect::<Vec<_>>(), ["10.00", "2.00"]);
        assert!(said.iter().any(|line| line.contains("first frame")), "{text}");
        assert_eq!(said.last().unwrap(), &"# all 2 frames: share p50 10.0, p95 10.0, p99 10.0, max 10.0 ms");
    }
}
