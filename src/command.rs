//! Everything a user can do that has a name: its text, its explanation, its shortcut. Menus, buttons, the list of
//! shortcuts and the keyboard all read this one list.

use eframe::egui::{Key, KeyboardShortcut, Modifiers};
use tr::tr;

/// Makes the enum and the list of all its variants out of one list.
macro_rules! commands {
    ($($command:ident),* $(,)?) => {
        /// A named command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Command {
            $($command),*
        }

        impl Command {
            /// All commands, in the order of the list of shortcuts.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$command),*];
        }
    };
}

commands! {
    OpenFolder,
    OpenPath,
    OpenGarden,
    ChoosePhoto,
    Paste,
    FindByName,
    ClearQuery,
    Back,
    Forward,
    FindSimilar,
    ViewLarge,
    ActualSize,
    LinkPictures,
    ShowDetails,
    SelectAll,
    OpenPhoto,
    ShowInFileManager,
    CopyPath,
    CheckFolder,
    ReadAgain,
    StopIndexing,
    Train,
    ShowModels,
    ImportModel,
    LoadWeights,
    ShowLibraries,
    LargerThumbnails,
    SmallerThumbnails,
    ToggleSidebar,
    FullScreen,
    ShowProblems,
    CopyProblems,
    ShowShortcuts,
    ShowAbout,
    CopyDetails,
    Quit,
}

/// Commands that stand together in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Search,
    Photo,
    Folder,
    Training,
    Window,
}

impl Group {
    pub(crate) const ALL: [Self; 5] = [Self::Search, Self::Photo, Self::Folder, Self::Training, Self::Window];

    /// For people.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Search => tr!("Searching"),
            Self::Photo => tr!("A photo"),
            Self::Folder => tr!("Folders"),
            Self::Training => tr!("Training and models"),
            Self::Window => tr!("Window"),
        }
    }
}

/// What the list says of a command.
pub(crate) struct Info {
    pub(crate) text: String,
    pub(crate) tooltip: String,
    /// The first is the one that is shown.
    pub(crate) shortcuts: &'static [KeyboardShortcut],
}

