//! Patterns compared with each other: whether one covers another, whether two can meet.

use super::count;
use super::view::variables;
use crate::glob::{Token, wildcards};

/// The tokens of a text in which variables may stand for anything.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for variable in variables(text) {
        out.extend(wildcards(&text[from..variable.at.start]));
        out.push(Token::Any);
        from = variable.at.end;
    }
    out.extend(wildcards(&text[from..]));
    out
}

fn same(a: char, b: char, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.eq_ignore_ascii_case(&b))
}

/// Whether every text that `inner` matches is one that `outer` matches. Never says so wrongly, but may
/// miss a covering that only the whole set of texts shows, or that `spend` refuses the steps for.
pub(crate) fn covers(
    outer: &[Token],
    inner: &[Token],
    ignore_case: bool,
    spend: impl Fn(usize) -> bool,
) -> bool {
    // Most pairs differ in what both begin with.
    let fixed = outer.iter().take_while(|token| matches!(token, Token::Char(_))).count();
    let begins = inner.get(..fixed).is_some_and(|start| {
        start.iter().zip(outer).all(|pair| match pair {
            (Token::Char(a), Token::Char(b)) => same(*a, *b, ignore_case),
            _ => false,
        })
    });
    if !begins || !spend(outer.len() * inner.len() / 8) {
        return false;
    }
    count(outer.len() * inner.len());
    // `reached[o]`: what was read of `inner` is covered by the first `o` tokens of `outer`.
    let mut reached = vec![false; outer.len() + 1];
    let mut next = reached.clone();
    reached[0] = true;
    spread(outer, &mut reached);
    for token in inner {
        next.fill(false);
        for (o, cover) in outer.iter().enumerate().filter(|(o, _)| reached[*o]) {
            match (cover, token) {
                (Token::Any, _) => next[o] = true,
                (Token::One, Token::Char(_) | Token::One) => next[o + 1] = true,
                (Token::Char(a), Token::Char(b)) if same(*a, *b, ignore_case) => {
                    next[o + 1] = true;
                }
                _ => {}
            }
        }
        spread(outer, &mut next);
        if !next.contains(&true) {
            return false;
        }
        std::mem::swap(&mut reached, &mut next);
    }
    reached.last() == Some(&true)
}

/// Whether some text matches both; not where `spend` refuses the steps.
pub(crate) fn overlap(
    a: &[Token],
    b: &[Token],
    ignore_case: bool,
    spend: impl Fn(usize) -> bool,
) -> bool {
    // Most pairs differ in what both begin with.
    let literal = |pair: &(&Token, &Token)| matches!(pair, (Token::Char(_), Token::Char(_)));
    let begin = a.iter().zip(b).take_while(literal);
    let differs = |(x, y): (&Token, &Token)| match (x, y) {
        (Token::Char(x), Token::Char(y)) => !same(*x, *y, ignore_case),
        _ => false,
    };
    if begin.into_iter().any(differs) || !spend(a.len() * b.len() / 8) {
        return false;
    }
    count(a.len() * b.len());
    let mut reached = vec![false; a.len() + 1];
    let mut next = reached.clone();
    reached[0] = true;
    spread(a, &mut reached);
    for token in b {
        next.fill(false);
        if *token == Token::Any {
            // It may match nothing, or whatever any further stretch of `a` does.
            let first = reached.iter().position(|r| *r).unwrap_or(reached.len());
            next[first..].fill(true);
        } else {
            for (i, own) in a.iter().enumerate().filter(|(i, _)| reached[*i]) {
                match (own, token) {
                    (Token::Any, _) => next[i] = true,
                    (Token::Char(x), Token::Char(y)) if !same(*x, *y, ignore_case) => {}
                    _ => next[i + 1] = true,
                }
            }
            spread(a, &mut next);
        }
        if !next.contains(&true) {
            return false;
        }
        std::mem::swap(&mut reached, &mut next);
    }
    reached.last() == Some(&true)
}

/// A `*` may match nothing.
fn spread(pattern: &[Token], reached: &mut [bool]) {
    for (at, token) in pattern.iter().enumerate() {
        if reached[at] && *token == Token::Any {
            reached[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::{self, matches};
    use proptest::prelude::*;

    #[test]
    fn covering_and_meeting_follow_from_what_patterns_match() {
        for (a, b, covered, meet) in [
            ("s3:*", "s3:Get*", true, true),
            ("s3:Get*", "s3:*", false, true),
            ("s3:G?t", "s3:Get", true, true),
            ("s3:?", "s3:*", false, true),
            ("*a*", "b*a?c*", true, true),
            ("a*", "*b", false, true),
            ("a*", "b*", false, false),
            ("", "*", false, true),
            ("*", "", true, true),
        ] {
            let (x, y) = (wildcards(a), wildcards(b));
            assert_eq!(covers(&x, &y, true, |_| true), covered, "{a} covers {b}");
            assert_eq!(
                (overlap(&x, &y, true, |_| true), overlap(&y, &x, true, |_| true)),
                (meet, meet),
                "{a} {b}"
            );
        }
        let format = glob::template("${BucketName}/${ObjectName}");
        assert!(!overlap(&tokens("bucket"), &format, false, |_| true));
        assert!(overlap(&tokens("b/${aws:username}/*"), &format, false, |_| true));
        assert!(overlap(&tokens("*"), &format, false, |_| true));
    }

    proptest! {
        #[test]
        fn a_text_in_both_shows_a_meeting_and_one_outside_no_covering(
            a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", text in "[ab]{0,6}",
        ) {
            let (x, y) = (wildcards(&a), wildcards(&b));
            let (in_x, in_y) = (matches(&x, &text, false), matches(&y, &text, false));
            prop_assert!(!(in_x && in_y) || overlap(&x, &y, false, |_| true));
            prop_assert!(!in_y || in_x || !covers(&x, &y, false, |_| true));
        }
    }
}
