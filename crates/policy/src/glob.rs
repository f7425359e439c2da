//! Wildcards: `*` for any run of characters, `?` for one.

/// Steps of matching, counted in tests: what hostile texts may cost is stated in them.
pub(crate) mod steps {
    #[cfg(test)]
    thread_local! {
        static TAKEN: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
    }

    #[inline]
    pub fn add(steps: usize) {
        #[cfg(test)]
        TAKEN.set(TAKEN.get() + steps as u64);
        #[cfg(not(test))]
        let _ = steps;
    }

    /// The steps of this thread since the last call.
    #[cfg(test)]
    pub fn take() -> u64 {
        TAKEN.replace(0)
    }
}

/// One piece of a pattern. Characters that came out of a variable are literal whatever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Char(char),
    One,
    Any,
    /// As `One` and `Any`, but no colon: they stay within one part of an ARN.
    OneWithinPart,
    AnyWithinPart,
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

/// The tokens of one part of an ARN pattern: its wildcards stay within it, but for a `*` at its end.
pub(crate) fn within_part(text: &str) -> Vec<Token> {
    let mut tokens = wildcards(text);
    if let Some((_, inner)) = tokens.split_last_mut() {
        for token in inner {
            *token = match *token {
                Token::Any => Token::AnyWithinPart,
                other => other,
            };
        }
    }
    for token in &mut tokens {
        if *token == Token::One {
            *token = Token::OneWithinPart;
        }
    }
    tokens
}

/// The tokens of a name or ARN format of the service reference, whose placeholders, `${BucketName}`,
/// stand for one character or more.
pub(crate) fn template(format: &str) -> Vec<Token> {
    let mut out = Vec::with_capacity(format.len());
    let mut rest = format;
    while let Some(at) = rest.find("${") {
        out.extend(rest[..at].chars().map(Token::Char));
        out.extend([Token::One, Token::Any]);
        rest = rest[at..].split_once('}').map_or("", |(_, after)| after);
    }
    out.extend(rest.chars().map(|c| if c == '*' { Token::Any } else { Token::Char(c) }));
    out
}

/// Whether a text is of a pattern in which `*` stands for any run of characters, and `?` for one.
pub fn is_like(pattern: &str, text: &str) -> bool {
    matches(&wildcards(pattern), text, false)
}

/// Whether the whole text matches. Time is at most the product of the lengths; a pattern that needs
/// more characters than there are costs nothing.
pub(crate) fn matches(pattern: &[Token], text: &str, ignore_case: bool) -> bool {
    let same = |a: char, b: char| a == b || (ignore_case && a.eq_ignore_ascii_case(&b));
    let is_any = |token: &&Token| matches!(token, Token::Any | Token::AnyWithinPart);
    let needed = pattern.len() - pattern.iter().filter(is_any).count();
    if needed > text.len() {
        return false;
    }
    if pattern.contains(&Token::AnyWithinPart) {
        by_reach(pattern, text, same)
    } else {
        by_last_star(pattern, text, same)
    }
}

/// Where every star is free: each may be taken as short as possible, so that after a mismatch only
/// the last one need grow.
fn by_last_star(pattern: &[Token], text: &str, same: impl Fn(char, char) -> bool + Copy) -> bool {
    let mut rest = text.chars();
    let mut at = 0;
    // What follows the last star in the pattern, and the text that it has not taken.
    let mut last: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        steps::add(1);
        if pattern.get(at) == Some(&Token::Any) {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            last = Some((at, rest.clone()));
            continue;
        }
        let mut ahead = rest.clone();
        match (pattern.get(at), ahead.next()) {
            (None, None) => return true,
            (Some(_), None) => return false,
            (Some(token), Some(c)) if matches_one(*token, c, same) => {
                at += 1;
                rest = ahead;
            }
            _ => {
                let Some((after, from)) = &mut last else { return false };
                from.next();
                (at, rest) = (*after, from.clone());
            }
        }
    }
}

/// Where some star must stay within its part: walks the text once and keeps which places of the
/// pattern can be reached.
fn by_reach(pattern: &[Token], text: &str, same: impl Fn(char, char) -> bool + Copy) -> bool {
    let is_any = |token: &Token| matches!(token, Token::Any | Token::AnyWithinPart);
    // What stands before the first token that may match nothing needs no such set.
    let fixed = pattern.iter().position(is_any).unwrap_or(pattern.len());
    let mut rest = text.chars();
    for token in &pattern[..fixed] {
        let Some(c) = rest.next() else { return false };
        if !matches_one(*token, c, same) {
            return false;
        }
    }
    let pattern = &pattern[fixed..];
    // `reached[p]`: the text so far can end before token `p`.
    let mut reached = vec![false; pattern.len() + 1];
    let mut next = reached.clone();
    reached[0] = true;
    for c in rest {
        next.fill(false);
        steps::add(pattern.len());
        for (p, token) in pattern.iter().enumerate() {
            if is_any(token) {
                // It may match nothing, or this character too.
                reached[p + 1] |= reached[p];
                next[p] |= reached[p] && matches_one(*token, c, same);
            } else {
                next[p + 1] |= reached[p] && matches_one(*token, c, same);
            }
        }
        std::mem::swap(&mut reached, &mut next);
        if !reached.contains(&true) {
            return false;
        }
    }
    let end = pattern.len();
    let from = pattern.iter().rposition(|token| !is_any(token)).map_or(0, |last| last + 1);
    reached[from..=end].contains(&true)
}

/// Whether a token can match this one character.
fn matches_one(token: Token, c: char, same: impl Fn(char, char) -> bool) -> bool {
    match token {
        Token::Char(expected) => same(expected, c),
        Token::One | Token::Any => true,
        Token::OneWithinPart | Token::AnyWithinPart => c != ':',
    }
}

/// Whether an action matches a pattern; case does not matter.
pub(crate) fn action(pattern: &str, action: &str) -> bool {
    matches(&wildcards(pattern), action, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn a_star_within_a_part_of_an_arn_reaches_beyond_it_only_at_its_end() {
        for (pattern, text, want) in [
            ("a*b:c", "axb:c", true),
            ("a*b:c", "a:b:c", false),
            ("a*:c", "a:b:c", true),
            ("?:c", "a:c", true),
            ("?:c", "::c", false),
        ] {
            let (part, rest) = pattern.split_once(':').unwrap();
            let tokens = [within_part(part), vec![Token::Char(':')], wildcards(rest)].concat();
            assert_eq!(matches(&tokens, text, false), want, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_to_match_agree(pattern in "[ab?*]{0,12}", text in "[abc]{0,16}") {
            let tokens = wildcards(&pattern);
            let same = |a, b| a == b;
            prop_assert_eq!(by_last_star(&tokens, &text, same), by_reach(&tokens, &text, same));
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = wildcards(&"a*".repeat(500));
        assert!(!matches(&pattern, &format!("{}b", "a".repeat(499)), false));
    }
}
