//! What the window shows, kept in a file: the hidden option `--describe-window FILE`.
//!
//! The desktop tests drive the finished program with a real mouse and keyboard, and must know where a button lies and
//! what a text says. egui already works that out for screen readers; this writes the same tree as JSON, so that the
//! tests read what a blind user would hear, and need no screen reader. Rectangles are in physical pixels from the
//! window's upper left corner, and are not cut off where a scroll area ends.
//!
//! A frame is described before it is painted: a picture of the screen may still be one frame behind.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use eframe::egui;
use egui::accesskit::{Affine, Node, NodeId, Role, Toggled, TreeUpdate};
use serde_json::{Map, Value, json};

use crate::atomic_file::{self, Survives};

/// An egui plugin that keeps a file up to date with what the window shows.
pub struct Describe {
    file: PathBuf,
    written: Option<Value>,
    warned: bool,
}

impl Describe {
    /// Describes the window in `file`, which is replaced as a whole each time.
    pub fn new(file: PathBuf) -> Self {
        Self { file, written: None, warned: false }
    }

    fn write(&self, frame: u64, view: &Value) -> io::Result<()> {
        let mut view = view.clone();
        view["frame"] = json!(frame);
        atomic_file::write(&self.file, view.to_string().as_bytes(), Survives::Kill)
    }
}

impl egui::Plugin for Describe {
    fn debug_name(&self) -> &'static str {
        "Describe"
    }

    fn input_hook(&mut self, ctx: &egui::Context, _input: &mut egui::RawInput) {
        // In every frame, as eframe turns it off when a screen reader leaves.
        ctx.enable_accesskit();
    }

    fn output_hook(&mut self, ctx: &egui::Context, output: &mut egui::FullOutput) {
        let platform = &output.platform_output;
        let Some(tree) = &platform.accesskit_update else { return };
        let passes = ctx.options(|options| options.max_passes.get());
        if platform.requested_discard() && platform.num_completed_passes < passes {
            return; // a trial layout that is never painted
        }
        let scale = output.pixels_per_point;
        let size = ctx.viewport_rect().size() * scale;
        let view = json!({
            "size": [size.x.round(), size.y.round()],
            "scale": scale,
            "nodes": nodes(tree),
        });
        if self.written.as_ref() == Some(&view) {
            return;
        }
        if let Err(error) = self.write(ctx.cumulative_frame_nr(), &view)
            && !self.warned
        {
            log::warn!("cannot describe the window in {}: {error}", self.file.display());
            self.warned = true;
        }
        self.written = Some(view);
    }
}

/// The tree's nodes in reading order. egui hands over the whole tree with every frame, with texts in `label`, or in
/// `value` for labels and text fields.
fn nodes(update: &TreeUpdate) -> Vec<Value> {
    let known: HashMap<NodeId, &Node> = update.nodes.iter().map(|(id, node)| (*id, node)).collect();
    let Some(root) = update.tree.as_ref().map(|tree| tree.root) else { return Vec::new() };
    let mut described = Vec::new();
    let mut waiting = vec![(root, Affine::IDENTITY)];
    while let Some((id, above)) = waiting.pop() {
        let Some(node) = known.get(&id) else { continue };
        // Bounds are in points; the root's transform makes pixels of them.
        let transform = node.transform().map_or(above, |own| above * *own);
        waiting.extend(node.children().iter().rev().map(|child| (*child, transform)));
        if id != root {
            described.extend(describe(id, node, transform, update.focus, &known));
        }
    }
    described
}

/// One node, or nothing for what only holds others or repeats the text of its parent.
fn describe(
    id: NodeId,
    node: &Node,
    transform: Affine,
    focus: NodeId,
    known: &HashMap<NodeId, &Node>,
) -> Option<Value> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let mut label = text(node.label());
    if label.is_empty() {
        let names = node.labelled_by().iter().filter_map(|id| known.get(id));
        label = names.filter_map(|name| name.label().or(name.value())).collect::<Vec<_>>().join(" ");
    }
    let value = text(node.value());
    let holds_others = matches!(node.role(), Role::GenericContainer | Role::Unknown);
    if node.role() == Role::TextRun || (holds_others && label.is_empty() && value.is_empty()) {
        return None;
    }
    let bounds = transform.transform_rect_bbox(node.bounds()?);
    let mut one = Map::new();
    one.insert("id".into(), json!(id.0.to_string()));
    one.insert("role".into(), json!(format!("{:?}", node.role())));
    one.insert("label".into(), json!(label));
    one.insert("value".into(), json!(value));
    one.insert("hint".into(), json!(text(node.placeholder())));
    one.insert("number".into(), json!(node.numeric_value()));
    one.insert("rect".into(), json!([bounds.x0, bounds.y0, bounds.x1, bounds.y1]));
    one.insert("focused".into(), json!(id == focus));
    one.insert("selected".into(), json!(node.is_selected() == Some(true) || node.toggled() == Some(Toggled::True)));
    one.insert("disabled".into(), json!(node.is_disabled()));
    Some(Value::Object(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_described_in_pixels() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("window.json");
        let ctx = egui::Context::default();
        ctx.add_plugin(Describe::new(file.clone()));
        let mut name = String::from("rose");
        let mut frame = || {
            let mut input = egui::RawInput {
                screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(400.0, 300.0))),
                ..Default::default()
            };
            input.viewports.entry(egui::ViewportId::ROOT).or_default().native_pixels_per_point = Some(2.0);
            let output = ctx.run_ui(input, |ui| {
                ui.put(
                    egui::Rect::from_min_size(egui::pos2(10.0, 20.0), egui::vec2(80.0, 30.0)),
                    |ui: &mut egui::Ui| ui.add_enabled(false, egui::Button::new("Open folder…")),
                );
                let title = ui.label("Name");
                ui.text_edit_singleline(&mut name).labelled_by(title.id).request_focus();
            });
            output.drop_without_applying_deltas();
        };
        frame();
        frame();
        let view: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        assert_eq!(view["size"], json!([800.0, 600.0]));
        assert_eq!(view["scale"], json!(2.0));
        let of = |role: &str| view["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["role"] == role));
        let button = of("Button").ok_or("no button")?;
        assert_eq!(button["label"], "Open folder…");
        assert_eq!(button["disabled"], true);
        assert_eq!(button["rect"][0], json!(20.0));
        assert_eq!(of("Label").ok_or("no label")?["value"], "Name");
        let field = of("TextInput").ok_or("no text field")?;
        assert_eq!([&field["label"], &field["value"]], ["Name", "rose"]);
        assert_eq!(field["focused"], true);

        std::fs::remove_file(&file)?;
        frame();
        assert!(!file.exists(), "an unchanged window is not written again");
        Ok(())
    }
}
