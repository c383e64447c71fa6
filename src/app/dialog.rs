//! Whether a file dialog that was asked for is on the screen.
//!
//! The system does not say. But a dialog takes the keyboard from the window: where the window has kept it for some
//! seconds, or the dialog is over and the window has had it all the time, there was none to see, and the window offers a
//! field for the path instead. A dialog that is on the screen may stay there for as long as it likes.
//!
//! Two limits. A dialog that opens without taking the keyboard is taken for none: then there is a field as well, and
//! whichever is used first counts. A user who turns to another program within those seconds gets the field on asking
//! once more.

use std::time::Duration;

use eframe::egui::{Context, Event};
use tr::tr;

use super::App;
use crate::desktop::{Choice, Purpose};
use crate::query::Query;
use crate::worker::Request;

/// How long a dialog may take to appear.
const PATIENCE: f64 = 4.0;

fn no_dialog() -> String {
    if cfg!(target_os = "linux") {
        tr!("No file dialog opened: install xdg-desktop-portal or zenity for one.")
    } else {
        tr!("No file dialog opened.")
    }
}
fn late() -> String {
    tr!("The system's file dialog has not opened.")
}

/// A file dialog that has not ended. Times are egui's, in seconds.
pub(super) struct PendingDialog {
    purpose: Purpose,
    asked_at: f64,
    had_focus: bool,
    /// It took the keyboard from the window.
    appeared: bool,
    given_up: bool,
}

impl PendingDialog {
    fn new(purpose: Purpose, now: f64) -> Self {
        Self { purpose, asked_at: now, had_focus: false, appeared: false, given_up: false }
    }

    /// Notes whether the window has the keyboard; gives true once, when the dialog is overdue.
    fn is_overdue(&mut self, now: f64, focused: bool) -> bool {
        self.appeared |= self.had_focus && !focused;
        self.had_focus |= focused;
        let overdue = !self.appeared && !self.given_up && now - self.asked_at >= PATIENCE;
        self.given_up |= overdue;
        overdue
    }
}

impl App {
    /// Opens the system's file dialog, or the window's own field where one is open already.
    pub(super) fn ask_for_path(&mut self, ctx: &Context, purpose: Purpose) {
        match &self.dialog {
            Some(dialog) => {
                let reason = if dialog.appeared {
                    tr!("A file dialog is open already, perhaps behind this window.")
                } else {
                    late()
                };
                self.path_prompt.show(purpose, Some(reason));
            }
            None => {
                self.dialog = Some(PendingDialog::new(purpose.clone(), ctx.input(|input| input.time)));
                self.desktop.ask_for_path(purpose);
                self.watch_dialog(ctx);
            }
        }
    }

    /// Offers the field for the path where the dialog does not appear.
    pub(super) fn watch_dialog(&mut self, ctx: &Context) {
        let Some(dialog) = &mut self.dialog else { return };
        let (now, focused) = ctx.input(|input| {
            // It may be lost and be back within one frame, where the window was hidden meanwhile.
            let lost = input.events.iter().any(|event| matches!(event, Event::WindowFocused(false)));
            (input.time, input.focused && !lost)
        });
        if dialog.is_overdue(now, focused) {
            self.path_prompt.show(dialog.purpose.clone(), Some(late()));
        } else if !dialog.given_up && !dialog.appeared {
            ctx.request_repaint_after(Duration::from_millis(100));
        }
    }

    /// The dialog is over.
    pub(super) fn end_dialog(&mut self, choice: Option<Choice>) {
        let Some(dialog) = self.dialog.take() else { return };
        match choice {
            Some(choice) => self.take_choice(choice),
            None if dialog.appeared => self.path_prompt.withdraw(),
            // The field has been offered before.
            None if dialog.given_up => {}
            None => self.path_prompt.show(dialog.purpose, Some(no_dialog())),
        }
    }

    /// Takes what was found at a path that was typed.
    pub(super) fn take_typed(&mut self, result: Result<Choice, String>) {
        if !self.path_prompt.is_open() {
            return;
        }
        match result {
            Ok(Choice::Photo(_)) if self.state.library.is_none() => {
                self.path_prompt.refuse(tr!("This is a file. Open a folder of photos first, to search in"));
            }
            Ok(choice) => self.take_choice(choice),
            Err(why) => self.path_prompt.refuse(why),
        }
    }

    /// Does with a path what it was asked for.
    pub(super) fn take_choice(&mut self, choice: Choice) {
        self.path_prompt.close();
        match choice {
            Choice::Folder(path) => self.request(Request::Open(path)),
            Choice::Photo(path) => self.search(Query::File(path)),
            Choice::Photos(paths) => self.search(Query::Files(paths)),
            Choice::Model(path) => self.request(Request::ImportModel(path)),
            Choice::Weights(path) => self.request(Request::LoadWeights(path)),
            Choice::Export { id, path } => self.request(Request::ExportModel { id, path }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_at(now: f64) -> PendingDialog {
        PendingDialog::new(Purpose::Folder, now)
    }

    #[test]
    fn a_dialog_that_never_takes_the_keyboard_is_overdue_once() {
        let mut dialog = asked_at(10.0);
        let overdue: Vec<bool> =
            [10.0, 12.0, 13.9, 14.0, 20.0].map(|now| dialog.is_overdue(now, true)).into_iter().collect();
        assert_eq!(overdue, [false, false, false, true, false]);
        // Nor does a window that never had it wait for ever.
        assert!(asked_at(10.0).is_overdue(14.5, false));
    }

    #[test]
    fn a_dialog_on_the_screen_may_stay_there() {
        let mut dialog = asked_at(10.0);
        for (now, focused) in [(10.0, true), (10.4, false), (15.0, false), (600.0, false), (700.0, true), (800.0, true)]
        {
            assert!(!dialog.is_overdue(now, focused), "at {now}");
        }
        assert!(dialog.appeared);
    }
}
