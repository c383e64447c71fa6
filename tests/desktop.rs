//! The finished program in a real window under Xvfb, used with real events: mouse, keyboard, drags, clipboard.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "desktop/mod.rs"] // without it this file itself would be meant as well
mod desktop;
#[path = "desktop/notifications.rs"]
mod notifications;
#[path = "desktop/portal.rs"]
mod portal;
#[path = "desktop/wayland.rs"]
mod wayland;

use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Photos, another_of, encode};
use desktop::{Node, Screen, View, Window};
use exif::{Field, In, Rational, Tag, Value as ExifValue};
use florascope::desktop::file_uri;
use florascope::garden::SPECIES;
use florascope::photo::bytes_to_path;
use image::ImageFormat;
use notifications::Notifications;
use portal::Portal;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use wayland::{Compositor, Heard, OtherWindow};

/// For everything that is awaited. It is there only for what would hang: beside other work a training takes minutes.
const PATIENCE: Duration = Duration::from_secs(240);

/// The program, with its data in this folder.
fn florascope(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_florascope"));
    command.arg("--data-dir").arg(data).args(["--device", "cpu"]).env_remove("DBUS_SESSION_BUS_ADDRESS");
    // What a text says is English, whoever runs the tests.
    command.env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
    command
}

fn screen() -> Screen {
    Screen::start(1360, 860)
}

fn launch(screen: &Screen, data: &TempDir, folder: Option<&Photos>) -> Window {
    Window::launch(screen, florascope(data.path()).args(folder.map(Photos::path)))
}

/// Waits until something is said, and gives the first node that says it.
fn wait_for_text(window: &Window, text: &str) -> Node {
    window.wait_for(text, PATIENCE, |view| view.nodes.iter().find(|node| node.says(text)).cloned())
}

fn wait_for_button(window: &Window, text: &str) -> Node {
    window.wait_for(text, PATIENCE, |view| view.node("Button", text).cloned())
}

/// Waits until nothing says this any more.
fn wait_until_gone(window: &Window, text: &str) {
    window.wait_for(&format!("the end of {text:?}"), PATIENCE, |view| (!view.has_text(text)).then_some(()));
}

/// Waits until the folder is indexed to the end.
fn wait_until_indexed(window: &Window, photos: usize) {
    window.wait_for("the end of indexing", PATIENCE, |view| {
        let done = view.has_text(&format!("{photos} photo")) && view.node("Button", "Stop").is_none();
        (done && tiles(view).len() == photos).then_some(())
    });
}

fn tiles(view: &View) -> Vec<Node> {
    view.nodes("ListBoxOption").cloned().collect()
}

/// Waits until the grid shows the results of a search with this, and gives their tiles.
fn wait_for_results(window: &Window, query: &str) -> Vec<Node> {
    window.wait_for(&format!("results for {query}"), PATIENCE, |view| {
        let tiles = tiles(view);
        let answered = !tiles.is_empty() && tiles.iter().all(|tile| tile.says(", similarity "));
        (answered && view.has_text("Photos similar to") && view.node("Image", &format!("Query: {query}")).is_some())
            .then_some(tiles)
    })
}

/// Waits until the grid shows the library, without a search.
fn wait_for_library(window: &Window) {
    window.wait_for("the whole library", PATIENCE, |view| {
        let tiles = tiles(view);
        let browsing = !tiles.is_empty() && !tiles.iter().any(|tile| tile.says("similarity"));
        (browsing && !view.has_text("Photos similar to")).then_some(())
    });
}

fn wait_until_selected(window: &Window, number: usize) -> Node {
    window.wait_for(&format!("tile {number} selected"), PATIENCE, |view| {
        let selected: Vec<Node> = tiles(view).into_iter().filter(|tile| tile.selected).collect();
        (selected.len() == 1 && selected[0].label.starts_with(&format!("{number}: "))).then(|| selected[0].clone())
    })
}

/// Waits until the large view shows a photo, and gives its name.
fn wait_for_large(window: &Window, other_than: &str) -> String {
    window.wait_for("a large photo", PATIENCE, |view| {
        let name = view.node("Image", "Photo: ")?.label.strip_prefix("Photo: ")?.to_owned();
        (name != other_than).then_some(name)
    })
}

