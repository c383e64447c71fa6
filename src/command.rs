//! Everything a user can do that has a name: its text, its explanation, its shortcut. Menus, buttons, the list of
//! shortcuts and the keyboard all read this one list.

use eframe::egui::{Key, KeyboardShortcut, Modifiers};

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
    ClearQuery,
    Back,
    Forward,
    FindSimilar,
    ViewLarge,
    OpenPhoto,
    ShowInFileManager,
    CopyPath,
    CheckFolder,
    StopIndexing,
    Train,
    ShowModels,
    ImportModel,
    LoadWeights,
    ShowLibraries,
    LargerThumbnails,
    SmallerThumbnails,
    ToggleSidebar,
    ShowProblems,
    CopyProblems,
    ShowShortcuts,
    ShowAbout,
    CopyDetails,
    Quit,
}

/// What the list says of a command.
pub(crate) struct Info {
    pub(crate) text: &'static str,
    pub(crate) tooltip: &'static str,
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
    /// Text, explanation and shortcuts.
    pub(crate) fn info(self) -> Info {
        let (text, tooltip, shortcuts): (_, _, &'static [KeyboardShortcut]) = match self {
            Self::OpenFolder => {
                ("Open folder…", "Index a folder of photos, its sub-folders included", &const { [command(Key::O)] })
            }
            Self::OpenPath => (
                "Open path…",
                "Type or paste the path of a folder to open, or of a photo to search with",
                &const { [command(Key::L)] },
            ),
            Self::OpenGarden => ("Try the sample garden", "Flower pictures that the program draws itself", &[]),
            Self::ChoosePhoto => {
                ("Choose photo…", "Find the photos most similar to one on this computer", &const { [command(Key::F)] })
            }
            // egui turns this key into a paste event by itself.
            Self::Paste => ("Paste photo", "Search with the picture in the clipboard", &const { [command(Key::V)] }),
            Self::ClearQuery => ("Clear search", "Back to all photos", &const { [key(Key::Escape)] }),
            Self::Back => ("Back", "The search before this one", &const { [alt(Key::ArrowLeft), key(Key::Backspace)] }),
            Self::Forward => ("Forward", "The search after this one", &const { [alt(Key::ArrowRight)] }),
            Self::FindSimilar => {
                ("Find similar", "Find the photos most similar to the selected one", &const { [command(Key::Enter)] })
            }
            Self::ViewLarge => {
                ("View large", "Show the selected photo large", &const { [key(Key::Space), key(Key::Enter)] })
            }
            Self::OpenPhoto => {
                ("Open", "Open the photo in the program that your system uses for photos", &const { [command(Key::D)] })
            }
            Self::ShowInFileManager => {
                ("Show in file manager", "Open the photo's folder", &const { [command(Key::E)] })
            }
            // egui turns this key into a copy event by itself.
            Self::CopyPath => ("Copy path", "Copy the photo's path to the clipboard", &const { [command(Key::C)] }),
            Self::CheckFolder => {
                ("Check for changes", "Index what is new or changed in the folder", &const { [key(Key::F5)] })
            }
            Self::StopIndexing => {
                ("Stop", "Stop indexing; what is finished is kept", &const { [command(Key::Period)] })
            }
            Self::Train => {
                ("Train…", "Learn from the photos in this folder, for better results", &const { [command(Key::T)] })
            }
            Self::ImportModel => ("Import…", "Import a model that was exported on another computer", &[]),
            Self::LoadWeights => (
                "Load weights…",
                "Use another network, or start training from it: EfficientNet-Lite0 to 2, ResNet18, 34 and 50 or \
                 DINOv2 ViT-S/14 as .safetensors, .pt or .pth",
                &[],
            ),
            Self::ShowModels => ("Models…", "The models on this computer", &const { [command(Key::M)] }),
            Self::ShowLibraries => {
                ("Libraries…", "What is kept of each folder, and how much room it takes", &const { [command(Key::B)] })
            }
            Self::LargerThumbnails => {
                ("Larger thumbnails", "Fewer, larger pictures", &const { [key(Key::Plus), key(Key::Equals)] })
            }
            Self::SmallerThumbnails => ("Smaller thumbnails", "More, smaller pictures", &const { [key(Key::Minus)] }),
            Self::ToggleSidebar => ("Side panel", "Show or hide the side panel", &const { [key(Key::F9)] }),
            Self::ShowProblems => ("Problems", "Files that could not be read, and why", &const { [command(Key::J)] }),
            Self::CopyProblems => ("Copy list", "Copy the list of problems to the clipboard", &[]),
            Self::ShowShortcuts => (
                "Keyboard shortcuts",
                "Everything the keyboard can do",
                &const { [key(Key::Questionmark), key(Key::F1)] },
            ),
            Self::ShowAbout => ("About", "Version, device, and what the program is built on", &[]),
            Self::CopyDetails => ("Copy details", "Copy versions and system to the clipboard, for a report", &[]),
            Self::Quit => ("Quit", "Close the program", &const { [command(Key::Q)] }),
        };
        Info { text, tooltip, shortcuts }
    }
}

/// Keys without a name of their own, for the list of shortcuts.
pub(crate) const GRID_KEYS: &[(&str, &str)] = &[
    ("Arrow keys", "Move the selection; walk on in the large view"),
    ("Home, End", "First and last photo"),
    ("Page up, Page down", "A screenful up or down"),
    ("Tab", "Next button or list"),
    ("Esc", "Close what is open, then clear the search"),
];

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
