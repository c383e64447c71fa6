//! The window's language. Its texts stand in English where they are used, in `tr!`; a translation is one file in
//! `assets/languages`, in the PO format of GNU gettext, and a line in [`Language`].
//!
//! What the rooms below the window have to say is English everywhere: in logs, on the command line, in catalogs. The window
//! translates it when it is shown, by [`translate`], so that it follows the language that is chosen then.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use polib::message::MessageView;
use serde::{Deserialize, Serialize};
use tr::{Translator, set_translator, tr, unset_translator};

/// Which language the window speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LanguageChoice {
    #[default]
    System,
    English,
    Chinese,
}

impl LanguageChoice {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::English, Self::Chinese];

    /// For the menu: each language by its own name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::System => tr!("Same as system"),
            Self::English => "English".into(),
            Self::Chinese => "简体中文".into(),
        }
    }

    /// Has the window speak this language from now on.
    pub fn apply(self) {
        let language = match self {
            Self::System => sys_locale::get_locales().find_map(|locale| Language::of(&locale)).unwrap_or_default(),
            Self::English => Language::English,
            Self::Chinese => Language::Chinese,
        };
        let speak = |messages| *MESSAGES.write().unwrap_or_else(PoisonError::into_inner) = messages;
        let Some(file) = language.file() else {
            speak(Vec::new());
            return unset_translator!();
        };
        match Translation::read(file) {
            Ok(translation) => {
                speak(translation.messages());
                set_translator!(translation);
            }
            Err(error) => log::error!("The translation cannot be read: {error}"),
        }
    }
}

/// A language that the window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Language {
    #[default]
    English,
    /// In simplified characters.
    Chinese,
}

impl Language {
    /// The one that is meant by a locale such as `zh-CN`; who reads traditional characters has not chosen the others.
    fn of(locale: &str) -> Option<Self> {
        let mut parts = locale.split(['-', '_', '.', '@']);
        match parts.next()? {
            "en" | "C" | "POSIX" => Some(Self::English),
            "zh" if !parts.any(|part| matches!(part, "TW" | "HK" | "MO" | "Hant")) => Some(Self::Chinese),
            _ => None,
        }
    }

    fn file(self) -> Option<&'static str> {
        match self {
            Self::English => None,
            Self::Chinese => Some(include_str!("../assets/languages/zh-CN.po")),
        }
    }
}

/// A translation, by the English texts.
struct Translation {
    texts: HashMap<String, String>,
    /// What differs between one and many: by the English for one.
    counted: HashMap<String, Vec<String>>,
}

impl Translation {
    fn read(file: &str) -> Result<Self, polib::po_file::POParseError> {
        let catalog = polib::po_file::parse_from_reader(file.as_bytes())?;
        let (counted, texts): (Vec<_>, Vec<_>) = catalog.messages().partition(|entry| entry.is_plural());
        let id = |entry: &dyn MessageView| entry.msgid().to_owned();
        Ok(Self {
            texts: texts.into_iter().filter_map(|entry| Some((id(entry), entry.msgstr().ok()?.to_owned()))).collect(),
            counted: counted
                .into_iter()
                .filter_map(|entry| Some((id(entry), entry.msgstr_plural().ok()?.clone())))
                .collect(),
        })
    }

    /// What can be looked for in the texts of the rooms below; what differs between one and many is the window's own.
    fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<_> =
            self.texts.iter().map(|(id, translation)| Message::new(id, translation.clone())).collect();
        // A colon alone is in everything.
        messages.retain(|message| message.pieces.iter().any(|piece| piece.chars().any(char::is_alphabetic)));
        messages
    }
}

impl Translator for Translation {
    fn translate<'a>(&'a self, text: &'a str, _context: Option<&'a str>) -> Cow<'a, str> {
        Cow::Borrowed(self.texts.get(text).map_or(text, String::as_str))
    }

    fn ntranslate<'a>(&'a self, n: u64, one: &'a str, many: &'a str, _context: Option<&'a str>) -> Cow<'a, str> {
        // Chinese has one form for all; a language with more than two needs a rule here.
        let forms = self.counted.get(one).map_or(&[][..], Vec::as_slice);
        let form = if n == 1 { forms.first() } else { forms.last() };
        Cow::Borrowed(form.map_or(if n == 1 { one } else { many }, String::as_str))
    }
}

/// A message and its translation.
struct Message {
    /// What stands between its placeholders, and before and after them.
    pieces: Vec<String>,
    /// What the placeholders are called.
    names: Vec<String>,
    translation: String,
}

/// All of the language that is spoken; none where that is English.
static MESSAGES: RwLock<Vec<Message>> = RwLock::new(Vec::new());

/// How deep messages are looked for in messages: a file's damage in a model's failure in a training's.
const DEPTH: usize = 4;