/// Waits until thumbnails are painted in all these tiles: none is of one flat colour.
fn wait_for_thumbnails(window: &Window, tiles: &[Node]) {
    let (width, height) = window.size();
    let in_view: Vec<&Node> = tiles
        .iter()
        .filter(|tile| tile.rect[1] >= 0.0 && tile.rect[2] < width.into() && tile.rect[3] < height.into())
        .collect();
    assert!(!in_view.is_empty());
    window.wait_for_picture("thumbnails", PATIENCE, |picture| {
        let is_painted = |tile: &&Node| {
            let [left, top, right, _] = tile.rect.map(|side| side as u32);
            // The picture is the square above the caption; leave out its frame.
            let side = right - left - 20;
            let part = image::imageops::crop_imm(picture, left + 10, top + 10, side, side).to_image();
            let colours: std::collections::HashSet<[u8; 3]> = part.pixels().map(|pixel| pixel.0).collect();
            colours.len() > 200
        };
        in_view.iter().all(is_painted).then_some(())
    });
}

/// Screenshots for a person to look at, in the folder that `FLORASCOPE_SHOTS` names.
struct Shots {
    folder: PathBuf,
    _temporary: TempDir,
}

impl Shots {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = std::env::var_os("FLORASCOPE_SHOTS").map_or(temporary.path().to_owned(), PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, _temporary: temporary }
    }

    fn take(&self, window: &Window, name: &str) {
        window.screenshot(&self.folder.join(format!("{name}.png")));
    }
}

#[test]
fn from_an_empty_start_to_similar_flowers() {
    let (screen, data, shots) = (screen(), tempfile::tempdir().unwrap(), Shots::new());
    let window = launch(&screen, &data, None);
    wait_for_button(&window, "Open folder…");
    wait_for_button(&window, "Try the sample garden");
    wait_for_text(&window, "Drop a photo of a flower, and see the most similar photos");
    shots.take(&window, "welcome");

    // A folder is dropped and indexed.
    let photos = Photos::drawn("Garden", 5, 4);
    window.drop_files(&[photos.path()], None);
    wait_for_button(&window, "Stop");
    shots.take(&window, "indexing");
    wait_until_indexed(&window, 20);
    wait_for_button(&window, "Garden");
    wait_for_button(&window, "Sunflower, 4");
    wait_for_thumbnails(&window, &tiles(&window.view()));
    shots.take(&window, "library");

    // A photo is dropped.
    let queries = Photos::empty("Queries");
    queries.write("who am i.jpg", &encode(&another_of(1), ImageFormat::Jpeg));
    let query = queries.path().join("who am i.jpg");
    let hover = window.hover_files(&[&query], None);
    assert!(hover.accepted());
    wait_for_text(&window, "Drop a photo to find");
    shots.take(&window, "drop");
    hover.drop_here();
    let results = wait_for_results(&window, "who am i.jpg");
    wait_for_text(&window, "20 nearest of 20 photos");
    for tile in &results[..3] {
        assert!(tile.says(SPECIES[1].name), "{results:#?}");
    }
    wait_until_gone(&window, "Drop a photo");
    wait_for_thumbnails(&window, &results);
    shots.take(&window, "results");

    // A result is searched with.
    let (first, (x, y)) = (&results[0], window.middle(&results[0]));
    let name = first.label.split(", ").nth(1).unwrap();
    window.double_click(x, y);
    let results = wait_for_results(&window, name);
    // All but the photo itself.
    wait_for_text(&window, "19 nearest of 20 photos");
    assert!(results[0].says(SPECIES[1].name), "{results:#?}");
    wait_for_text(&window, "Earlier searches");
    wait_for_button(&window, "Earlier search: who am i.jpg");
    shots.take(&window, "second search");

    // A result is looked at.
    window.click_node(&results[1]);
    wait_until_selected(&window, 2);
    window.key("space");
    let large = wait_for_large(&window, "");
    assert!(results[1].says(&large));
    window.wait_for("the query beside it", PATIENCE, |view| {
        let [left, .., right, _] = view.nodes("Image").find(|node| node.says("Photo: "))?.rect;
        let beside =
            |node: &&Node| node.says(&format!("Query: {name}")) && node.rect[2] - node.rect[0] > 0.9 * (right - left);
        view.nodes("Image").find(beside).map(|_| ())
    });
    shots.take(&window, "large");
    window.key("Right");
    let next = wait_for_large(&window, &large);
    assert!(results[2].says(&next));

    // Back, step by step.
    window.key("Escape");
    wait_until_selected(&window, 3);
    wait_for_results(&window, name);
    window.key("Escape");
    wait_for_library(&window);
    wait_for_text(&window, "All photos");
    let end = window.close();
    assert!(end.success(), "{end}");
}

