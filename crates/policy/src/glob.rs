//! Wildcards: `*` for any run of characters, `?` for one.

/// One piece of a pattern. Characters that came out of a variable are literal whatever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Char(char),
    One,
    Any,
}

/// The tokens of a text in which `*` and `?` are wildcards.
pub(crate) fn wildcards(text: &str) -> Vec<Token> {
    text.chars()
        .map(|c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            c => Token::Char(c),
        })
        .collect()
}

/// Whether the whole text matches. Time is at most the product of the lengths: on a mismatch only
/// the last `*` is tried again, which is enough because an earlier one could not do better.
pub(crate) fn matches(pattern: &[Token], text: &str, ignore_case: bool) -> bool {
    let text: Vec<char> = text.chars().collect();
    let same = |a: char, b: char| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Any) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(Token::One) => {
                p += 1;
                t += 1;
            }
            Some(Token::Char(c)) if same(*c, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    t = from + 1;
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Any)
}

/// Whether an action matches a pattern; case does not matter.
pub(crate) fn action(pattern: &str, action: &str) -> bool {
    matches(&wildcards(pattern), action, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_spans_any_run_and_a_question_mark_one_character() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("", "a", false),
            ("é?", "éé", true),
        ] {
            assert_eq!(matches(&wildcards(pattern), text, false), want, "{pattern} {text}");
        }
        assert!(action("S3:get*", "s3:GetObject"));
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = wildcards(&"a*".repeat(500));
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(499)), false));
    }
}
