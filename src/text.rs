//! Text of others, made fit to be shown.

/// On one line, without what cannot be seen or turns the writing's direction around, and of at most so many characters.
pub(crate) fn sanitise_line(text: &str, length: usize) -> String {
    let is_visible = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let visible: String = text.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= length {
        return line;
    }
    line.chars().take(length.saturating_sub(1)).collect::<String>().trim_end().to_owned() + "…"
}

/// With escapes in place of what a terminal would obey and of what turns the writing's direction around.
pub(crate) fn escape(text: &str) -> String {
    let is_obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_can_be_seen() {
        assert_eq!(sanitise_line(" Roses\n of\t\u{7}Ann\u{202e}a ", 60), "Roses of Ann a");
        assert_eq!(sanitise_line(&"é".repeat(99), 60).chars().count(), 60);
    }
}