#[test]
fn the_last_library_and_the_windows_size_come_back() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 4);
    window.resize(1010, 690);
    window.wait_for("the new size", PATIENCE, |view| (view.size == [1010.0, 690.0]).then_some(()));
    assert!(window.close().success());

    let window = launch(&screen, &data, None);
    wait_until_indexed(&window, 4);
    wait_for_button(&window, "Meadow");
    assert_eq!(window.size(), (1010, 690));
    // Once the check of the folder has ended, whose progress stands before it.
    window.wait_for("the title", PATIENCE, |_| (window.title() == "Meadow – Florascope").then_some(()));
    let queries = Photos::empty("Queries");
    queries.write("query.png", &encode(&another_of(0), ImageFormat::Png));
    window.drop_files(&[&queries.path().join("query.png")], None);
    let results = wait_for_results(&window, "query.png");
    assert!(results[0].says(SPECIES[0].name), "{results:#?}");
    assert!(window.close().success());
}

#[test]
fn a_photo_as_argument_is_searched_for_in_the_last_library() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    let queries = Photos::empty("Queries");
    queries.write("query.png", &encode(&another_of(0), ImageFormat::Png));
    let open_with = || Window::launch(&screen, florascope(data.path()).arg(queries.path().join("query.png")));

    // Without a library it waits for one.
    let window = open_with();
    wait_for_text(&window, "query.png is ready. Open the folder to search in");
    window.drop_files(&[photos.path()], None);
    wait_for_results(&window, "query.png");
    wait_for_button(&window, "Meadow");
    assert!(window.close().success());

    let window = open_with();
    let results = wait_for_results(&window, "query.png");
    wait_for_button(&window, "Meadow");
    assert!(results[0].says(SPECIES[0].name), "{results:#?}");
    window.key("Escape");
    wait_for_library(&window);
    assert!(window.close().success());
}

#[test]
fn the_sample_garden_is_drawn_stopped_and_resumed() {
    /// How many pictures the bar at the bottom says are drawn.
    fn drawn(view: &View) -> Option<u64> {
        let text = &view.node("Label", " of 204")?.value;
        view.node("Label", "Drawing the sample garden")?;
        text.split(' ').next()?.parse().ok()
    }
    let (screen, data, shots) = (screen(), tempfile::tempdir().unwrap(), Shots::new());
    let window = launch(&screen, &data, None);
    window.click_node(&wait_for_button(&window, "Try the sample garden"));
    let first = window.wait_for("some pictures", PATIENCE, |view| drawn(view).filter(|count| *count > 2));
    shots.take(&window, "garden");
    window.click_node(&wait_for_button(&window, "Stop"));
    wait_for_text(&window, "Indexing was stopped");
    shots.take(&window, "stopped");
    window.click_node(&wait_for_button(&window, "Resume"));
    window.wait_for("more pictures", PATIENCE, |view| drawn(view).filter(|count| *count > first + 2));
    window.ask_to_close();
    let end = window.ended(Duration::from_secs(15));
    assert!(end.success(), "{end}");
}

#[test]
fn a_window_at_rest_draws_nothing() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::plain("Rest", &[("a", 3)]));
    let log = data.path().join("frames");
    let window = Window::launch(
        &screen,
        florascope(data.path()).args([photos.path().as_os_str(), "--frame-log".as_ref(), log.as_ref()]),
    );
    wait_until_indexed(&window, 3);
    let frames = || std::fs::read_to_string(&log).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    let begun = Instant::now();
    loop {
        let before = frames();
        std::thread::sleep(Duration::from_secs(1));
        if frames() == before {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{} frames a second, and nothing has changed", frames() - before);
    }
    assert!(frames() > 2, "what was drawn is in the log");
}

