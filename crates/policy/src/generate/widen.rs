//! Many names of one kind as few patterns, each with a wildcard where the names differ.
//!
//! The names are a tree of what they begin with. It is opened from the root, the fullest branch first,
//! while the leaves are few enough; what is still closed then becomes a pattern of what its names begin
//! and end with. `app-1` … `app-9` and `web` become `app-*` and `web`. A pattern breaks off only
//! between words, figures and separators, and where all of its names do.

/// A name, or a pattern of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Widened<'v> {
    /// What they begin with; the whole of a lone name.
    pub prefix: &'v str,
    /// What they end with, where it is a pattern.
    pub suffix: Option<&'v str>,
    /// The names that it stands for.
    pub names: Vec<&'v str>,
}

/// The names as at most `few` patterns, where they have so much in common. Without `bare` a pattern has
/// at least [`SHARED`] characters beside its wildcard: names that share less stay whole.
pub(super) fn widen<'v>(names: &[&'v str], few: usize, bare: bool) -> Vec<Widened<'v>> {
    let mut closed = Vec::new();
    // What shares too little is opened whatever comes of it: its branches share more.
    let mut open = vec![names.to_vec()];
    while let Some(names) = open.pop() {
        match names.len() > 1 && !bare && !shares_enough(&names) {
            true => open.extend(children(&names)),
            false => closed.push(names),
        }
    }
    while closed.len() < few {
        let mut by_size: Vec<usize> =
            (0..closed.len()).filter(|at| closed[*at].len() > 1).collect();
        by_size.sort_by_key(|at| (std::cmp::Reverse(closed[*at].len()), closed[*at][0]));
        let opened = by_size.into_iter().find_map(|at| {
            let children = children(&closed[at]);
            (closed.len() - 1 + children.len() <= few).then_some((at, children))
        });
        let Some((at, children)) = opened else { break };
        closed.swap_remove(at);
        closed.extend(children);
    }
    closed.sort();
    closed.into_iter().map(close).collect()
}

/// The fewest characters that the names of a pattern have in common.
const SHARED: usize = 3;

fn shares_enough(names: &[&str]) -> bool {
    let (prefix, suffix) = ends(names);
    prefix.chars().count() + suffix.chars().count() >= SHARED
}

fn close(names: Vec<&str>) -> Widened<'_> {
    match names.as_slice() {
        [one] => Widened { prefix: one, suffix: None, names },
        _ => {
            let (prefix, suffix) = ends(&names);
            Widened { prefix, suffix: Some(suffix), names }
        }
    }
}

/// What all of the names begin and end with, the two not overlapping in any of them.
fn ends<'v>(names: &[&'v str]) -> (&'v str, &'v str) {
    let Some(first) = names.first() else { return ("", "") };
    let boundary = |at: usize| names.iter().all(|name| is_boundary(name, at));
    let common = |other: &&str| {
        let same = first.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
        same.map_or(first.len().min(other.len()), |((at, _), _)| at)
    };
    let shared = names.iter().map(common).min().unwrap_or_default();
    let prefix = (0..=shared).rev().find(|at| boundary(*at)).unwrap_or_default();
    let alike = |at: &usize| {
        let back = |name: &&str| name.len().checked_sub(*at).filter(|from| *from >= prefix);
        let tail = first.len().checked_sub(*at).and_then(|from| first.get(from..));
        names.iter().all(|name| {
            back(name).is_some_and(|from| name.get(from..) == tail && is_boundary(name, from))
        })
    };
    let shortest = names.iter().map(|name| name.len()).min().unwrap_or_default();
    let suffix = (0..=shortest - prefix).rev().find(alike).unwrap_or_default();
    (&first[..prefix], &first[first.len() - suffix..])
}

/// The names by the word, figure or separator that follows what they all begin with.
fn children<'v>(names: &[&'v str]) -> Vec<Vec<&'v str>> {
    let prefix = ends(names).0.len();
    let mut out: std::collections::BTreeMap<&str, Vec<&'v str>> = std::collections::BTreeMap::new();
    for name in names {
        let mut after = name[prefix..].char_indices().map(|(at, _)| prefix + at).skip(1);
        let end = after.find(|at| is_boundary(name, *at)).unwrap_or(name.len());
        out.entry(&name[prefix..end]).or_default().push(name);
    }
    out.into_values().collect()
}

#[derive(PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Separator,
}

/// Whether a text may be cut at a place: not within a word or figure.
fn is_boundary(text: &str, at: usize) -> bool {
    let kind = |c: char| match c {
        c if c.is_ascii_digit() => Kind::Digit,
        c if c.is_alphanumeric() => Kind::Letter,
        _ => Kind::Separator,
    };
    let Some((before, after)) = text.split_at_checked(at) else { return false };
    match (before.chars().next_back().map(kind), after.chars().next().map(kind)) {
        (Some(before), Some(after)) => before != after || before == Kind::Separator,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(names: &[&str], few: usize, bare: bool) -> Vec<String> {
        let mut names = names.to_vec();
        names.sort_unstable();
        let all = widen(&names, few, bare);
        assert_eq!(all.iter().map(|one| one.names.len()).sum::<usize>(), names.len());
        all.iter()
            .map(|one| match one.suffix {
                Some(suffix) => format!("{}*{suffix}", one.prefix),
                None => one.prefix.to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_wildcard_stands_where_names_differ_and_breaks_no_word() {
        for (names, few, bare, wanted) in [
            ("app-1 app-2 app-3", 3, false, "app-1 app-2 app-3"),
            ("app-1 app-2 app-3 app-4", 3, false, "app-*"),
            ("app-1 app-2 app-3 web", 3, false, "app-* web"),
            ("report1 report2 report11 report12", 2, false, "report*"),
            ("log2024/a log2024/b log2025/a log2025/b", 2, false, "log2024/* log2025/*"),
            ("a-logs b-logs c-logs", 2, false, "*-logs"),
            ("app-1.txt app-2.txt app-3.txt", 2, false, "app-*.txt"),
            // Words that begin alike are not of one kind.
            ("alpha alpine altitude", 2, false, "alpha alpine altitude"),
            ("alpha alpine altitude", 2, true, "*"),
            // What is left in common is too little.
            ("a1 a2 a3", 2, false, "a1 a2 a3"),
            ("a1 a2 a3", 2, true, "a*"),
            ("a-a-a a-a", 1, true, "a-a*"),
            ("é1é é2é é3é", 1, true, "é*é"),
        ] {
            let names: Vec<&str> = names.split(' ').collect();
            assert_eq!(patterns(&names, few, bare).join(" "), wanted, "{names:?}");
        }
    }

    #[test]
    fn a_root_that_says_nothing_is_opened_whatever_comes_of_it() {
        let names: Vec<String> = (0..8)
            .flat_map(|i| {
                (0..4).map(move |j| format!("kind{}x-{j}", "abcdefgh".as_bytes()[i] as char))
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(patterns(&names, 3, false).len(), 8);
    }
}
