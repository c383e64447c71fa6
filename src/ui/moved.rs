//! The question whether a folder is one that was known under another path.

use eframe::egui::{self, Align, Button, Context, Id, Label, Layout, Modal, RichText};
use tr::tr;

use super::state::{Action, Moved};
use super::theme;
use crate::worker::Request;

/// Widest, in points.
const WIDTH: f32 = 560.0;

/// Asks over everything else.
pub(crate) fn moved_ui(ctx: &Context, moved: &Moved, actions: &mut Vec<Action>) {
    let Moved { root, before } = moved;
    let frame = egui::Frame::window(&ctx.global_style()).inner_margin(theme::DIALOG_MARGIN);
    Modal::new(Id::unique("moved")).frame(frame).show(ctx, |ui| {
        ui.set_width(WIDTH.min(ctx.content_rect().width() - 80.0));
        ui.add(Label::new(RichText::new(tr!("This looks like {}", before.name())).heading()).wrap());
        ui.add_space(theme::GAP);
        ui.add(Label::new(tr!("Its photos were at {}", before.root.display())).wrap());
        ui.add(Label::new(tr!("and are now at {}", root.display())).wrap());
        ui.add_space(theme::GAP);
        let explanation = tr!(
            "Going on keeps its index and its model, and nothing is computed again. Starting anew leaves them for the old \
             place, and reads every photo."
        );
        ui.add(Label::new(RichText::new(explanation).weak()).wrap());
        ui.add_space(theme::WIDE_GAP);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let palette = theme::palette(ui);
            let go_on = Button::new(RichText::new(tr!("Go on with it")).color(palette.on_accent)).fill(palette.accent);
            if ui.add(go_on).clicked() {
                let request = Request::OpenMoved { path: root.clone(), before: before.clone() };
                actions.push(Action::Request(request));
            }
            if ui.button(tr!("Start anew")).clicked() {
                actions.push(Action::Request(Request::OpenAnew(root.clone())));
            }
            if ui.button(tr!("Cancel")).clicked() {
                actions.push(Action::ForgetMoved);
            }
        });
    });
}