#[test]
fn a_click_on_train_leads_to_better_results() {
    let (screen, data, shots) = (screen(), tempfile::tempdir().unwrap(), Shots::new());
    let photos = Photos::drawn("Garden", 10, 6);
    let window = launch(&screen, &data, Some(&photos));
    window.wait_for("the end of indexing", PATIENCE, |view| {
        (view.has_text("60 photos") && view.node("Button", "Stop").is_none()).then_some(())
    });
    window.click_node(&wait_for_button(&window, "Train…"));
    wait_for_text(&window, "10 species, 60 photos");
    shots.take(&window, "before training");
    let train = window.wait_for("the button", PATIENCE, |view| {
        view.nodes("Button").find(|node| node.label == "Train" && !node.disabled).cloned()
    });
    window.click_node(&train);

    // A search meanwhile; on a fast computer the training is over before.
    window.wait_for("the training", PATIENCE, |view| {
        (view.has_text("Training – Quick") || view.has_text("Result – Quick")).then_some(())
    });
    window.key("Home");
    let selected = wait_until_selected(&window, 1);
    window.key_with("ctrl", "Return");
    wait_for_results(&window, selected.label.split(", ").nth(1).unwrap());

    // The proof, and what follows from it.
    wait_for_text(&window, "Result – Quick");
    wait_for_text(&window, "Your species");
    // The garden's species are far from being told apart by the built-in model.
    wait_for_model(&window, "Model: Quick – Garden");
    wait_for_text(&window, "Better: now in use");
    shots.take(&window, "trained");
    wait_for_results(&window, selected.label.split(", ").nth(1).unwrap());

    // Back to the model before, as it is offered.
    window.click_node(&wait_for_button(&window, "Undo: use \"Flowers\""));
    wait_for_model(&window, "Model: Flowers");
    assert!(window.close().success());
}

/// Waits until the foot of the window names this model, before what it computes on.
fn wait_for_model(window: &Window, model: &str) {
    let names_it = |node: &&Node| node.label.starts_with(model);
    window.wait_for(model, PATIENCE, |view| view.nodes("Button").find(names_it).map(|_| ()));
}

#[test]
fn what_is_pasted_may_come_in_many_forms() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 3, 2));
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 6);
    let name = format!("{} 01.jpg", SPECIES[1].name);
    let as_file = photos.path().join(SPECIES[1].name).join(&name);
    let list = file_uri(&as_file);
    // A picture is meant by what comes with a text, and is large enough to come in parts; a file by what comes with both.
    let (png, bmp) = (encode(&another_of(2), ImageFormat::Png), encode(&another_of(0), ImageFormat::Bmp));
    let text = ("UTF8_STRING", b"a rose".as_slice());
    for (formats, query, species) in [
        (vec![("image/png", png.as_slice())], "Pasted picture", 2),
        (vec![text, ("image/bmp", &bmp)], "Pasted picture", 0),
        (vec![text, ("image/png", &png), ("text/uri-list", list.as_bytes())], &name, 1),
        (vec![("UTF8_STRING", as_file.as_os_str().as_encoded_bytes())], &name, 1),
    ] {
        let clipboard = screen.copy(&formats);
        window.key_with("ctrl", "v");
        let results = wait_for_results(&window, query);
        assert!(results[0].says(SPECIES[species].name), "{results:#?}");
        drop(clipboard);
        window.key("Escape");
        wait_for_library(&window);
    }
    // What cannot be used gets a word.
    let _clipboard = screen.copy(&[text]);
    window.key_with("ctrl", "v");
    wait_for_text(&window, "holds text, not a photo");
}

#[test]
fn what_is_dropped_may_come_in_many_forms() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 3, 2));
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 6);
    // The address of a picture, as browsers give it.
    let address = ("text/uri-list", b"https://flowers.example/rose.jpg".as_slice());
    let hover = window.hover(&[address], None);
    wait_for_text(&window, "Drop a photo");
    hover.drop_here();
    wait_for_text(&window, "Copy image");
    wait_until_gone(&window, "Drop a photo");
    // The same with the picture itself.
    let jpeg = encode(&another_of(2), ImageFormat::Jpeg);
    window.hover(&[address, ("image/jpeg", &jpeg)], None).drop_here();
    let results = wait_for_results(&window, "Pasted picture");
    assert!(results[0].says(SPECIES[2].name), "{results:#?}");
    // A file whose name is no text, on this computer by its name; one that is gone.
    let file = photos.path().join(bytes_to_path(b"r\xf6se.png"));
    std::fs::write(&file, encode(&another_of(1), ImageFormat::Png)).unwrap();
    let uri = file_uri(&file).replace("file://", "file://localhost");
    window.hover(&[("text/uri-list", uri.as_bytes())], None).drop_here();
    let results = wait_for_results(&window, "r\u{fffd}se.png");
    assert!(results[0].says(SPECIES[1].name), "{results:#?}");
    window.drop_files(&[&photos.path().join("gone.jpg")], None);
    wait_for_text(&window, "There is nothing at this path");
    // By a program that talks to the window itself.
    let hover = window.hover_files_plainly(&[&photos.path().join(format!("{0}/{0} 01.jpg", SPECIES[0].name))]);
    wait_for_text(&window, "Drop a photo");
    hover.drop_here();
    wait_for_results(&window, &format!("{} 01.jpg", SPECIES[0].name));
}

