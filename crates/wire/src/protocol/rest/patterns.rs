//! URI patterns of operations: which requests they match, and the labels in them.

use super::query;

/// One piece of a URI pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'p> {
    /// Must stand there as it is.
    Literal(&'p str),
    /// `{Name}`: one segment.
    Label(&'p str),
    /// `{Name+}`: all that is left, at least one character, up to the literals that follow it.
    Greedy(&'p str),
}

/// The segments of a pattern's path.
pub fn segments(pattern: &str) -> impl Iterator<Item = Segment<'_>> {
    let path = pattern.split('?').next().unwrap_or_default();
    path.trim_start_matches('/').split('/').filter(|s| !s.is_empty()).map(|segment| {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Segment::Greedy(name),
                None => Segment::Label(name),
            },
            None => Segment::Literal(segment),
        }
    })
}

/// Matches a path against a pattern; the labels' texts, still encoded, or `None`.
pub fn match_path<'a>(pattern: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let pattern: Vec<Segment<'a>> = segments(pattern).collect();
    let rest = path.strip_prefix('/').unwrap_or(path);
    let parts: Vec<&'a str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
    // A slash at the end makes no segment, but inside a greedy label it is kept.
    let greedy = pattern.iter().position(|s| matches!(s, Segment::Greedy(_)));
    let mut labels = Vec::new();
    match greedy {
        None => {
            let trailing = parts.last().is_some_and(|p| p.is_empty());
            let count = if trailing { parts.len() - 1 } else { parts.len() };
            if count != pattern.len() {
                return None;
            }
            match_segments(&pattern, &parts[..count], &mut labels)?;
        }
        Some(at) => {
            let after = pattern.len() - at - 1;
            if parts.len() < at + 1 + after {
                return None;
            }
            match_segments(&pattern[..at], &parts[..at], &mut labels)?;
            let end = parts.len() - after;
            match_segments(&pattern[at + 1..], &parts[end..], &mut labels)?;
            let from = parts[..at].iter().map(|p| p.len() + 1).sum::<usize>();
            let tail = parts[end..].iter().map(|p| p.len() + 1).sum::<usize>();
            let text = rest.get(from..rest.len().checked_sub(tail)?)?;
            if text.is_empty() {
                return None;
            }
            if let Segment::Greedy(name) = pattern[at] {
                labels.push((name, text));
            }
        }
    }
    Some(labels)
}

fn match_segments<'a>(
    pattern: &[Segment<'a>],
    parts: &[&'a str],
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Option<()> {
    for (segment, part) in pattern.iter().zip(parts) {
        match segment {
            Segment::Literal(text) if text == part => {}
            Segment::Label(name) if !part.is_empty() => labels.push((name, part)),
            _ => return None,
        }
    }
    Some(())
}

/// Whether a request's query string has the constants that a pattern asks for: `?tagging`,
/// `?list-type=2`.
pub fn match_query(pattern: &str, params: &query::Params) -> bool {
    let Some((_, constants)) = pattern.split_once('?') else { return true };
    constants.split('&').filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, value)) => params.get(name) == Some(value),
        None => params.get(part).is_some(),
    })
}
