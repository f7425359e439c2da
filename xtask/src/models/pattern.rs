//! AWS's patterns are Java's; these are the same languages for the `regex` crate.
//!
//! Differences that matter: `\w`, `\d` and `\s` are ASCII; `\uXXXX`; a bare `[` or a stray `-` in a
//! class is literal; possessive quantifiers; look-around, which `regex` has not and which is
//! restated by hand in [`BY_HAND`] where the language allows it.

/// Patterns with look-around, restated. Lengths stay with the shape's own constraints.
const BY_HAND: &[(&str, &str)] = &[
    // An account alias: no two hyphens in a row.
    ("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "[a-z0-9](?:-?[a-z0-9])+"),
    // A session name or token of any XML character; `\u10000` is meant as one code point.
    (
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
        r"[\t\n\r\x20-\x7E\x{85}\x{A0}-\x{D7FF}\x{E000}-\x{FFFD}\x{10000}-\x{10FFFF}]+",
    ),
];

/// The pattern for `regex`; `None` where it cannot be stated, which the generator reports.
pub fn translate(java: &str) -> Option<String> {
    let text = match BY_HAND.iter().find(|(source, _)| *source == java) {
        Some((_, regex)) => (*regex).to_owned(),
        None => translate_text(java)?,
    };
    // The limit that the run-time compiler has too: a pattern that costs more is not worth it.
    regex::Regex::new(&format!(r"\A(?:{text})\z")).ok().map(|_| text)
}

fn translate_text(java: &str) -> Option<String> {
    let chars: Vec<char> = java.chars().collect();
    let mut out = String::new();
    let mut i = 0;
    while i < chars.len() {
        match chars[i] {
            '[' => i = class(&chars, i, &mut out)?,
            '\\' => {
                let (piece, next) = escape(&chars, i, false)?;
                out.push_str(&piece);
                i = next;
            }
            '(' if chars.get(i + 1) == Some(&'?') => match chars.get(i + 2)? {
                ':' | 'i' | 's' => {
                    out.push('(');
                    i += 1;
                }
                _ => return None,
            },
            // A possessive quantifier differs only in how it searches.
            c @ ('+' | '*' | '?' | '}') => {
                out.push(c);
                i += 1;
                if chars.get(i) == Some(&'+') {
                    i += 1;
                }
            }
            c => {
                out.push(c);
                i += 1;
            }
        }
    }
    Some(out)
}

/// One `\x` escape: its translation, and where the text goes on.
fn escape(chars: &[char], at: usize, in_class: bool) -> Option<(String, usize)> {
    let wrap = |set: &str, negated: bool| match (in_class, negated) {
        (true, false) => set.to_owned(),
        (false, false) => format!("[{set}]"),
        (_, true) => format!("[^{set}]"),
    };
    let c = *chars.get(at + 1)?;
    let next = at + 2;
    let piece = match c {
        'w' => wrap("0-9A-Za-z_", false),
        'W' => wrap("0-9A-Za-z_", true),
        'd' => wrap("0-9", false),
        'D' => wrap("0-9", true),
        's' => wrap(r"\t\n\x0B\x0C\r ", false),
        'S' => wrap(r"\t\n\x0B\x0C\r ", true),
        'u' => {
            let hex: String = chars.get(next..next + 4)?.iter().collect();
            return Some((format!(r"\x{{{hex}}}"), next + 4));
        }
        'x' if chars.get(next) != Some(&'{') => {
            let hex: String = chars.get(next..next + 2)?.iter().collect();
            return Some((format!(r"\x{{{hex}}}"), next + 2));
        }
        'p' | 'P' => {
            let end = if chars.get(next) == Some(&'{') {
                next + chars.get(next..)?.iter().position(|c| *c == '}')? + 1
            } else {
                next + 1
            };
            let name: String = chars.get(next..end)?.iter().collect();
            let piece = match name.as_str() {
                "{ASCII}" => wrap(r"\x00-\x7F", c == 'P'),
                "{Print}" => wrap(r"\x20-\x7E", c == 'P'),
                "{Graph}" => wrap(r"\x21-\x7E", c == 'P'),
                "{Alnum}" => wrap("0-9A-Za-z", c == 'P'),
                "{Alpha}" => wrap("A-Za-z", c == 'P'),
                "{Punct}" => wrap(r"!-/:-@\[-`{-~", c == 'P'),
                name => format!(r"\{c}{name}"),
            };
            return Some((piece, end));
        }
        'n' | 'r' | 't' | 'f' | 'v' | 'b' | 'B' => format!(r"\{c}"),
        c if c.is_ascii_alphanumeric() => return None,
        '<' | '>' | '/' | '_' | ':' | ',' | '@' | '=' | '"' | '\'' | ' ' | '!' | '%' | ';'
        | '`' => c.to_string(),
        c => format!(r"\{c}"),
    };
    Some((piece, next))
}

/// One `[…]` class: its translation goes to `out`; returns where the text goes on.
fn class(chars: &[char], at: usize, out: &mut String) -> Option<usize> {
    let mut i = at + 1;
    out.push('[');
    if chars.get(i) == Some(&'^') {
        out.push('^');
        i += 1;
    }
    let first = i;
    // Whether what came last may begin a range.
    let mut single = false;
    loop {
        let c = *chars.get(i)?;
        match c {
            ']' if i > first => {
                out.push(']');
                return Some(i + 1);
            }
            '[' if chars.get(i + 1) == Some(&'^') || nested(chars, i) => {
                i = class(chars, i, out)?;
                single = false;
            }
            '\\' => {
                let set =
                    matches!(chars.get(i + 1)?, 'w' | 'W' | 'd' | 'D' | 's' | 'S' | 'p' | 'P');
                let (piece, next) = escape(chars, i, true)?;
                out.push_str(&piece);
                single = !set;
                i = next;
            }
            '-' => {
                let range = single
                    && chars.get(i + 1).is_some_and(|c| *c != ']')
                    && !(chars.get(i + 1) == Some(&'\\')
                        && matches!(chars.get(i + 2), Some('w' | 'd' | 's' | 'p')));
                out.push_str(if range { "-" } else { r"\-" });
                single = !range && !single;
                i += 1;
                if range {
                    // The end of the range is a literal whatever it is.
                    let (piece, next) = match chars[i] {
                        '\\' => escape(chars, i, true)?,
                        c => (literal(c), i + 1),
                    };
                    out.push_str(&piece);
                    i = next;
                }
            }
            '&' if chars.get(i + 1) == Some(&'&') => return None,
            c => {
                out.push_str(&literal(c));
                single = true;
                i += 1;
            }
        }
    }
}

/// Whether a `[` inside a class begins a class of its own: Java has unions, but AWS's authors
/// mostly meant the bracket itself.
fn nested(chars: &[char], at: usize) -> bool {
    let rest = &chars[at + 1..];
    rest.iter()
        .position(|c| *c == ']')
        .is_some_and(|end| rest.get(end + 1) == Some(&']') && end > 1)
}

fn literal(c: char) -> String {
    match c {
        '[' | ']' | '&' | '~' | '^' | '-' => format!(r"\{c}"),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_and_regex_agree() {
        for (java, yes, no) in [
            (r"[\w+=,.@-]+", "a.b-c@d_e+f", "é"),
            (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "a\té", "\u{0100}"),
            (r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", "/a/b/", "/a"),
            (r"[\w-.]+", "a-b.c", "a+b"),
            (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "é 1", "(x)"),
            ("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "my-alias", "my--alias"),
            (r"[^\s]++", "abc", "a c"),
            (r"[a-zA-Z0-9:/_\s.-]+", "a b/c", "a*"),
        ] {
            let regex = translate(java).unwrap_or_else(|| panic!("{java}"));
            let regex = regex::Regex::new(&format!(r"\A(?:{regex})\z")).unwrap();
            assert!(regex.is_match(yes), "{java} should match {yes}");
            assert!(!regex.is_match(no), "{java} should not match {no}");
        }
    }
}