#[test]
fn under_wayland_a_photo_is_dropped_and_a_path_pasted() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 3, 2));
    let Some(compositor) = Compositor::start(&screen, 1360, 860) else {
        return eprintln!("skipped: weston is not installed");
    };
    std::fs::write(data.path().join("settings.json"), b"{\"maximized\": true}").unwrap();
    let mut command = florascope(data.path());
    let window = Window::launch_inside(&screen, |command| compositor.adopt(command), command.arg(photos.path()));
    wait_until_indexed(&window, 6);
    Shots::new().take(&window, "wayland");
    let centre = (700, 500);

    // A photo, which is shown a target while it hovers.
    let file = photos.path().join(format!("{0}/{0} 01.jpg", SPECIES[1].name));
    let other = OtherWindow::open(&compositor, &[("text/uri-list", file_uri(&file).as_bytes())]);
    drag(&window, &other, centre, "Drop a photo");
    other.wait_for(Heard::Finished);
    wait_for_results(&window, &format!("{} 01.jpg", SPECIES[1].name));
    wait_until_gone(&window, "Drop a photo");
    drop(other);

    // The address of a picture, which comes as nothing that can be searched with.
    let other = OtherWindow::open(&compositor, &[("text/uri-list", b"https://flowers.example/rose.jpg")]);
    drag(&window, &other, centre, "Drop a photo");
    wait_for_text(&window, "Copy image");
    drop(other);

    // A copied path. Weston lets only one of a program's listeners have the clipboard, the toolkit's, which knows no
    // pictures there.
    let file = photos.path().join(format!("{0}/{0} 02.jpg", SPECIES[2].name));
    let other = OtherWindow::open(&compositor, &[("text/plain", file.as_os_str().as_encoded_bytes())]);
    let (x, y) = other.find(&window);
    window.click_right(x, y);
    other.wait_for(Heard::Copied);
    // The keyboard goes to the window that is clicked, and what is selected there says that it has.
    wait_for_results(&window, &format!("{} 01.jpg", SPECIES[1].name));
    let tile = tiles(&window.view()).swap_remove(0);
    window.click_node(&tile);
    wait_until_selected(&window, 1);
    window.key_with("ctrl", "v");
    wait_for_results(&window, &format!("{} 02.jpg", SPECIES[2].name));
    assert!(window.log().is_empty() || !window.log().contains("not heard of"), "{}", window.log());
}

/// Drags from another window to a place in ours, where something has to be said before it is let go.
fn drag(window: &Window, other: &OtherWindow, to: (i16, i16), target: &str) {
    let (x, y) = other.find(window);
    window.hold(x, y);
    for step in 1..=10 {
        std::thread::sleep(Duration::from_millis(30));
        window.move_to(x + (to.0 - x) * step / 10, y + (to.1 - y) * step / 10);
    }
    wait_for_text(window, target);
    window.let_go();
}

#[test]
fn a_file_that_is_no_photo_is_listed_with_its_reason() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 1, 2));
    photos.write("notes/shopping.jpg", b"milk, bread, tulips\n");
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 2);
    window.click_node(&wait_for_button(&window, "1 problem"));
    wait_for_text(&window, "1 file could not be read");
    window.wait_for("the file and its reason", PATIENCE, |view| {
        let reason = view.nodes.iter().position(|node| node.says("Not a picture"))?;
        view.nodes[reason..].iter().find(|node| node.says("notes/shopping.jpg")).map(|_| ())
    });
    Shots::new().take(&window, "problems");
    window.key("Escape");
    wait_until_gone(&window, "1 file could not be read");
}

#[test]
fn everything_can_be_done_with_the_keyboard() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 4);

    window.key("?");
    wait_for_text(&window, "Whole picture or actual size");
    Shots::new().take(&window, "shortcuts");
    window.key("Escape");
    wait_until_gone(&window, "Whole picture or actual size");

    window.key("Right");
    wait_until_selected(&window, 1);
    window.key("Right");
    let selected = wait_until_selected(&window, 2);
    window.key("Return");
    assert!(selected.says(&wait_for_large(&window, "")));
    window.key("Escape");
    wait_until_selected(&window, 2);

    window.key_with("ctrl", "Return");
    wait_for_results(&window, selected.label.split(", ").nth(1).unwrap());
    window.key_with("alt", "Left");
    wait_for_library(&window);

    wait_for_button(&window, "All photos, 4");
    window.key("F9");
    wait_until_gone(&window, "All photos, 4");
    window.key("F9");
    wait_for_button(&window, "All photos, 4");

    window.key_with("ctrl", "q");
    assert!(window.ended(PATIENCE).success());
}