const fn key(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

const fn command(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

const fn alt(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::ALT, key)
}

impl Command {
    /// Where it stands in the list.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::ChoosePhoto
            | Self::Paste
            | Self::FindByName
            | Self::ClearQuery
            | Self::Back
            | Self::Forward
            | Self::FindSimilar => Group::Search,
            Self::ViewLarge
            | Self::ActualSize
            | Self::LinkPictures
            | Self::ShowDetails
            | Self::SelectAll
            | Self::OpenPhoto
            | Self::ShowInFileManager
            | Self::CopyPath => Group::Photo,
            Self::OpenFolder
            | Self::OpenPath
            | Self::OpenGarden
            | Self::CheckFolder
            | Self::ReadAgain
            | Self::StopIndexing
            | Self::ShowLibraries
            | Self::ShowProblems
            | Self::CopyProblems => Group::Folder,
            Self::Train | Self::ShowModels | Self::ImportModel | Self::LoadWeights => Group::Training,
            Self::LargerThumbnails
            | Self::SmallerThumbnails
            | Self::ToggleSidebar
            | Self::FullScreen
            | Self::ShowShortcuts
            | Self::ShowAbout
            | Self::CopyDetails
            | Self::Quit => Group::Window,
        }
    }

    /// Text, explanation and shortcuts.
    pub(crate) fn info(self) -> Info {
        let (text, tooltip, shortcuts): (_, _, &'static [KeyboardShortcut]) = match self {
            Self::OpenFolder => (
                tr!("Open folder…"),
                tr!("Index a folder of photos, its sub-folders included"),
                &const { [command(Key::O)] },
            ),
            Self::OpenPath => (
                tr!("Open path…"),
                tr!("Type or paste the path of a folder to open, or of a photo to search with"),
                &const { [command(Key::L)] },
            ),
            Self::OpenGarden => {
                (tr!("Try the sample garden"), tr!("Flower pictures that the program draws itself"), &[])
            }
            Self::ChoosePhoto => (
                tr!("Search with a photo…"),
                tr!("Find the photos most similar to one on this computer"),
                &const { [KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O)] },
            ),
            Self::FindByName => (
                tr!("Find by name"),
                tr!("Find photos by words of their names, folders and labels"),
                &const { [key(Key::Slash), command(Key::F)] },
            ),
            // egui turns this key into a paste event by itself.
            Self::Paste => {
                (tr!("Paste photo"), tr!("Search with the picture in the clipboard"), &const { [command(Key::V)] })
            }
            Self::ClearQuery => (tr!("Clear search"), tr!("Back to all photos"), &const { [key(Key::Escape)] }),
            Self::Back => {
                (tr!("Back"), tr!("The search before this one"), &const { [alt(Key::ArrowLeft), key(Key::Backspace)] })
            }
            Self::Forward => (tr!("Forward"), tr!("The search after this one"), &const { [alt(Key::ArrowRight)] }),
            Self::FindSimilar => (
                tr!("Find similar"),
                tr!("Find the photos most similar to the selected one"),
                &const { [command(Key::Enter)] },
            ),
            Self::ViewLarge => {
                (tr!("View large"), tr!("Show the selected photo large"), &const { [key(Key::Space), key(Key::Enter)] })
            }
            Self::ActualSize => (
                tr!("Whole picture or actual size"),
                tr!("In the large view: all of the photo, or each of its pixels"),
                &const { [key(Key::Z)] },
            ),
            Self::LinkPictures => (
                tr!("Zoom both pictures"),
                tr!("In the large view: query and photo are zoomed and moved together"),
                &const { [key(Key::L)] },
            ),
            Self::ShowDetails => (
                tr!("Details"),
                tr!("What is known of the selected photo: date, camera, size, place"),
                &const { [key(Key::I)] },
            ),
            Self::SelectAll => {
                (tr!("Select all"), tr!("Select all photos that are shown"), &const { [command(Key::A)] })
            }
            Self::FullScreen => {
                (tr!("Full screen"), tr!("Fill the whole screen, and back"), &const { [key(Key::F11), key(Key::F)] })
            }
            Self::OpenPhoto => (
                tr!("Open"),
                tr!("Open the photo in the program that your system uses for photos"),
                &const { [command(Key::D)] },
            ),
            Self::ShowInFileManager => {
                (tr!("Show in file manager"), tr!("Open the photo's folder"), &const { [command(Key::E)] })
            }
            // egui turns this key into a copy event by itself.
            Self::CopyPath => {
                (tr!("Copy path"), tr!("Copy the photo's path to the clipboard"), &const { [command(Key::C)] })
            }
            Self::CheckFolder => {
                (tr!("Check for changes"), tr!("Index what is new or changed in the folder"), &const { [key(Key::F5)] })
            }
            Self::ReadAgain => (
                tr!("Read everything again"),
                tr!("Read all files of the folder again, also those that look unchanged"),
                &[],
            ),
            Self::StopIndexing => {
                (tr!("Stop"), tr!("Stop indexing; what is finished is kept"), &const { [command(Key::Period)] })
            }
            Self::Train => (
                tr!("Train…"),
                tr!("Learn from the photos in this folder, for better results"),
                &const { [command(Key::T)] },
            ),
            Self::ImportModel => (tr!("Import…"), tr!("Import a model that was exported on another computer"), &[]),
            Self::LoadWeights => (
                tr!("Import a network…"),
                tr!("Use another network, or start training from it: EfficientNet-Lite0 to 2, ResNet18, 34 and 50 or \
                 DINOv2 ViT-S/14 and ViT-B/14 as .safetensors, .pt or .pth"),
                &[],
            ),
            Self::ShowModels => (tr!("Models…"), tr!("The models on this computer"), &const { [command(Key::M)] }),
            Self::ShowLibraries => (
                tr!("Libraries…"),
                tr!("What is kept of each folder, and how much room it takes"),
                &const { [command(Key::B)] },
            ),
            Self::LargerThumbnails => (
                tr!("Larger"),
                tr!("Larger thumbnails; zooms in in the large view"),
                &const { [key(Key::Plus), key(Key::Equals)] },
            ),
            Self::SmallerThumbnails => {
                (tr!("Smaller"), tr!("Smaller thumbnails; zooms out in the large view"), &const { [key(Key::Minus)] })
            }
            Self::ToggleSidebar => (tr!("Side panel"), tr!("Show or hide the side panel"), &const { [key(Key::F9)] }),
            Self::ShowProblems => {
                (tr!("Problems"), tr!("Files that could not be read, and why"), &const { [command(Key::J)] })
            }
            Self::CopyProblems => (tr!("Copy list"), tr!("Copy the list of problems to the clipboard"), &[]),
            Self::ShowShortcuts => (
                tr!("Keyboard shortcuts"),
                tr!("Everything the keyboard can do"),
                &const { [key(Key::Questionmark), key(Key::F1)] },
            ),
            Self::ShowAbout => (tr!("About"), tr!("Version, device, and what the program is built on"), &[]),
            Self::CopyDetails => {
                (tr!("Copy details"), tr!("Copy versions and system to the clipboard, for a report"), &[])
            }
            Self::Quit => (tr!("Quit"), tr!("Close the program"), &const { [command(Key::Q)] }),
        };
        Info { text, tooltip, shortcuts }
    }
}

/// Keys without a name of their own, for the list of shortcuts.
pub(crate) fn grid_keys() -> [(String, String); 10] {
    [
        (tr!("Shift with arrows or click"), tr!("Select all photos up to there")),
        (tr!("Ctrl with click"), tr!("Add a photo to the selection, or take it away")),
        (tr!("Double click"), tr!("Find similar; in the large view, whole picture or actual size")),
        (tr!("Mouse wheel"), tr!("Zoom in the large view; drag to move")),
        (tr!("Ctrl with + − 0"), tr!("Everything in the window larger, smaller, as it was")),
        (tr!("Arrow keys"), tr!("Move the selection; walk on in the large view")),
        (tr!("Home, End"), tr!("First and last photo")),
        (tr!("Page up, Page down"), tr!("A screenful up or down")),
        (tr!("Tab"), tr!("Next button or list")),
        (tr!("Esc"), tr!("Close what is open, then clear the search")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_a_shortcut() {
        let mut seen = Vec::new();
        for shortcut in Command::ALL.iter().flat_map(|command| command.info().shortcuts) {
            assert!(!seen.contains(shortcut), "{shortcut:?}");
            seen.push(*shortcut);
        }
    }
}