/// What a room below the window says, in the window's language; as it is, where nobody has translated it.
pub(crate) fn translate(text: &str) -> String {
    let messages = MESSAGES.read().unwrap_or_else(PoisonError::into_inner);
    translated(&messages, text, DEPTH).unwrap_or_else(|| text.to_owned())
}

fn translated(messages: &[Message], text: &str, depth: usize) -> Option<String> {
    let matching = messages.iter().filter_map(|message| Some((message, message.values(text)?)));
    let inner = |value: &str| depth.checked_sub(1).and_then(|depth| translated(messages, value, depth));
    // The one that says most by itself.
    let most = matching.max_by_key(|(message, _)| message.pieces.iter().map(String::len).sum::<usize>());
    let Some((message, values)) = most else {
        // Which file a reason is about stands behind it.
        let (reason, of) = text.split_once(": ")?;
        return Some(format!("{}：{of}", inner(reason)?));
    };
    Some(message.filled(&values.iter().map(|value| inner(value).unwrap_or((*value).to_owned())).collect::<Vec<_>>()))
}

impl Message {
    fn new(id: &str, translation: String) -> Self {
        let (pieces, names) = split(id);
        Self { pieces, names, translation }
    }

    /// What stands in the placeholders, where `text` is this message.
    fn values<'a>(&self, text: &'a str) -> Option<Vec<&'a str>> {
        let [first, between @ .., last] = self.pieces.as_slice() else {
            return (self.pieces.first()? == text).then(Vec::new);
        };
        let mut rest = text.strip_prefix(first.as_str())?.strip_suffix(last.as_str())?;
        let mut values = Vec::new();
        for piece in between {
            let (value, after) = rest.split_once(piece.as_str())?;
            values.push(value);
            rest = after;
        }
        values.push(rest);
        Some(values)
    }

    /// The translation with these in its placeholders: `{}` in their order, `{0}` by number, `{path}` by name.
    fn filled(&self, values: &[String]) -> String {
        let (pieces, names) = split(&self.translation);
        let mut text = pieces[0].clone();
        for (place, (name, piece)) in names.iter().zip(&pieces[1..]).enumerate() {
            let number = match name.parse() {
                Ok(number) => number,
                Err(_) if name.is_empty() => place,
                Err(_) => self.names.iter().position(|known| known == name).unwrap_or(place),
            };
            text += values.get(number).map_or("", String::as_str);
            text += piece;
        }
        text
    }
}