#[test]
fn a_second_window_on_the_same_folder_says_so() {
    let (data, photos) = (tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 1, 2));
    let (first_screen, second_screen) = (screen(), screen());
    let first = launch(&first_screen, &data, Some(&photos));
    wait_until_indexed(&first, 2);
    let second = launch(&second_screen, &data, Some(&photos));
    wait_for_text(&second, "Another Florascope window has this folder open");
    wait_until_indexed(&second, 2);
    Shots::new().take(&second, "in use");

    assert!(first.close().success());
    second.click_node(&wait_for_button(&second, "Try again"));
    wait_until_gone(&second, "Another Florascope window");
    wait_until_indexed(&second, 2);
}

/// Waits for the field that takes a path, types into it, and presses Enter.
fn type_path(window: &Window, path: &Path) {
    window.wait_for("the field", PATIENCE, |view| view.nodes("TextInput").find(|node| node.focused).map(|_| ()));
    window.type_text(&path.display().to_string());
    window.key("Return");
}

#[test]
fn without_a_file_dialog_a_path_can_be_typed() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    let mut command = florascope(data.path());
    let no_bus = format!("unix:path={}", data.path().join("no-bus").display());
    let window = Window::launch(&screen, command.env("PATH", data.path()).env("DBUS_SESSION_BUS_ADDRESS", no_bus));
    window.click_node(&wait_for_button(&window, "Open folder…"));
    wait_for_text(&window, "No file dialog opened");
    Shots::new().take(&window, "no file dialog");
    type_path(&window, photos.path());
    wait_until_indexed(&window, 4);

    window.click_node(&wait_for_button(&window, "Search with a photo…"));
    wait_for_text(&window, "No file dialog opened");
    type_path(&window, &photos.path().join("none.jpg"));
    wait_for_text(&window, "There is nothing at this path");
    window.key("Escape");
    wait_until_gone(&window, "There is nothing at this path");
}

#[test]
fn a_file_dialog_that_never_comes_gives_way_to_a_field() {
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    // Who calls waits for ever.
    let bus = data.path().join("silent-bus");
    let _bus = UnixListener::bind(&bus).unwrap();
    let mut command = florascope(data.path());
    command.env("PATH", data.path()).env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
    let window = Window::launch(&screen, &mut command);
    window.click_node(&wait_for_button(&window, "Open folder…"));
    wait_for_text(&window, "file dialog has not opened");
    window.key("Escape");
    wait_until_gone(&window, "file dialog has not opened");
    // The one that was asked for may still come; there are never two.
    window.click_node(&wait_for_button(&window, "Open folder…"));
    wait_for_text(&window, "file dialog has not opened");
    type_path(&window, photos.path());
    wait_until_indexed(&window, 4);
    assert!(window.close().success());
}

#[test]
fn a_file_dialog_may_stay_open_for_long() {
    let Some(portal) = Portal::start() else { return };
    let (screen, data, photos) = (screen(), tempfile::tempdir().unwrap(), Photos::drawn("Meadow", 2, 2));
    let mut command = florascope(data.path());
    let window = Window::launch(&screen, command.env("DBUS_SESSION_BUS_ADDRESS", portal.address()));
    window.click_node(&wait_for_button(&window, "Open folder…"));
    portal.wait_until_asked();
    let dialog = window.lend_focus();
    // Longer than the window waits for a dialog to appear.
    std::thread::sleep(Duration::from_secs(6));
    wait_for_button(&window, "Open folder…");
    assert!(!window.view().has_text("Type or paste a path"), "{}", window.view().texts());
    drop(dialog);
    portal.answer(photos.path());
    wait_until_indexed(&window, 4);
}

#[test]
fn the_window_speaks_the_system_s_language_and_others() {
    let (screen, data) = (screen(), tempfile::tempdir().unwrap());
    let photos = Photos::drawn("春天的花", 2, 2);
    photos.write("empty.jpg", b"");
    let shots = Shots::new();
    let window = Window::launch(&screen, florascope(data.path()).env("LC_ALL", "zh_CN.UTF-8"));
    wait_for_text(&window, "拖入一张花的照片");
    shots.take(&window, "chinese welcome");
    window.drop_files(&[photos.path()], None);
    window.click_node(&wait_for_button(&window, "1 个问题"));
    // What the catalog holds is English, and shown in the window's language.
    wait_for_text(&window, "文件为空");
    shots.take(&window, "chinese problems");
    window.key("Escape");
    window.click_node(&wait_for_button(&window, "训练…"));
    wait_for_text(&window, "学习内容");
    shots.take(&window, "chinese training");
    assert_eq!(latin(&window.view()), [""; 0]);

    // Another is chosen at once, and the next time as well.
    window.click_node(&wait_for_button(&window, "菜单"));
    window.click_node(&wait_for_button(&window, "语言 (Language)"));
    shots.take(&window, "chinese menu");
    window.click_node(&wait_for_button(&window, "English"));
    wait_for_button(&window, "Train…");
    assert!(window.close().success());
    let window = Window::launch(&screen, florascope(data.path()).env("LC_ALL", "zh_CN.UTF-8"));
    wait_for_button(&window, "Search with a photo…");
}

/// What the window says in Latin letters, but for names, units and what is pressed.
fn latin(view: &View) -> Vec<String> {
    let names = ["Florascope", "empty.jpg", "Resize panel", "CPU", "GPU", "Esc", "Recall@", "MAP@R", "Top-"];
    let names = names.into_iter().chain(SPECIES.iter().map(|species| species.name));
    let names: Vec<&str> = names.collect();
    let texts = view.nodes.iter().flat_map(|node| [&node.label, &node.value]);
    let others = texts.map(|text| names.iter().fold(text.clone(), |text, name| text.replace(name, "")));
    others.filter(|text| text.chars().filter(char::is_ascii_alphabetic).count() > 3).collect()
}

#[test]
#[ignore = "makes pictures for a person to look at; only its first window has been seen so far"]
fn what_is_known_of_a_photo_and_the_problems_fit_every_window() {
    let (screen, data) = (screen(), tempfile::tempdir().unwrap());
    let photos = Photos::drawn("Garden", 2, 2);
    let drawn = std::fs::read(photos.path().join(SPECIES[0].name).join(format!("{} 01.jpg", SPECIES[0].name))).unwrap();
    let camera = [
        (Tag::Make, ExifValue::Ascii(vec![b"NIKON CORPORATION".to_vec()])),
        (Tag::Model, ExifValue::Ascii(vec![b"NIKON D850".to_vec()])),
        (Tag::DateTimeOriginal, ExifValue::Ascii(vec![b"2024:05:12 10:15:30".to_vec()])),
        (Tag::GPSLatitudeRef, ExifValue::Ascii(vec![b"N".to_vec()])),
        (Tag::GPSLatitude, ExifValue::Rational([51, 28, 44].map(|num| Rational { num, denom: 1 }).to_vec())),
        (Tag::GPSLongitudeRef, ExifValue::Ascii(vec![b"W".to_vec()])),
        (Tag::GPSLongitude, ExifValue::Rational([0, 0, 38].map(|num| Rational { num, denom: 1 }).to_vec())),
    ];
    photos.write("Aster/DSC_0001.jpg", &with_words(&drawn, &camera));
    for month in 1..=9 {
        photos.write(&format!("Aster/IMG_20230{month}12_101530.jpg"), &common::commented(&drawn, &month.to_string()));
    }
    for number in 0..40 {
        photos.write(&format!("Aster/empty {number:02}.jpg"), b"");
        photos.write(&format!("Rose/cut {number:02}.jpg"), &drawn[..900 + number]);
    }
    photos.write("Rose/notes.jpg", b"not a picture");
    let shots = Shots::new();
    for (width, height, theme, language, date) in [
        (1280, 800, "Light", "en", "12 May 2024, 10:15"),
        (640, 420, "Light", "en", "12 May 2024, 10:15"),
        (1280, 800, "Dark", "zh", "2024 年 5 月 12 日 10:15"),
        (640, 420, "Dark", "zh", "2024 年 5 月 12 日 10:15"),
    ] {
        let name = |what: &str| format!("dates {width} {theme} {language} {what}");
        let settings = serde_json::json!({ "window": [width, height], "theme": theme, "order": "Newest first" });
        std::fs::write(data.path().join("settings.json"), settings.to_string()).unwrap();
        let locale = if language == "zh" { "zh_CN.UTF-8" } else { "C.UTF-8" };
        let window = Window::launch(&screen, florascope(data.path()).env("LC_ALL", locale).arg(photos.path()));
        window.wait_for("the photos", PATIENCE, |view| {
            let tiles = tiles(view);
            (!tiles.is_empty() && tiles[0].says("DSC_0001.jpg") && view.node("Button", "81 ").is_some()).then_some(())
        });
        window.click_node(&wait_for_button(&window, if language == "zh" { "日期" } else { "Dates" }));
        wait_for_text(&window, if language == "zh" { "2023 年" } else { "Jan 2023" });
        wait_for_thumbnails(&window, &tiles(&window.view())[..1]);
        shots.take(&window, &name("grid"));
        window.key("Home");
        wait_until_selected(&window, 1);
        window.key("space");
        let said = wait_for_text(&window, date);
        assert!(said.says("NIKON D850  ·  ") && !said.says("CORPORATION"), "{said:?}");
        shots.take(&window, &name("large"));
        window.key("Escape");
        wait_until_gone(&window, date);
        window.click_node(&wait_for_button(&window, "81 "));
        wait_for_text(&window, "cut 00.jpg");
        std::thread::sleep(Duration::from_millis(300));
        shots.take(&window, &name("problems"));
        assert!(window.close().success());
    }
}