/// The parts of a message around its placeholders, and what these are called.
fn split(message: &str) -> (Vec<String>, Vec<String>) {
    let mut parts = message.split('{');
    let mut pieces = vec![parts.next().unwrap_or_default().to_owned()];
    let mut names = Vec::new();
    for part in parts {
        let (name, piece) = part.split_once('}').unwrap_or(("", part));
        names.push(name.split(':').next().unwrap_or_default().to_owned());
        pieces.push(piece.to_owned());
    }
    (pieces, names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A piece of source code: a string literal, or one character of all the rest but white space.
    #[derive(Clone, Debug, PartialEq)]
    enum Token {
        Literal(String),
        Other(char),
    }

    /// Source code without comments and without the tests at its end.
    fn tokens(code: &str) -> Vec<Token> {
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let mut rest = code.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = rest.next() {
            match c {
                '/' if rest.peek() == Some(&'/') => rest.by_ref().find(|c| *c == '\n').map_or((), drop),
                '"' => tokens.push(Token::Literal(literal(&mut rest))),
                '\'' => {
                    // A character, or the name of a lifetime.
                    let mut ahead = rest.clone();
                    let first = ahead.next();
                    let length =
                        if first == Some('\\') { ahead.position(|c| c == '\'').map(|n| n + 2) } else { Some(2) };
                    if first == Some('\\') || ahead.next() == Some('\'') {
                        rest.nth(length.unwrap() - 1);
                    }
                }
                c if !c.is_whitespace() => tokens.push(Token::Other(c)),
                _ => {}
            }
        }
        tokens
    }

    fn literal(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
        let mut text = String::new();
        loop {
            match rest.next().unwrap() {
                '"' => return text,
                '\\' => match rest.next().unwrap() {
                    'n' => text.push('\n'),
                    '\n' => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                    'u' => {
                        let code: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                        text.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }

    /// The literal right after each `start`, with the one after a `|`, if there is one.
    fn after(tokens: &[Token], start: &str) -> Vec<(String, Option<String>)> {
        let start: Vec<Token> = start.chars().map(Token::Other).collect();
        // A name that only ends like it is another.
        let is_name = |token: &Token| matches!(token, Token::Other(c) if c.is_alphanumeric() || *c == '_');
        let windows = tokens.windows(start.len() + 4).filter(|window| !is_name(&window[0])).map(|window| &window[1..]);
        let found = windows.filter(|window| window.starts_with(&start));
        found
            .filter_map(|window| match &window[start.len()..] {
                [Token::Literal(one), Token::Other('|'), Token::Literal(many)] => {
                    Some((one.clone(), Some(many.clone())))
                }
                [Token::Literal(one), ..] => Some((one.clone(), None)),
                _ => None,
            })
            .collect()
    }

    /// A message without what its placeholders are called.
    fn plain(message: &str) -> String {
        split(message).0.join("{}")
    }

    fn sources() -> Vec<Vec<Token>> {
        let files = walkdir::WalkDir::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).into_iter().map(Result::unwrap);
        let code = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs"));
        code.map(|file| tokens(&std::fs::read_to_string(file.path()).unwrap())).collect()
    }

    fn is_text(message: &str) -> bool {
        plain(message).chars().any(char::is_alphabetic)
    }

    #[test]
    fn every_text_is_translated_and_every_translation_is_of_a_text() {
        let file = Language::Chinese.file().unwrap();
        let catalog = polib::po_file::parse_from_reader(file.as_bytes()).unwrap();
        let ids: BTreeSet<_> = catalog
            .messages()
            .map(|entry| (entry.msgid().to_owned(), entry.msgid_plural().ok().map(ToOwned::to_owned)))
            .collect();
        assert_eq!(ids.len(), file.matches("\nmsgid \"").count(), "a text is there twice");
        let sources = sources();
        let own: BTreeSet<_> =
            sources.iter().flat_map(|tokens| after(tokens, "tr!(")).filter(|text| is_text(&text.0)).collect();
        assert!(own.len() > 200);
        let errors: BTreeSet<_> = sources
            .iter()
            .flat_map(|tokens| after(tokens, "#[error("))
            .map(|(text, _)| plain(&text))
            .filter(|text| is_text(text))
            .collect();
        let missing: Vec<String> = own
            .difference(&ids)
            .cloned()
            .chain(
                errors
                    .iter()
                    .filter(|text| !ids.iter().any(|(id, _)| plain(id) == **text))
                    .map(|text| (text.clone(), None)),
            )
            .map(|(one, many)| match many {
                Some(many) => format!("msgid {one:?}\nmsgid_plural {many:?}\nmsgstr[0] \"\"\n"),
                None => format!("msgid {one:?}\nmsgstr \"\"\n"),
            })
            .collect();
        assert!(missing.is_empty(), "not translated:\n\n{}", missing.join("\n"));
        let all: BTreeSet<String> = sources
            .iter()
            .flatten()
            .filter_map(|token| if let Token::Literal(text) = token { Some(plain(text)) } else { None })
            .collect();
        let stale: Vec<_> = ids.iter().filter(|(id, _)| !all.contains(&plain(id))).collect();
        assert!(stale.is_empty(), "no text of the program: {stale:#?}");
        for entry in catalog.messages() {
            let many = entry.msgstr_plural().map_or(&[][..], Vec::as_slice).iter().map(String::as_str);
            for translation in entry.msgstr().into_iter().chain(many) {
                let (wanted, found) = (split(entry.msgid()).1, split(translation).1);
                let is_known =
                    |name: &String| name.parse::<usize>().is_ok_and(|n| n < wanted.len()) || wanted.contains(name);
                let is_whole = !translation.is_empty() && wanted.len() == found.len() && found.iter().all(is_known);
                assert!(is_whole, "{}: {translation}", entry.msgid());
            }
        }
    }

    #[test]
    fn what_other_rooms_say_is_known_by_its_form() {
        let message = |id: &str, translation: &str| Message::new(id, translation.into());
        let messages = [
            message("The file is empty", "文件为空"),
            message("The file is damaged: {0}", "文件已损坏：{}"),
            message("The folder cannot be opened ({error}): {path}", "无法打开文件夹 {path}（{error}）"),
            message("The folder cannot be opened", "无法打开文件夹"),
        ];
        let translated = |text: &str| translated(&messages, text, DEPTH);
        assert_eq!(translated("The file is damaged: The file is empty").as_deref(), Some("文件已损坏：文件为空"));
        assert_eq!(translated("The file is damaged: at byte 7").as_deref(), Some("文件已损坏：at byte 7"));
        let path = "The folder cannot be opened (no such file): /a (b)/c";
        assert_eq!(translated(path).as_deref(), Some("无法打开文件夹 /a (b)/c（no such file）"));
        assert_eq!(translated("The file is empty: /a: b").as_deref(), Some("文件为空：/a: b"));
        assert_eq!(translated("The folder"), None);
    }

    #[test]
    fn the_language_is_the_system_s() {
        let of = Language::of;
        assert_eq!([of("zh-CN"), of("zh_CN.UTF-8"), of("zh-Hans-SG"), of("zh")], [Some(Language::Chinese); 4]);
        assert_eq!([of("en-GB"), of("C.UTF-8"), of("C")], [Some(Language::English); 3]);
        assert_eq!([of("zh-TW"), of("zh-Hant-HK"), of("de-DE"), of("")], [None; 4]);
    }
}