/// A JPEG with an EXIF block that says this.
fn with_words(jpeg: &[u8], words: &[(Tag, ExifValue)]) -> Vec<u8> {
    let field = |(tag, value): &(Tag, ExifValue)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() };
    let fields: Vec<Field> = words.iter().map(field).collect();
    common::described(jpeg, &fields, true)
}

#[test]
fn damaged_settings_are_told_of() {
    let (screen, data) = (screen(), tempfile::tempdir().unwrap());
    std::fs::write(data.path().join("settings.json"), b"{").unwrap();
    let window = launch(&screen, &data, None);
    wait_for_text(&window, "The settings could not be read");
}

#[test]
fn the_end_of_long_work_is_told_where_the_user_looks_elsewhere() {
    let Some(notifications) = Notifications::start() else { return };
    let (screen, data) = (screen(), TempDir::new().unwrap());
    let photos = Photos::drawn("Garden", 4, 6);
    let mut command = florascope(data.path());
    let command = command.env("DBUS_SESSION_BUS_ADDRESS", notifications.address()).args(["--long-after", "0"]);
    let window = Window::launch(&screen, command.arg(photos.path()));
    wait_until_indexed(&window, 24);
    // The window was in front all the time.
    assert!(!notifications.has_more());
    // The mouse reaches a window that the keyboard does not.
    let elsewhere = window.lend_focus();
    // A change that is seen of its own accord is no end of long work.
    photos.write("new.jpg", &encode(&another_of(0), ImageFormat::Jpeg));
    wait_for_text(&window, "25 photos");
    window.click_node(&wait_for_button(&window, "Garden"));
    window.click_node(&wait_for_button(&window, "Check for changes"));
    let (title, text) = notifications.wait();
    assert_eq!((title.as_str(), text.as_str()), ("Garden is up to date", "25 photos can be searched"));
    assert!(!notifications.has_more());
    drop(elsewhere);
}

#[test]
fn what_ended_unexpectedly_is_told_of_at_the_next_start_and_a_kill_is_not() {
    let (screen, data) = (screen(), TempDir::new().unwrap());
    let photos = Photos::drawn("Garden", 2, 2);
    let window = launch(&screen, &data, Some(&photos));
    wait_until_indexed(&window, 4);
    window.kill();
    let window = launch(&screen, &data, None);
    wait_until_indexed(&window, 4);
    let reports = || {
        let logs = data.path().join("logs");
        let names = std::fs::read_dir(logs).into_iter().flatten().map(|entry| entry.unwrap().path());
        names.filter(|path| path.to_string_lossy().contains("crash")).collect::<Vec<_>>()
    };
    assert_eq!(reports(), Vec::<PathBuf>::new());
    let process = Pid::from_raw(window.process().cast_signed()).unwrap();
    kill_process(process, Signal::ABORT).unwrap();
    assert_eq!(window.ended(PATIENCE).signal(), Some(6));
    assert_eq!(reports().len(), 1);
    let window = launch(&screen, &data, None);
    wait_for_text(&window, "Florascope ended unexpectedly the last time");
    let report = reports().pop().unwrap();
    assert!(window.view().has_text(&report.display().to_string()));
    let text = std::fs::read_to_string(&report).unwrap();
    assert!(text.starts_with("Florascope ") && text.contains("an abort (SIGABRT)"), "{text}");
    assert!(!text.contains("Garden"), "{text}");
    // Told once.
    drop(window);
    let window = launch(&screen, &data, None);
    wait_until_indexed(&window, 4);
    assert!(!window.view().has_text("unexpectedly"));
}
